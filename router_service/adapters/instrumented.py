"""Spans and metrics around the router's ports."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Tracer

from router_service.domain.ports import ConversationReader, Reading
from router_service.domain.routing import Decider, Plan, Query
from servicekit import semconv


class RouterMeters:
    """The router's own metrics."""

    def __init__(self, meter: Meter) -> None:
        self.plans = meter.create_counter(semconv.METRIC_ROUTER_PLANS, unit="{plan}", description="Plans by kind")
        self.batch_size = meter.create_histogram(semconv.METRIC_ROUTER_BATCH_SIZE, unit="{text}", description="Texts in a batch")
        self.queue_wait = meter.create_histogram(
            semconv.METRIC_ROUTER_QUEUE_WAIT,
            unit="s",
            description="Wait for a batch",
            explicit_bucket_boundaries_advisory=semconv.SECONDS_BUCKETS,
        )


class InstrumentedReader:
    """An `encode` span per conversation, and the batcher's metrics."""

    def __init__(self, inner: ConversationReader, *, tracer: Tracer, meters: RouterMeters) -> None:
        self._inner = inner
        self._tracer = tracer
        self._meters = meters

    async def read(self, messages: Sequence[str]) -> Reading:
        """As the reader inside."""
        with self._tracer.start_as_current_span(semconv.SPAN_ENCODE, kind=SpanKind.INTERNAL, record_exception=False) as span:
            reading = await self._inner.read(messages)
            span.set_attribute(semconv.EMAFUSION_ROUTER_BATCH_SIZE, reading.batch_size)
            span.set_attribute(semconv.EMAFUSION_ROUTER_INPUT_TOKENS, reading.input_tokens)
        self._meters.batch_size.record(reading.batch_size)
        self._meters.queue_wait.record(reading.queue_s)
        return reading


class InstrumentedDecider:
    """A `classify` span per plan, and the plans counted by kind."""

    def __init__(self, inner: Decider, *, tracer: Tracer, meters: RouterMeters) -> None:
        self._inner = inner
        self._tracer = tracer
        self._meters = meters

    async def decide(self, query: Query, reading: Reading) -> Plan:
        """As the decider inside."""
        with self._tracer.start_as_current_span(semconv.SPAN_CLASSIFY, kind=SpanKind.INTERNAL, record_exception=False) as span:
            plan = await self._inner.decide(query, reading)
            span.set_attribute(semconv.EMAFUSION_ROUTER_KIND, plan.kind.value)
            span.set_attribute(semconv.EMAFUSION_ROUTER_CLEAR, plan.taxonomy.clear)
            span.set_attribute(semconv.EMAFUSION_ROUTER_PLAN_MODELS, [planned.estimate.model.name for planned in plan.order.planned])
        self._meters.plans.add(1, {semconv.EMAFUSION_ROUTER_KIND: plan.kind.value})
        return plan
