"""How a server starts, says how it is, and ends."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from os import getpid, kill
from typing import Any, cast

import grpc
import pytest
from emafusion.router.v1 import router_service_pb2 as pb
from emafusion.router.v1 import router_service_pb2_grpc as rpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.access import NO_ACCESS_RULES
from servicekit.errors import ErrorTable, read_status
from servicekit.server import run_service, start_server
from servicekit.telemetry import Telemetry
from tests.support.servers import LOOPBACK, QUICK, Served, serve

ROUTER = "emafusion.router.v1.RouterService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Gate(rpc.RouterServiceServicer):
    """A router that answers when the test says so."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.entered.set()
        await self.open.wait()
        return pb.RouteResponse()

    async def BatchRoute(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    def add(self, server: grpc.aio.Server) -> Sequence[str]:
        rpc.add_RouterServiceServicer_to_server(self, server)
        return [ROUTER]


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub = cast("Any", health_pb2_grpc).HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return reply.status


def plain_channel(served: Served) -> grpc.aio.Channel:
    """A channel without retries and health checks, which shows what the server itself says."""
    return grpc.aio.insecure_channel(served.target, options=[("grpc.enable_retries", 0)])


async def test_health_says_not_serving_until_ready() -> None:
    async with serve(Gate().add, ready=False) as served, plain_channel(served) as channel:
        assert [await health(channel, service) for service in ("", ROUTER)] == [NOT_SERVING, NOT_SERVING]
        await served.server.set_ready()
        assert [await health(channel, service) for service in ("", ROUTER)] == [SERVING, SERVING]


async def test_health_answers_when_the_server_is_full() -> None:
    gate = Gate()
    settings = QUICK.model_copy(update={"in_flight_max": 1, "queue_max": 0})
    async with serve(gate.add, settings=settings) as served:
        busy = asyncio.ensure_future(rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest()))
        await gate.entered.wait()
        assert await health(served.channel) == SERVING
        gate.open.set()
        await busy


async def reflected(channel: grpc.aio.Channel) -> list[str]:
    call = cast("Any", reflection_pb2_grpc).ServerReflectionStub(channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await call.done_writing()
    reply = await call.read()
    return sorted(service.name for service in reply.list_services_response.service)


async def test_reflection_lists_the_services() -> None:
    async with serve(Gate().add) as served:
        assert ROUTER in await reflected(served.channel)


async def test_reflection_can_be_turned_off() -> None:
    async with serve(Gate().add, settings=QUICK.model_copy(update={"reflection": False})) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reflected(served.channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_drain_says_not_serving_and_lets_calls_in_flight_finish() -> None:
    gate = Gate()
    async with serve(gate.add, settings=QUICK.model_copy(update={"drain_grace_ms": 60_000})) as served, plain_channel(served) as channel:
        watch = cast("Any", health_pb2_grpc).HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=ROUTER))
        assert (await watch.read()).status == SERVING
        call = rpc.RouterServiceStub(channel).Route(pb.RouteRequest())
        await gate.entered.wait()
        stopping = asyncio.ensure_future(served.server.stop())
        assert (await watch.read()).status == NOT_SERVING
        gate.open.set()
        assert isinstance(await call, pb.RouteResponse)
        # Far below the grace, although a health watcher is still connected; the test's own timeout bounds it.
        await stopping


async def test_calls_that_outlast_the_grace_end_unavailable() -> None:
    gate = Gate()
    async with serve(gate.add, settings=QUICK.model_copy(update={"drain_grace_ms": 20})) as served, plain_channel(served) as channel:
        call = rpc.RouterServiceStub(channel).Route(pb.RouteRequest())
        await gate.entered.wait()
        await served.server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert status.retry_after_s is not None


async def test_a_handler_that_ignores_its_end_does_not_hold_up_the_shutdown() -> None:
    entered = asyncio.Event()

    class Stubborn(Gate):
        async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
            entered.set()
            while not self.open.is_set():
                try:
                    await self.open.wait()
                except asyncio.CancelledError:
                    continue
            return pb.RouteResponse()

    gate = Stubborn()
    async with serve(gate.add, settings=QUICK.model_copy(update={"drain_grace_ms": 20})) as served, plain_channel(served) as channel:
        call = asyncio.ensure_future(rpc.RouterServiceStub(channel).Route(pb.RouteRequest()))
        await entered.wait()
        # The test's own timeout shows that this ends.
        await served.server.stop()
        gate.open.set()
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def test_two_servers_on_one_port_are_an_error() -> None:
    async with serve(Gate().add) as served:
        with pytest.raises(RuntimeError, match="bind"):
            await start_server(
                add_services=Gate().add,
                settings=QUICK,
                listen=f"127.0.0.1:{served.server.port}",
                errors=ErrorTable(),
                telemetry=Telemetry.off(),
            )


@dataclass
class Lifecycle:
    """Runs a service as its process would and notes what happens in which order."""

    order: list[str]
    warming: asyncio.Event
    warm: asyncio.Event

    async def run(self) -> None:
        off = Telemetry.off()
        await run_service(
            "router",
            add_services=Gate().add,
            settings=QUICK,
            listen=LOOPBACK,
            errors=ErrorTable(),
            telemetry=Telemetry(off.tracer, off.meter, lambda: self.order.append("flush")),
            access=NO_ACCESS_RULES,
            warm_up=self._warm_up,
            on_drain=self._close,
        )

    async def _warm_up(self) -> None:
        self.order.append("warm up")
        self.warming.set()
        await self.warm.wait()
        self.order.append("warm")

    async def _close(self) -> None:
        self.order.append("close")


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle([], asyncio.Event(), asyncio.Event())


class Listener(logging.Handler):
    """Sets its event when the server says that it serves."""

    def __init__(self) -> None:
        super().__init__()
        self.serving = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        line = json.loads(record.getMessage())
        if line["event"] == "serving" and line["address"].startswith("127.0.0.1:"):
            self.serving.set()


async def test_sigterm_drains_then_closes_what_the_service_opened_then_flushes(
    lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    lifecycle.warm.set()
    listener = Listener()
    logger = logging.getLogger("servicekit.server")
    logger.addHandler(listener)
    try:
        service = asyncio.ensure_future(lifecycle.run())
        await listener.serving.wait()
        kill(getpid(), signal.SIGTERM)
        await service
    finally:
        logger.removeHandler(listener)
    assert lifecycle.order == ["warm up", "warm", "close", "flush"]


async def test_sigterm_while_warming_up_ends_it(lifecycle: Lifecycle) -> None:
    service = asyncio.ensure_future(lifecycle.run())
    await lifecycle.warming.wait()
    kill(getpid(), signal.SIGTERM)
    await service
    assert lifecycle.order == ["warm up", "close", "flush"]


async def test_a_warm_up_that_fails_ends_the_service(lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise OSError("no such model")

    monkeypatch.setattr(lifecycle, "_warm_up", fail)
    with pytest.raises(OSError, match="no such model"):
        await lifecycle.run()
    assert lifecycle.order == ["close", "flush"]
