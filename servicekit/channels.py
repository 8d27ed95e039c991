"""Channels from one service to another: retries, load balancing, keepalive, health checks and trace context."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servicekit import semconv
from servicekit.access import bearer
from servicekit.credentials import NO_CREDENTIALS, PeerCredentials, Shown
from servicekit.reloading import ReloadingChannel
from servicekit.rich_status import read_status
from servicekit.settings.secrets import Secret
from servicekit.settings.serving import ServerSettings
from servicekit.telemetry import Telemetry

_KEEPALIVE_TIMEOUT_MS: Final = 10_000
_RECONNECT_FIRST_MS: Final = 200
_RECONNECT_MOST_MS: Final = 5_000

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def open_channel(
    target: str,
    *,
    server: ServerSettings,
    service_names: Sequence[str],
    telemetry: Telemetry,
    credentials: PeerCredentials = NO_CREDENTIALS,
) -> grpc.aio.Channel:
    """A channel to another service of the suite, such as `dns:///router:50051`. Connects when first used.

    Unary calls to ``service_names`` are retried on UNAVAILABLE only, at most twice; replicas take turns and those that say
    NOT_SERVING are left out. Every call gets a CLIENT span and carries its trace context. The channel is opened anew when
    a file behind ``credentials`` changes; the first reading blocks and raises `ConfigurationError`.
    """
    options = _options(server, service_names)

    def connect(shown: Shown) -> grpc.aio.Channel:
        spans = _ClientSpans(telemetry.tracer, telemetry.meter, key=shown.key)
        interceptors = [UnaryTraceInterceptor(spans), StreamTraceInterceptor(spans)]
        if shown.connection is None:
            return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
        return grpc.aio.secure_channel(target, shown.connection, options=options, interceptors=interceptors)

    if not credentials.paths:
        return connect(credentials.read())
    return ReloadingChannel(stamp=credentials.stamp, read=credentials.read, connect=connect, grace_s=server.deadline_max_ms / 1e3)


def _options(server: ServerSettings, service_names: Sequence[str]) -> list[tuple[str, int | str]]:
    return [
        ("grpc.service_config", service_config(service_names, watch_health=server.auth is None or not server.auth.health_needs_key)),
        ("grpc.max_receive_message_length", server.message_bytes_max),
        ("grpc.max_send_message_length", server.message_bytes_max),
        ("grpc.keepalive_time_ms", server.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
        ("grpc.min_reconnect_backoff_ms", _RECONNECT_FIRST_MS),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MOST_MS),
        # Channels of one process don't share connections, so that closing one can't disturb another.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def service_config(service_names: Sequence[str], *, watch_health: bool = True) -> str:
    """Service config for gRPC, as JSON. The one retry policy of the suite: UNAVAILABLE only, and never after the first message.

    gRPC watches the health of replicas by itself and can't show a key while doing so; where health needs one, it must not watch.
    """
    health = {"healthCheckConfig": {"serviceName": ""}} if watch_health else {}
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            **health,
            "methodConfig": [
                {
                    "name": [{"service": name} for name in service_names],
                    "retryPolicy": {
                        "maxAttempts": 3,
                        "initialBackoff": "0.1s",
                        "maxBackoff": "1s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ],
            "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.2},
        }
    )


@dataclass(frozen=True, slots=True)
class _Started:
    """A call under way."""

    method: str
    span: Span
    at: float


class _ClientSpans:
    """A CLIENT span and a duration measurement per call, after the RPC conventions, and W3C context and API key in its metadata."""

    def __init__(self, tracer: Tracer, meter: Meter, *, key: Secret | None) -> None:
        self._tracer = tracer
        self._key = key
        self._propagator = TraceContextTextMapPropagator()
        self._duration = meter.create_histogram(
            semconv.METRIC_RPC_CLIENT_CALL_DURATION,
            unit="s",
            description="Duration of calls to other services",
            explicit_bucket_boundaries_advisory=semconv.SECONDS_BUCKETS,
        )

    def start(self, method: str) -> _Started:
        """Opens the span of a call; `finish` must follow."""
        span = self._tracer.start_span(
            method,
            kind=SpanKind.CLIENT,
            attributes={semconv.RPC_SYSTEM_NAME: semconv.RPC_SYSTEM_GRPC, semconv.RPC_METHOD: method},
        )
        return _Started(method, span, time.monotonic())

    def propagated(self, details: grpc.aio.ClientCallDetails, started: _Started) -> grpc.aio.ClientCallDetails:
        """The call's details with the span's context and the own API key in their metadata."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=set_span_in_context(started.span))
        key = () if self._key is None else (bearer(self._key.reveal()),)
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *carrier.items(), *key)
        return grpc.aio.ClientCallDetails(details.method, details.timeout, metadata, details.credentials, details.wait_for_ready)

    def finish(self, started: _Started, code: grpc.StatusCode, *, reason: str = "") -> None:
        """Ends the span with the call's status and records its duration."""
        span = started.span
        labels = {
            semconv.RPC_SYSTEM_NAME: semconv.RPC_SYSTEM_GRPC,
            semconv.RPC_METHOD: started.method,
            semconv.RPC_RESPONSE_STATUS_CODE: code.name,
        }
        span.set_attribute(semconv.RPC_RESPONSE_STATUS_CODE, code.name)
        if code is not grpc.StatusCode.OK:
            labels[semconv.ERROR_TYPE] = code.name
            span.set_attribute(semconv.ERROR_TYPE, code.name)
            span.set_status(Status(StatusCode.ERROR, reason))
            if reason:
                span.set_attribute(semconv.EMAFUSION_ERROR_REASON, reason)
        # The current span is the caller's; the exemplar must be this one.
        self._duration.record(time.monotonic() - started.at, labels, context=set_span_in_context(span))
        span.end()


class UnaryTraceInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Traces unary calls."""

    def __init__(self, spans: _ClientSpans) -> None:
        self._spans = spans

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, _Request], Awaitable[grpc.aio.UnaryUnaryCall[_Request, _Response]]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: _Request,
    ) -> _Response | grpc.aio.UnaryUnaryCall[_Request, _Response]:
        """Makes the call inside its span; the span ends with it, on cancellation too."""
        started = self._spans.start(_name(client_call_details.method))
        code, reason = grpc.StatusCode.CANCELLED, ""
        try:
            call = await continuation(self._spans.propagated(client_call_details, started), request)
            await call
            code = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            code, reason = error.code(), read_status(error).reason
            raise
        finally:
            self._spans.finish(started, code, reason=reason)
        return call


class StreamTraceInterceptor(grpc.aio.UnaryStreamClientInterceptor):
    """Traces calls whose answer is a stream."""

    def __init__(self, spans: _ClientSpans) -> None:
        self._spans = spans
        self._watchers: set[asyncio.Task[None]] = set()

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, _Request], Awaitable[grpc.aio.UnaryStreamCall[_Request, _Response]]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: _Request,
    ) -> AsyncIterator[_Response] | grpc.aio.UnaryStreamCall[_Request, _Response]:
        """Makes the call; its span ends when the call does, whether or not anybody still reads."""
        started = self._spans.start(_name(client_call_details.method))
        try:
            call = await continuation(self._spans.propagated(client_call_details, started), request)
        except BaseException:
            self._spans.finish(started, grpc.StatusCode.CANCELLED)
            raise
        watcher = asyncio.create_task(self._watch(call, started))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return call

    async def _watch(self, call: grpc.aio.Call, started: _Started) -> None:
        code = grpc.StatusCode.CANCELLED
        try:
            code = await call.code()
        finally:
            self._spans.finish(started, code)


def _name(method: Any) -> str:  # noqa: ANN401 - grpc hands out bytes, whatever its types say
    text = method.decode() if isinstance(method, bytes) else str(method)
    return text.removeprefix("/")
