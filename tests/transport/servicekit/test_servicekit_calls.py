"""What a caller of any of our servers sees: statuses, deadlines, refusals; and what the handler sees when the caller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest
from emafusion.common.v1 import chat_pb2
from emafusion.judge.v1 import judge_service_pb2 as judge_pb
from emafusion.judge.v1 import judge_service_pb2_grpc as judge_rpc
from emafusion.router.v1 import router_service_pb2 as pb
from emafusion.router.v1 import router_service_pb2_grpc as rpc

from servicekit.calls import queue_wait_s
from servicekit.deadline import remaining_s
from servicekit.errors import ErrorTable, InvalidField, InvalidFields, Reason, StatusSpec, read_status
from servicekit.settings.serving import ServerSettings
from tests.support.servers import QUICK, Served, serve

ROUTER = "emafusion.router.v1.RouterService"
JUDGE = "emafusion.judge.v1.JudgeService"
Handler = Callable[[Any], Awaitable[Any]]
Events = Callable[[Any], AsyncGenerator[None]]


class Router(rpc.RouterServiceServicer):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        await self._handler(context)
        return pb.RouteResponse()

    async def BatchRoute(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError


class Judge(judge_rpc.JudgeServiceServicer):
    def __init__(self, events: Events, *, padding: int = 0) -> None:
        self._events = events
        self._outcome = judge_pb.CandidateOutcome(candidate_id="x" * padding)

    async def StreamJudge(self, request: Any, context: Any) -> AsyncGenerator[Any]:  # noqa: N802 - the contract's name
        async with aclosing(self._events(context)) as events:
            async for _ in events:
                yield judge_pb.StreamJudgeResponse(outcome=self._outcome)

    async def Judge(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def ListJudges(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError


def serve_route(handler: Handler, **kwargs: Any) -> AbstractAsyncContextManager[Served]:
    def add(server: grpc.aio.Server) -> Sequence[str]:
        rpc.add_RouterServiceServicer_to_server(Router(handler), server)
        return [ROUTER]

    return serve(add, **kwargs)


def serve_stream(events: Events, *, padding: int = 0, **kwargs: Any) -> AbstractAsyncContextManager[Served]:
    def add(server: grpc.aio.Server) -> Sequence[str]:
        judge_rpc.add_JudgeServiceServicer_to_server(Judge(events, padding=padding), server)
        return [JUDGE]

    return serve(add, **kwargs)


def stream(served: Served) -> grpc.aio.UnaryStreamCall[judge_pb.StreamJudgeRequest, judge_pb.StreamJudgeResponse]:
    return judge_rpc.JudgeServiceStub(served.channel).StreamJudge(judge_pb.StreamJudgeRequest())


async def route(served: Served, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - gRPC's own name for the deadline
    return await rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest(), timeout=timeout)


def raising(error: Exception) -> Handler:
    async def handler(context: Any) -> None:
        raise error

    return handler


async def failure(call: Awaitable[Any]) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read_status(caught.value)


class Outage(Exception):
    pass


TABLE = ErrorTable({Outage: StatusSpec(grpc.StatusCode.FAILED_PRECONDITION, Reason.EMPTY_PLAN, metadata={"small": "denied"})})


async def test_an_error_of_the_table_arrives_with_code_reason_and_figures() -> None:
    async with serve_route(raising(Outage("nothing left")), errors=TABLE) as served:
        status = await failure(route(served))
    assert (status.code, status.reason, status.message) == (grpc.StatusCode.FAILED_PRECONDITION, "EMPTY_PLAN", "nothing left")
    assert status.metadata == {"small": "denied"}


async def test_every_wrong_field_is_named() -> None:
    problems = InvalidFields([InvalidField("a", 3, "1 to 2"), InvalidField("b", "empty", "1 to 9 characters")])
    async with serve_route(raising(problems)) as served:
        status = await failure(route(served))
    assert status.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in status.field_violations] == ["a", "b"]
    assert status.field_violations[0].description == "is 3; allowed: 1 to 2"


async def test_an_unknown_error_is_shown_without_its_cause() -> None:
    async with serve_route(raising(KeyError("hunter2"))) as served:
        status = await failure(route(served))
    assert (status.code, status.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in repr(status)
    assert "KeyError" not in repr(status)


async def test_text_that_is_not_utf8_is_named_by_field() -> None:
    request = pb.RouteRequest(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content="fine"), chat_pb2.Message(content="aXXb")])
    raw = request.SerializeToString().replace(b"XX", b"\xff\xfe")

    async def never(context: Any) -> None:
        raise AssertionError("the handler must not see it")

    async with serve_route(never) as served:
        call = served.channel.unary_unary(f"/{ROUTER}/Route", request_serializer=bytes, response_deserializer=pb.RouteResponse.FromString)
        status = await failure(call(raw))
        garbage = await failure(call(b"\xff\xff\xff"))
    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [violation.field for violation in status.field_violations] == ["messages[1].content"]
    assert (garbage.code, garbage.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_call_without_deadline_has_the_default_and_a_long_one_is_shortened() -> None:
    seen: list[float] = []

    async def handler(context: Any) -> None:
        seen.append(remaining_s(context))

    settings = QUICK.model_copy(update={"default_deadline_ms": 40_000, "deadline_max_ms": 50_000})
    async with serve_route(handler, settings=settings) as served:
        await route(served)
        await route(served, timeout=3_000.0)
        await route(served, timeout=20.0)
    default, longest, own = seen
    assert 30 < default <= 40
    assert 40 < longest <= 50
    assert 10 < own <= 21  # gRPC rounds timeouts up on their way


async def test_the_servers_deadline_ends_the_handler_with_details() -> None:
    ended = asyncio.Event()

    async def handler(context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve_route(handler, settings=QUICK.model_copy(update={"default_deadline_ms": 50})) as served:
        status = await failure(route(served))
        await ended.wait()
    assert (status.code, status.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_client_that_cancels_reaches_the_handlers_finally() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def handler(context: Any) -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve_route(handler) as served:
        call = asyncio.ensure_future(route(served))
        await started.wait()
        call.cancel()
        await ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_client_that_leaves_a_stream_reaches_the_handlers_finally() -> None:
    ended = asyncio.Event()

    async def events(context: Any) -> AsyncGenerator[None]:
        try:
            yield
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve_stream(events) as served:
        call = stream(served)
        await call.read()
        call.cancel()
        await ended.wait()


async def test_a_client_that_stops_reading_and_leaves_ends_a_handler_that_is_writing() -> None:
    ended = asyncio.Event()
    writing = asyncio.Event()

    async def events(context: Any) -> AsyncGenerator[None]:
        try:
            while True:
                yield
                writing.set()
        finally:
            ended.set()

    async with serve_stream(events, padding=100_000) as served:
        call = stream(served)
        await call.read()
        await writing.wait()
        call.cancel()
        await ended.wait()


async def test_an_error_after_the_first_message_ends_the_stream_with_its_status() -> None:
    async def events(context: Any) -> AsyncGenerator[None]:
        yield
        raise Outage("broke")

    async with serve_stream(events, errors=TABLE) as served:
        call = stream(served)
        assert isinstance(await call.read(), judge_pb.StreamJudgeResponse)
        status = await failure(call.read())
    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EMPTY_PLAN")


@asynccontextmanager
async def full_server(settings: ServerSettings) -> AsyncGenerator[tuple[Served, asyncio.Event, list[float]]]:
    """A server whose only slot is taken until the event is set."""
    taken, release = asyncio.Event(), asyncio.Event()
    waits: list[float] = []

    async def handler(context: Any) -> None:
        waits.append(queue_wait_s())
        taken.set()
        await release.wait()

    async with serve_route(handler, settings=settings) as served:
        first = asyncio.ensure_future(route(served))
        await taken.wait()
        try:
            yield served, release, waits
        finally:
            release.set()
            await first


ONE_SLOT = QUICK.model_copy(update={"in_flight_max": 1, "queue_max": 0, "queue_wait_max_ms": 2_500})


async def test_a_full_server_refuses_at_once_and_says_when_to_come_again() -> None:
    async with full_server(ONE_SLOT) as (served, _, _waits):
        call = rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest())
        status = await failure(call)
        initial = await call.initial_metadata()
    assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert status.retry_after_s == 2.5
    assert len(initial or ()) == 0


async def test_a_stream_that_is_refused_gets_no_initial_metadata() -> None:
    async def events(context: Any) -> AsyncGenerator[None]:
        raise Outage("no")
        yield

    async with serve_stream(events, errors=TABLE) as served:
        call = stream(served)
        await failure(call.read())
        initial = await call.initial_metadata()
    assert len(initial or ()) == 0


async def test_a_call_waits_for_a_slot_and_learns_how_long() -> None:
    async with full_server(ONE_SLOT.model_copy(update={"queue_max": 1})) as (served, release, waits):
        # The queue has one place: once one of the two is refused, the other is known to wait in it.
        calls = {asyncio.ensure_future(route(served)) for _ in range(2)}
        refused, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        release.set()
        await waiting.pop()
        assert (await failure(refused.pop())).reason == "OVERLOADED"
    assert waits[0] < waits[1]


async def test_a_wait_that_takes_too_long_is_refused() -> None:
    async with full_server(ONE_SLOT.model_copy(update={"queue_max": 1, "queue_wait_max_ms": 20})) as (served, _, _waits):
        status = await failure(route(served))
    assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_a_method_that_the_server_lacks_is_unimplemented() -> None:
    async with serve_route(raising(Outage())) as served:
        call = served.channel.unary_unary(f"/{ROUTER}/Nonsense", request_serializer=bytes, response_deserializer=bytes)
        status = await failure(call(b"\xff anything"))
    assert (status.code, status.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")


async def test_too_much_metadata_is_refused_and_the_server_lives_on() -> None:
    async def nothing(context: Any) -> None:
        return

    async with serve_route(nothing) as served:
        stub = rpc.RouterServiceStub(served.channel)
        for size in (17_000, 1_000_000):
            status = await failure(stub.Route(pb.RouteRequest(), metadata=(("x-padding", "a" * size),)))
            assert status.code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
        await stub.Route(pb.RouteRequest(), metadata=(("x-padding", "a" * 12_000),))
