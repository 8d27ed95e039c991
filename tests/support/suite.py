"""The three real services, in this process or as processes of their own, with providers on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc
import yaml
from blockbuster import BlockBuster
from emafusion_cli.health import service_ready
from emafusion_cli.ports import free_ports
from emafusion_cli.surroundings import Address, connect

import cascade_service.bootstrap
import judge_service.bootstrap
import router_service.bootstrap
from servicekit.errors import ErrorTable
from servicekit.settings.load import load_settings
from servicekit.settings.process import process_environment
from servicekit.telemetry import Telemetry
from tests.support.servers import serve

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICES = ("router", "judge", "cascade")


@dataclass(frozen=True, slots=True)
class SuiteAddresses:
    """gRPC targets of the three services."""

    router: str
    judge: str
    cascade: str


def write_config(folder: Path, *, models: Mapping[str, str], prefill: Collection[str] = (), **sections: Mapping[str, Any]) -> Path:
    """A configuration in ``folder``: ``models`` maps names to base URLs, each model dearer than the one before.

    Those in ``prefill`` continue text of others.
    """
    entries = [
        {
            "name": name,
            "provider": "openai_compatible",
            "endpoint": endpoint,
            "price": {"input_usd_per_mtok": 0.1 * 2**tier, "output_usd_per_mtok": 0.2 * 2**tier},
            "context_tokens": 4096,
            "max_output_tokens": 128,
            "capabilities": ["logprobs", "prefill"] if name in prefill else ["logprobs"],
            "retry": {"attempts_max": 1},
            "breaker": {"failures_to_open": 1000},
        }
        for tier, (name, endpoint) in enumerate(models.items())
    ]
    content: dict[str, Any] = {
        "models": entries,
        "judge": {"judges": [{"kind": "checks"}]},
        "artifacts": {"directory": str(REPOSITORY / "artifacts")},
        "cascade": {"store": {"url": "sqlite+aiosqlite:///decisions.sqlite3"}},
    }
    for section, values in sections.items():
        content[section] = {**content.get(section, {}), **values}
    path = folder / "emafusion.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def process_environ() -> dict[str, str]:
    """What a service process needs to start from this checkout, and nothing else of this process's environment."""
    inherited = process_environment()
    environ = {key: inherited[key] for key in ("PATH", "HOME") if key in inherited}
    environ["PYTHONPATH"] = os.pathsep.join(str(REPOSITORY / part) for part in (".", "protos/gen", "clients/python"))
    return environ


def overrides(**values: str | int) -> dict[str, str]:
    """Environment overrides; `services__router__target="…"` becomes `EMAFUSION__SERVICES__ROUTER__TARGET`."""
    return {f"EMAFUSION__{key.upper()}": str(value) for key, value in values.items()}


@asynccontextmanager
async def serve_suite(
    config: Path, *, buster: BlockBuster, telemetry: Mapping[str, Telemetry] | None = None, environ: Mapping[str, str] | None = None
) -> AsyncGenerator[SuiteAddresses]:
    """All three services in this process, each on a free port, with real channels between them.

    ``buster`` is the fixture that forbids blocking calls: services may block while they are put together, before they serve.
    """
    telemetry = telemetry or dict.fromkeys(SERVICES, Telemetry.off())
    environ = dict(environ or {})
    async with AsyncExitStack() as stack:

        async def start(add: Callable[[grpc.aio.Server], Sequence[str]], errors: ErrorTable, service: str) -> str:
            return (await stack.enter_async_context(serve(add, errors=errors, telemetry=telemetry[service]))).target

        with blocking_allowed(buster):
            loaded = load_settings(config, environ)
            router = router_service.bootstrap.build_service(loaded, telemetry=telemetry["router"])
            judge = judge_service.bootstrap.build_service(loaded, telemetry=telemetry["judge"])
        stack.push_async_callback(router.aclose)
        stack.push_async_callback(judge.aclose)
        await router.warm_up()
        router_target = await start(router.add_to, router.errors, "router")
        judge_target = await start(judge.add_to, judge.errors, "judge")
        environ |= overrides(services__router__target=router_target, services__judge__target=judge_target)
        with blocking_allowed(buster):
            loaded = load_settings(config, environ)
            cascade = cascade_service.bootstrap.build_service(loaded, telemetry=telemetry["cascade"])
        stack.push_async_callback(cascade.aclose)
        await cascade.warm_up()
        yield SuiteAddresses(router_target, judge_target, await start(cascade.add_to, cascade.errors, "cascade"))


@contextmanager
def blocking_allowed(buster: BlockBuster) -> Generator[None]:
    """Within it, a blocking call is no error."""
    buster.deactivate()
    try:
        yield
    finally:
        buster.activate()


@asynccontextmanager
async def run_suite(
    config: Path, *, environ: Mapping[str, str], log: int | IO[bytes] = asyncio.subprocess.DEVNULL
) -> AsyncGenerator[SuiteAddresses]:
    """All three services as processes, started by their public entry points, ready when this yields and gone when it ends.

    Their logs go to ``log``.
    """
    targets: dict[str, str] = {}
    settings = dict(environ)
    for service, port in zip(SERVICES, free_ports(len(SERVICES)), strict=True):
        targets[service] = f"dns:///127.0.0.1:{port}"
        settings |= overrides(**{f"services__{service}__listen": f"127.0.0.1:{port}", f"services__{service}__target": targets[service]})
    processes: list[asyncio.subprocess.Process] = []
    try:
        for service in SERVICES:
            command = (sys.executable, "-m", f"{service}_service", "--config", str(config))
            processes.append(await asyncio.create_subprocess_exec(*command, env=settings, stderr=log))
        loaded = await asyncio.to_thread(load_settings, config, settings)
        addresses = [await asyncio.to_thread(connect, target, loaded) for target in targets.values()]
        await asyncio.gather(*(_serving(address, process) for address, process in zip(addresses, processes, strict=True)))
        yield SuiteAddresses(**targets)
    finally:
        await stop_processes(processes)


async def stop_processes(processes: Sequence[asyncio.subprocess.Process]) -> None:
    """Asks all processes to end and waits until they have."""
    for process in processes:
        if process.returncode is None:
            process.terminate()
    for process in processes:
        await process.wait()


async def _serving(address: Address, process: asyncio.subprocess.Process) -> None:
    """Returns when the health service says SERVING; fails when the process ends before."""
    while process.returncode is None:
        if await asyncio.to_thread(service_ready, address):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the process of {address.target} ended with exit code {process.returncode} before it was ready")
