"""Spans, trace context and metrics of calls between services, and what an OTLP receiver gets."""

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
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from servicekit import semconv
from servicekit.errors import InvalidField
from servicekit.settings.serving import TelemetrySettings
from servicekit.telemetry import start_telemetry
from tests.support.otlp import receive_otlp
from tests.support.servers import QUICK, serve
from tests.support.spans import Recorder, record_telemetry

ROUTE = "emafusion.router.v1.RouterService/Route"
STREAM = "emafusion.judge.v1.JudgeService/StreamJudge"


class Both(rpc.RouterServiceServicer, judge_rpc.JudgeServiceServicer):
    """One server with a unary and a streaming method."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work

    async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        await self._work()
        return pb.RouteResponse()

    async def StreamJudge(self, request: Any, context: Any) -> AsyncGenerator[Any]:  # noqa: N802 - the contract's name
        yield judge_pb.StreamJudgeResponse()
        await self._work()
        yield judge_pb.StreamJudgeResponse()

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
        return ["emafusion.router.v1.RouterService", "emafusion.judge.v1.JudgeService"]


def working(recorder: Recorder) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        with recorder.telemetry.tracer.start_as_current_span("work"):
            await asyncio.sleep(0)

    return work


async def nothing() -> None:
    return


async def test_a_call_between_services_is_one_trace() -> None:
    recorder = record_telemetry()
    async with serve(Both(working(recorder)).add, telemetry=recorder.telemetry) as served:
        with recorder.telemetry.tracer.start_as_current_span("caller"):
            await rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest())
    assert recorder.tree(attributes=["rpc.response.status_code"]).splitlines() == [
        "INTERNAL caller",
        f"  CLIENT {ROUTE} rpc.response.status_code=OK",
        f"    SERVER {ROUTE} rpc.response.status_code=OK",
        "      INTERNAL work",
    ]
    server = recorder.only(ROUTE, kind="SERVER")
    assert dict(server.attributes or {}) == {"rpc.system.name": "grpc", "rpc.method": ROUTE, "rpc.response.status_code": "OK"}
    assert server.status.status_code is StatusCode.UNSET


async def test_a_stream_between_services_is_one_trace() -> None:
    recorder = record_telemetry()
    async with serve(Both(working(recorder)).add, telemetry=recorder.telemetry) as served:
        with recorder.telemetry.tracer.start_as_current_span("caller"):
            replies = [reply async for reply in judge_rpc.JudgeServiceStub(served.channel).StreamJudge(judge_pb.StreamJudgeRequest())]
    assert len(replies) == 2
    assert recorder.tree().splitlines() == ["INTERNAL caller", f"  CLIENT {STREAM}", f"    SERVER {STREAM}", "      INTERNAL work"]


async def test_the_callers_traceparent_is_continued_whoever_calls() -> None:
    recorder = record_telemetry()
    async with (
        serve(Both(nothing).add, telemetry=recorder.telemetry) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        parent = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        await rpc.RouterServiceStub(channel).Route(pb.RouteRequest(), metadata=(parent,))
    span = recorder.only(ROUTE)
    assert span.context is not None
    assert trace.format_trace_id(span.context.trace_id) == "0af7651916cd43dd8448eb211c80319c"
    assert span.parent is not None
    assert trace.format_span_id(span.parent.span_id) == "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("error", "code", "reason", "server_status"),
    [
        (InvalidField("a", 1, "2"), "INVALID_ARGUMENT", "INVALID_FIELD", StatusCode.UNSET),
        (KeyError("x"), "INTERNAL", "INTERNAL", StatusCode.ERROR),
        (TimeoutError(), "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", StatusCode.ERROR),
    ],
)
async def test_only_faults_of_the_service_make_its_span_an_error(
    error: Exception, code: str, reason: str, server_status: StatusCode
) -> None:
    async def fail() -> None:
        raise error

    recorder = record_telemetry()
    async with serve(Both(fail).add, telemetry=recorder.telemetry) as served:
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest())
    for kind, status in (("SERVER", server_status), ("CLIENT", StatusCode.ERROR)):
        span = recorder.only(ROUTE, kind=kind)
        assert span.status.status_code is status
        assert (span.attributes or {})[semconv.RPC_RESPONSE_STATUS_CODE] == code
        assert (span.attributes or {})[semconv.EMAFUSION_ERROR_REASON] == reason


@pytest.mark.parametrize("streaming", [False, True])
async def test_spans_end_when_the_caller_leaves(streaming: bool) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    recorder = record_telemetry()
    async with serve(Both(hang).add, telemetry=recorder.telemetry) as served:
        if streaming:
            call = judge_rpc.JudgeServiceStub(served.channel).StreamJudge(judge_pb.StreamJudgeRequest())
            await call.read()
        else:
            call = rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest())
        await entered.wait()
        call.cancel()
        await left.wait()
    name = STREAM if streaming else ROUTE
    for kind in ("SERVER", "CLIENT"):
        span = recorder.only(name, kind=kind)
        assert (span.attributes or {})[semconv.RPC_RESPONSE_STATUS_CODE] == "CANCELLED"


async def test_durations_are_measured_with_few_labels_and_an_exemplar() -> None:
    recorder = record_telemetry()
    async with serve(Both(nothing).add, telemetry=recorder.telemetry) as served:
        await rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest())
    metrics = recorder.metrics()
    for name, kind in ((semconv.METRIC_RPC_SERVER_CALL_DURATION, "SERVER"), (semconv.METRIC_RPC_CLIENT_CALL_DURATION, "CLIENT")):
        metric = metrics[name]
        assert metric.unit == "s"
        (point,) = metric.data.data_points
        assert dict(point.attributes or {}) == {"rpc.system.name": "grpc", "rpc.method": ROUTE, "rpc.response.status_code": "OK"}
        (exemplar,) = point.exemplars
        context = recorder.only(ROUTE, kind=kind).context
        assert context is not None
        assert exemplar.span_id == context.span_id


async def test_methods_that_the_server_lacks_share_one_series() -> None:
    recorder = record_telemetry()
    async with (
        serve(Both(nothing).add, telemetry=recorder.telemetry) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        for name in ("/made.up.Service/One", "/made.up.Service/Two"):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(name, request_serializer=bytes, response_deserializer=bytes)(b"")
    (point,) = recorder.metrics()[semconv.METRIC_RPC_SERVER_CALL_DURATION].data.data_points
    assert (point.attributes or {})[semconv.RPC_METHOD] == "_OTHER"
    assert recorder.tree().splitlines() == ["SERVER _OTHER", "SERVER _OTHER"]


async def test_a_collector_receives_spans_and_metrics() -> None:
    async with receive_otlp() as receiver:
        telemetry = start_telemetry("router_service", TelemetrySettings(otlp_endpoint=receiver.endpoint))
        async with serve(Both(nothing).add, telemetry=telemetry, settings=QUICK) as served:
            await rpc.RouterServiceStub(served.channel).Route(pb.RouteRequest())
        assert await asyncio.to_thread(telemetry.shutdown)
        spans = await receiver.wait_for_spans(2)
        metric = await receiver.wait_for_metric(semconv.METRIC_RPC_SERVER_CALL_DURATION)
    assert {service for service, _ in spans} == {"router_service"}
    assert sorted((span.name, span.kind) for _, span in spans) == [(ROUTE, 2), (ROUTE, 3)]
    assert metric.histogram.data_points[0].count == 1
