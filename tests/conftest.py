"""Rules that hold for every test: no network, no blocked event loop, reproducible properties."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from servicekit.logs import add_trace_ids
from servicekit.settings.process import process_environment

DATA_VARIABLE = "EMAFUSION_DATA"

settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data", metavar="DIR", default=None, help=f"data directory; default: {DATA_VARIABLE}; tests that need it are skipped"
    )
    parser.addoption("--fuzz-examples", metavar="N", type=int, default=5, help="requests that each fuzz target sends (default 5)")


def pytest_configure(config: pytest.Config) -> None:
    # Kept up for the whole run: each shutdown would close gRPC's sockets from a finalizer, in the middle of whichever test runs then.
    grpc.aio.init_grpc_aio()
    settings.load_profile("ci" if process_environment().get("CI") else "local")


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The data directory; skips the test where there is none."""
    named: str | None = request.config.getoption("--data") or process_environment().get(DATA_VARIABLE)
    if not named:
        pytest.skip(f"needs a data directory: give --data DIR or set {DATA_VARIABLE}")
    path = Path(named)
    if not path.is_dir():
        pytest.fail(f"data directory {path} does not exist")
    return path


@pytest.fixture(autouse=True)
def blocked_event_loop_is_an_error() -> Iterator[BlockBuster]:
    """A blocking call while an event loop runs raises BlockingError, whoever makes it."""
    buster = BlockBuster()
    buster.activate()
    try:
        yield buster
    finally:
        buster.deactivate()


@pytest.fixture(autouse=True)
def logs_go_to_pytest() -> None:
    """Log lines end up in `caplog` as JSON; structlog's own default renders tracebacks in a way that blocks."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            add_trace_ids,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class NetworkForbidden(RuntimeError):
    """A test tried to leave the machine."""


@pytest.fixture(autouse=True)
def network_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets connect to this machine only, and no name but localhost is looked up."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check_address(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _check_address(self, address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_loopback(host):
            raise NetworkForbidden(f"tests reach no network; looked up {host!r}")
        return getaddrinfo(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)


def _check_address(connecting: socket.socket, address: Any) -> None:
    if connecting.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
        raise NetworkForbidden(f"tests reach no network; connected to {address!r}")


def _is_loopback(host: Any) -> bool:
    if host in {None, "", "localhost", b"localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback
    except ValueError:
        return False
