"""What the channel between services does: retries, replicas, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import grpc
import pytest
from emafusion.judge.v1 import judge_service_pb2 as judge_pb
from emafusion.judge.v1 import judge_service_pb2_grpc as judge_rpc
from emafusion.router.v1 import router_service_pb2 as pb
from emafusion.router.v1 import router_service_pb2_grpc as rpc

from servicekit.channels import open_channel
from servicekit.errors import ErrorTable, Reason, StatusSpec
from servicekit.telemetry import Telemetry
from tests.support.servers import QUICK, serve

ROUTER = "emafusion.router.v1.RouterService"
JUDGE = "emafusion.judge.v1.JudgeService"


class Down(Exception):
    pass


class Faulty(Exception):
    pass


TABLE = ErrorTable(
    {
        Down: StatusSpec(grpc.StatusCode.UNAVAILABLE, Reason.STORE_UNAVAILABLE),
        Faulty: StatusSpec(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVERLOADED),
    }
)


class Scripted(rpc.RouterServiceServicer, judge_rpc.JudgeServiceServicer):
    """Fails as often as its script says, then answers; streams one message before it fails."""

    def __init__(self, *script: Exception) -> None:
        self._script = list(script)
        self.calls = 0

    def _next(self) -> None:
        self.calls += 1
        if self._script:
            raise self._script.pop(0)

    async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self._next()
        return pb.RouteResponse()

    async def StreamJudge(self, request: Any, context: Any) -> AsyncGenerator[Any]:  # noqa: N802 - the contract's name
        yield judge_pb.StreamJudgeResponse()
        self._next()

    async def BatchRoute(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def Judge(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def ListJudges(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    def add(self, server: grpc.aio.Server) -> Sequence[str]:
        rpc.add_RouterServiceServicer_to_server(self, server)
        judge_rpc.add_JudgeServiceServicer_to_server(self, server)
        return [ROUTER, JUDGE]


async def code_of(call: Callable[[], Awaitable[Any]]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()
    return caught.value.code()


async def test_unavailable_is_retried() -> None:
    servicer = Scripted(Down("1"), Down("2"))
    async with serve(servicer.add, errors=TABLE) as served:
        await rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest())
    assert servicer.calls == 3


async def test_retries_end() -> None:
    servicer = Scripted(*[Down("again")] * 10)
    async with serve(servicer.add, errors=TABLE) as served:
        stub = rpc.RouterServiceStub(served.channel)
        assert await code_of(lambda: stub.Route(pb.RouteRequest())) is grpc.StatusCode.UNAVAILABLE
    assert servicer.calls == 3


async def test_nothing_but_unavailable_is_retried() -> None:
    servicer = Scripted(Faulty("full"))
    async with serve(servicer.add, errors=TABLE) as served:
        stub = rpc.RouterServiceStub(served.channel)
        assert await code_of(lambda: stub.Route(pb.RouteRequest())) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert servicer.calls == 1


async def test_a_stream_is_not_retried_after_its_first_message() -> None:
    servicer = Scripted(Down("broke"))
    async with serve(servicer.add, errors=TABLE) as served:
        call = judge_rpc.JudgeServiceStub(served.channel).StreamJudge(judge_pb.StreamJudgeRequest())
        await call.read()
        assert await code_of(call.read) is grpc.StatusCode.UNAVAILABLE
    assert servicer.calls == 1


async def test_replicas_take_turns_and_one_that_is_not_ready_is_left_out() -> None:
    first, second, sleepy = Scripted(), Scripted(), Scripted()
    async with serve(first.add) as one, serve(second.add) as two, serve(sleepy.add, ready=False) as three:
        ports = [served.server.port for served in (one, two, three)]
        target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        async with open_channel(target, server=QUICK, service_names=[ROUTER], telemetry=Telemetry.off()) as channel:
            stub = rpc.RouterServiceStub(channel)
            while not (first.calls and second.calls):
                await stub.Route(pb.RouteRequest())
            before = (first.calls, second.calls)
            await asyncio.gather(*[stub.Route(pb.RouteRequest()) for _ in range(20)])
    assert (first.calls - before[0], second.calls - before[1]) == (10, 10)
    assert sleepy.calls == 0


async def test_a_service_that_is_not_there_is_unavailable_within_the_deadline() -> None:
    async with serve(Scripted().add) as served:
        target = served.target
    async with open_channel(target, server=QUICK, service_names=[ROUTER], telemetry=Telemetry.off()) as channel:
        stub = rpc.RouterServiceStub(channel)
        assert await code_of(lambda: stub.Route(pb.RouteRequest(), timeout=30)) is grpc.StatusCode.UNAVAILABLE
