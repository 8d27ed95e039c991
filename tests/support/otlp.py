"""An OTLP receiver in this process: what a collector would see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class OtlpReceiver:
    """Collects spans and metrics by the service name of their resource."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.metrics: list[tuple[str, Metric]] = []
        self.endpoint = ""
        self._changed = asyncio.Condition()

    async def wait_for_spans(self, count: int) -> list[tuple[str, Span]]:
        """All spans so far, once there are at least ``count``; the test's timeout bounds the wait."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.spans) >= count)
        return self.spans

    async def wait_for_metric(self, name: str) -> Metric:
        """The first metric of that name, once it has come."""

        def found() -> Metric | None:
            return next((metric for _, metric in self.metrics if metric.name == name), None)

        async with self._changed:
            await self._changed.wait_for(lambda: found() is not None)
        metric = found()
        assert metric is not None
        return metric

    async def take_spans(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        async with self._changed:
            for resource in request.resource_spans:
                service = _service_name(resource.resource.attributes)
                self.spans.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
            self._changed.notify_all()

    async def take_metrics(self, request: metrics_service_pb2.ExportMetricsServiceRequest) -> None:
        async with self._changed:
            for resource in request.resource_metrics:
                service = _service_name(resource.resource.attributes)
                self.metrics.extend((service, metric) for scope in resource.scope_metrics for metric in scope.metrics)
            self._changed.notify_all()


class _TraceService(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        await self._receiver.take_spans(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _MetricsService(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        await self._receiver.take_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


@asynccontextmanager
async def receive_otlp() -> AsyncGenerator[OtlpReceiver]:
    """A receiver on a free port of this machine; its ``endpoint`` goes into `telemetry.otlp_endpoint`."""
    receiver = OtlpReceiver()
    server = grpc.aio.server()
    # These stubs come without types.
    cast("Any", trace_service_pb2_grpc).add_TraceServiceServicer_to_server(_TraceService(receiver), server)
    cast("Any", metrics_service_pb2_grpc).add_MetricsServiceServicer_to_server(_MetricsService(receiver), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    receiver.endpoint = f"http://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        await server.stop(None)


def _service_name(attributes: Any) -> str:
    return next((item.value.string_value for item in attributes if item.key == "service.name"), "")
