"""A SERVER span and a duration measurement for every call, after the RPC conventions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from opentelemetry import context as otel_context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servicekit import semconv
from servicekit.calls import CURRENT_CALL, CallState
from servicekit.errors import Reason
from servicekit.interceptors.base import IncomingCall, NamedInterceptor

SERVER_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that make a server's span an error; the others are the caller's business."""


class TraceInterceptor(NamedInterceptor):
    """Continues the caller's trace. The span is current while the handler runs and always ended, on cancellation too."""

    name = "trace"

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()
        self._duration = meter.create_histogram(
            semconv.METRIC_RPC_SERVER_CALL_DURATION,
            unit="s",
            description="Duration of served calls",
            explicit_bucket_boundaries_advisory=semconv.SECONDS_BUCKETS,
        )

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncGenerator[None]:
        """Opens the span in the caller's context and closes it with the call's status."""
        state = CallState(call.method)
        # Neither variable is reset: each call has a context of its own that ends with it.
        CURRENT_CALL.set(state)
        parent = self._propagator.extract(_carrier(call.context.invocation_metadata()))
        span = self._tracer.start_span(
            call.method,
            context=parent,
            kind=SpanKind.SERVER,
            attributes={semconv.RPC_SYSTEM_NAME: semconv.RPC_SYSTEM_GRPC, semconv.RPC_METHOD: call.method},
        )
        otel_context.attach(set_span_in_context(span, parent))
        try:
            yield
        finally:
            self._finish(span, state)

    def _finish(self, span: Span, state: CallState) -> None:
        method = state.method
        if state.reason == Reason.METHOD_UNKNOWN:
            method = semconv.RPC_METHOD_OTHER
            span.update_name(method)
            span.set_attribute(semconv.RPC_METHOD, method)
        labels = {
            semconv.RPC_SYSTEM_NAME: semconv.RPC_SYSTEM_GRPC,
            semconv.RPC_METHOD: method,
            semconv.RPC_RESPONSE_STATUS_CODE: state.code.name,
        }
        span.set_attribute(semconv.RPC_RESPONSE_STATUS_CODE, state.code.name)
        if state.code is not grpc.StatusCode.OK:
            span.set_attribute(semconv.EMAFUSION_ERROR_REASON, state.reason)
        if state.code in SERVER_FAULTS:
            span.set_attribute(semconv.ERROR_TYPE, state.code.name)
            span.set_status(Status(StatusCode.ERROR, state.reason))
            labels[semconv.ERROR_TYPE] = state.code.name
        self._duration.record(state.duration_s, labels)
        span.end()


def _carrier(metadata: Any) -> dict[str, str]:  # noqa: ANN401 - grpc hands out Metadata or pairs
    return {key: value for key, value in metadata or () if isinstance(value, str)}
