"""Server bootstrap: interceptors, health, reflection, keepalive, limits, and a shutdown that ends in bounded time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from servicekit.access import NO_ACCESS_RULES, AccessRules
from servicekit.errors import ErrorTable
from servicekit.health import Health
from servicekit.interceptors.chain import Chain, build_chain
from servicekit.interceptors.unknown_methods import UnknownMethods
from servicekit.keys import KeyRing
from servicekit.settings.secrets import SecretSource
from servicekit.settings.serving import ServerSettings, ServerTlsSettings
from servicekit.telemetry import Telemetry
from servicekit.tls import server_credentials

AddServices = Callable[[grpc.aio.Server], Sequence[str]]
"""Registers servicers at the server and returns the full names of their services."""
Hook = Callable[[], Awaitable[None]]

_ABORT_FLUSH_S: Final = 1.0
_CLOSE_S: Final = 0.2
_CONNECTION_AGE_GRACE_MS: Final = 600_000
_KEEPALIVE_TIMEOUT_MS: Final = 10_000
_METADATA_BYTES_MAX: Final = 16 * 1024

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether a service that has started can do its work: ``look`` says so and never raises, every ``look_every_s`` seconds."""

    look: Callable[[], Awaitable[bool]]
    look_every_s: float


class RunningServer:
    """A server that listens. `stop` may be called more than once, by more than one task."""

    def __init__(
        self,
        server: grpc.aio.Server,
        *,
        chain: Chain,
        health: Health,
        host: str,
        port: int,
        drain_grace_s: float,
    ) -> None:
        self._server = server
        self._chain = chain
        self._health = health
        self._drain_grace_s = drain_grace_s
        self._stopping: asyncio.Task[None] | None = None
        self._following = asyncio.create_task(chain.keys.follow(), name="keys") if chain.keys is not None else None
        self.port = port
        self.address = f"{host}:{port}"

    async def set_ready(self, *, ready: bool = True) -> None:
        """Health says SERVING from now on, or NOT_SERVING, for the server and each service. Draining is for good."""
        await (self._health.serving() if ready else self._health.waiting())

    async def follow(self, readiness: Readiness) -> None:
        """Health says what ``readiness`` finds, until cancelled. The server must be ready."""
        ready = True
        while True:
            await asyncio.sleep(readiness.look_every_s)
            if await readiness.look() is not ready:
                ready = not ready
                await self.set_ready(ready=ready)
                (_log.info if ready else _log.warning)("ready" if ready else "not_ready", address=self.address)

    async def stop(self) -> None:
        """Drains and closes: health says NOT_SERVING, no new call is taken, calls in flight may go on for the grace.

        Those that then still run end with UNAVAILABLE / SHUTTING_DOWN. Returns within the grace and about a second.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._drain(), name="drain")
        await asyncio.shield(self._stopping)

    async def wait_stopped(self) -> None:
        """Returns when the server is closed."""
        await self._server.wait_for_termination()

    async def _drain(self) -> None:
        await self._health.draining()
        deadline = self._chain.deadline
        _log.info("draining", in_flight=deadline.in_flight, grace_s=self._drain_grace_s)
        # Refuses new calls from here on; the grace is ours to end, because health watchers would otherwise use it up.
        closing = asyncio.create_task(self._server.stop(self._drain_grace_s + _ABORT_FLUSH_S + _CLOSE_S))
        if not await _within(self._drain_grace_s, deadline.wait_idle):
            _log.warning("drain grace is over", in_flight=deadline.in_flight)
            deadline.end_all()
            await _within(_ABORT_FLUSH_S, deadline.wait_idle)
        await self._server.stop(_CLOSE_S)
        await closing
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        _log.info("stopped", address=self.address)


async def start_server(
    *,
    add_services: AddServices,
    settings: ServerSettings,
    listen: str,
    errors: ErrorTable,
    telemetry: Telemetry,
    access: AccessRules = NO_ACCESS_RULES,
    ready: bool = True,
) -> RunningServer:
    """A server that listens on ``listen`` (`host:port`, port 0 for a free one). Raises RuntimeError when it can't.

    Raises ConfigurationError when a file for TLS or keys can't be used. With ``ready`` false its health says NOT_SERVING until
    `RunningServer.set_ready`.
    """
    keys = await _key_ring(settings, listen, access)
    chain = build_chain(settings, errors=errors, tracer=telemetry.tracer, meter=telemetry.meter, access=access, keys=keys)
    server = grpc.aio.server(interceptors=chain.interceptors, options=server_options(settings))
    services = tuple(add_services(server))
    health = Health(services)
    await health.attach(server)
    if settings.reflection:
        reflection.enable_server_reflection((*services, "grpc.health.v1.Health", reflection.SERVICE_NAME), server)
    server.add_generic_rpc_handlers((UnknownMethods(),))
    try:
        port = await _add_port(server, listen, settings.tls)
        await server.start()
    except BaseException:
        await server.stop(None)
        raise
    running = RunningServer(
        server,
        chain=chain,
        health=health,
        host=listen.rpartition(":")[0],
        port=port,
        drain_grace_s=settings.drain_grace_ms / 1e3,
    )
    if ready:
        await running.set_ready()
    return running


async def run_service(
    name: str,
    *,
    add_services: AddServices,
    settings: ServerSettings,
    listen: str,
    errors: ErrorTable,
    telemetry: Telemetry,
    access: AccessRules,
    warm_up: Hook | None = None,
    on_drain: Hook | None = None,
    readiness: Readiness | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal does not cut the drain short.

    ``warm_up`` runs while the server listens and health still says NOT_SERVING. ``on_drain`` runs after the last call has ended and
    closes what the service opened. Health follows ``readiness`` in between. Telemetry is flushed last. Logs `serving` with the address
    once ready.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = await start_server(
        add_services=add_services, settings=settings, listen=listen, errors=errors, telemetry=telemetry, access=access, ready=False
    )
    try:
        if warm_up is None or await _unless(stop, warm_up):
            await running.set_ready()
            _log.info("serving", address=running.address, service=name)
            following = None if readiness is None else asyncio.create_task(running.follow(readiness), name="readiness")
            await stop.wait()
            if following is not None:
                following.cancel()
                await asyncio.wait({following})
    finally:
        await running.stop()
        if on_drain is not None:
            await on_drain()
        if not await asyncio.to_thread(telemetry.shutdown):
            _log.warning("telemetry was not flushed in time")


async def _key_ring(settings: ServerSettings, listen: str, access: AccessRules) -> KeyRing | None:
    if settings.auth is None:
        return None
    if settings.tls is None and not _is_loopback(listen.rpartition(":")[0]):
        _log.warning("keys_in_clear_text", listen=listen, effect="whoever can listen on the network reads API keys; set server.tls")
    return await asyncio.to_thread(KeyRing, settings.auth, access.secrets or SecretSource({}, Path()))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


async def _add_port(server: grpc.aio.Server, listen: str, tls: ServerTlsSettings | None) -> int:
    if tls is None:
        return server.add_insecure_port(listen)
    return server.add_secure_port(listen, await asyncio.to_thread(server_credentials, tls))


def server_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Arguments of gRPC's core."""
    return [
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", settings.message_bytes_max),
        # Soft and hard limit alike: in between, gRPC's core refuses calls at random.
        ("grpc.max_metadata_size", _METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES_MAX),
        ("grpc.max_connection_age_ms", settings.connection_age_max_ms),
        ("grpc.max_connection_age_grace_ms", _CONNECTION_AGE_GRACE_MS),
        ("grpc.keepalive_time_ms", settings.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        # Clients probe at the same interval; half of it leaves room for clocks that differ.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", settings.keepalive_time_ms // 2),
        # Two servers on one port would each get half of the calls; an error at start is better.
        ("grpc.so_reuseport", 0),
    ]


async def _unless(stop: asyncio.Event, work: Hook) -> bool:
    """Runs ``work`` and returns True; cancels it and returns False when ``stop`` is set first."""
    working, stopping = asyncio.ensure_future(work()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        await working
        return True
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait({working, stopping})


async def _within(seconds: float, wait: Hook) -> bool:
    """True when ``wait`` returned in time."""
    try:
        async with asyncio.timeout(seconds):
            await wait()
    except TimeoutError:
        return False
    return True
