"""The cascade's events told to OpenTelemetry: span events on the server span, and metrics. Never a span per token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry import trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span

from cascade_service.domain.errors import CascadeError
from cascade_service.domain.events import (
    AttemptStarted,
    CascadeEvent,
    Committed,
    Completed,
    Completion,
    Decomposed,
    Delta,
    Escalated,
    Judged,
    Retracted,
    Routed,
)
from cascade_service.domain.ports import Answering, Clock
from cascade_service.domain.request import CascadeRequest
from servicekit import semconv


def current_trace_id() -> str:
    """Trace id of the current span, 32 hex digits; empty when tracing is off."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


class CascadeMeters:
    """The cascade's instruments. Labels are models, outcomes and reasons of the configuration: few values each."""

    def __init__(self, meter: Meter) -> None:
        self.requests = meter.create_counter(semconv.METRIC_CASCADE_REQUESTS, unit="{request}", description="Requests by outcome.")
        self.attempts = meter.create_counter(
            semconv.METRIC_CASCADE_ATTEMPTS, unit="{attempt}", description="Attempts by model and outcome."
        )
        self.escalations = meter.create_counter(
            semconv.METRIC_CASCADE_ESCALATIONS, unit="{escalation}", description="Escalations by reason."
        )
        self.cost = meter.create_counter(
            semconv.METRIC_CASCADE_COST, unit="nUSD", description="Cost of answered requests, attempts and judges."
        )
        self.tokens = meter.create_counter(semconv.METRIC_CASCADE_TOKENS, unit="{token}", description="Tokens of answered requests.")
        self.tokens_saved = meter.create_counter(
            semconv.METRIC_CASCADE_TOKENS_SAVED, unit="{token}", description="Output tokens saved by breaking off hopeless attempts."
        )
        self.first_delta = meter.create_histogram(
            semconv.METRIC_CASCADE_TIME_TO_FIRST_DELTA,
            unit="s",
            description="Time until the first text is shown, final or not.",
            explicit_bucket_boundaries_advisory=semconv.GENERATION_SECONDS_BUCKETS,
        )
        self.first_commit = meter.create_histogram(
            semconv.METRIC_CASCADE_TIME_TO_FIRST_COMMIT,
            unit="s",
            description="Time until the first text is final.",
            explicit_bucket_boundaries_advisory=semconv.GENERATION_SECONDS_BUCKETS,
        )


class InstrumentedCascade:
    """Tells the events of the cascade that it wraps to the current span and to the meters, and passes them on unchanged."""

    def __init__(self, inner: Answering, *, meters: CascadeMeters, clock: Clock) -> None:
        self._inner = inner
        self._meters = meters
        self._clock = clock

    async def answer(self, request: CascadeRequest) -> AsyncGenerator[CascadeEvent, None]:
        """The events of ``inner``."""
        telling = _Telling(request, span=trace.get_current_span(), meters=self._meters, clock=self._clock)
        try:
            async with aclosing(self._inner.answer(request)) as events:
                async for event in events:
                    telling.apply(event)
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            telling.stop("cancelled")
            raise
        except Exception as error:
            telling.stop("failed", reason=error.reason if isinstance(error, CascadeError) else "INTERNAL")
            raise


class _Telling:
    """Fold over the events of one request."""

    def __init__(self, request: CascadeRequest, *, span: Span, meters: CascadeMeters, clock: Clock) -> None:
        self._span = span
        self._meters = meters
        self._clock = clock
        self._started_at_s = clock.monotonic_s()
        # Absent without keys, so that nothing changes where there are none.
        self._caller = {semconv.EMAFUSION_CALLER_KEY_ID: request.caller.key_id} if request.caller.key_id else dict[str, str]()
        self._delivery = {semconv.EMAFUSION_CASCADE_DELIVERY: request.delivery.value}
        self._started: dict[int, AttemptStarted] = {}
        self._running: set[int] = set()
        self._shown = self._committed = self._done = False

    def apply(self, event: CascadeEvent) -> None:
        match event:
            case Decomposed() | Routed():
                self._planned(event)
            case AttemptStarted():
                self._started[event.attempt] = event
                self._running.add(event.attempt)
            case Delta():
                if not self._shown:
                    self._shown = True
                    self._meters.first_delta.record(self._elapsed_s(), self._delivery)
            case Judged():
                pass  # the judge service has a span for each judge, with its verdict
            case Committed():
                self._commit(event)
            case Retracted():
                self._span.add_event(semconv.EVENT_CASCADE_RETRACTED, self._of_attempt(event.attempt))
            case Escalated():
                self._escalated(event)
            case Completed():
                self._completed(event.completion)

    def stop(self, outcome: str, *, reason: str = "") -> None:
        """The stream ended without an answer."""
        if self._done:
            return
        self._done = True
        for attempt in sorted(self._running):
            self._count_attempt(attempt, outcome)
        self._span.set_attribute(semconv.EMAFUSION_CASCADE_OUTCOME, outcome)
        labels = {semconv.EMAFUSION_CASCADE_OUTCOME: outcome, **self._delivery, **self._caller}
        self._meters.requests.add(1, labels | {semconv.EMAFUSION_ERROR_REASON: reason} if reason else labels)

    def _planned(self, event: Decomposed | Routed) -> None:
        if isinstance(event, Decomposed):
            self._decomposed(event)
        else:
            self._routed(event)

    def _decomposed(self, event: Decomposed) -> None:
        attributes: dict[str, str | int] = {
            semconv.EMAFUSION_CASCADE_PARTS: len(event.parts),
            semconv.EMAFUSION_CASCADE_SPLITTER: event.splitter,
        }
        self._span.set_attributes(attributes)
        told = attributes | ({semconv.EMAFUSION_CASCADE_REASON: event.reason} if event.reason else {})
        self._span.add_event(semconv.EVENT_CASCADE_DECOMPOSED, told)

    def _routed(self, event: Routed) -> None:
        self._span.set_attributes(
            {
                semconv.EMAFUSION_CASCADE_DECISION_ID: event.decision_id,
                semconv.EMAFUSION_CASCADE_POLICY: event.policy,
                semconv.EMAFUSION_CASCADE_POLICY_KIND: event.policy_kind.value,
                semconv.EMAFUSION_CASCADE_THRESHOLD: event.threshold,
                **self._delivery,
            }
        )
        if event.answer_worth_nano_usd is not None:
            self._span.set_attribute(semconv.EMAFUSION_CASCADE_ANSWER_WORTH_NANO_USD, event.answer_worth_nano_usd)
        planned = [model.model for model in event.plan.models]
        self._span.add_event(
            semconv.EVENT_CASCADE_ROUTED,
            {semconv.EMAFUSION_ROUTER_KIND: event.plan.kind.value, semconv.EMAFUSION_ROUTER_PLAN_MODELS: planned, **_of_part(event.part)},
        )

    def _commit(self, event: Committed) -> None:
        self._span.add_event(semconv.EVENT_CASCADE_COMMITTED, self._of_attempt(event.attempt))
        if not self._committed:
            self._committed = True
            self._meters.first_commit.record(self._elapsed_s(), self._delivery)

    def _escalated(self, event: Escalated) -> None:
        attributes: dict[str, str | int | float] = {
            **self._of_attempt(event.from_attempt),
            semconv.EMAFUSION_CASCADE_FROM_MODEL: self._started[event.from_attempt].model,
            semconv.EMAFUSION_CASCADE_TO_MODEL: event.next_model,
            semconv.EMAFUSION_CASCADE_REASON: event.reason.value,
            semconv.EMAFUSION_CASCADE_THRESHOLD: event.threshold,
        }
        if event.confidence is not None:
            attributes[semconv.EMAFUSION_CASCADE_CONFIDENCE] = event.confidence
        if event.expected_gain is not None and event.price is not None:
            attributes[semconv.EMAFUSION_CASCADE_EXPECTED_GAIN] = event.expected_gain
            attributes[semconv.EMAFUSION_CASCADE_PRICE] = event.price
        self._span.add_event(semconv.EVENT_CASCADE_ESCALATED, attributes)
        self._meters.escalations.add(1, {semconv.EMAFUSION_CASCADE_REASON: event.reason.value})
        self._count_attempt(event.from_attempt, event.reason.value)

    def _completed(self, completion: Completion) -> None:
        self._done = True
        for summary in completion.attempts:
            if summary.attempt in self._running:  # it ended a cascade; the others were counted when they escalated
                reason = summary.escalation_reason
                self._count_attempt(summary.attempt, "accepted" if reason is None else reason.value)
        attributes: dict[str, str | int | float] = {
            semconv.EMAFUSION_CASCADE_OUTCOME: completion.outcome.value,
            semconv.EMAFUSION_CASCADE_MODEL: completion.model,
            semconv.EMAFUSION_CASCADE_ATTEMPTS: len(completion.attempts),
            semconv.EMAFUSION_CASCADE_COST_NANO_USD: completion.cost_nano_usd,
            semconv.EMAFUSION_CASCADE_POLICY_HASH: completion.policy_hash,
            semconv.EMAFUSION_CASCADE_SUPPORTING_ATTEMPTS: len(completion.supporting_attempts),
        }
        if completion.confidence is not None:
            attributes[semconv.EMAFUSION_CASCADE_CONFIDENCE] = completion.confidence
        if completion.ceiling is not None:
            attributes[semconv.EMAFUSION_CASCADE_CEILING] = completion.ceiling.value
        if completion.stop_detail:
            attributes[semconv.EMAFUSION_CASCADE_STOP_DETAIL] = completion.stop_detail
        self._span.set_attributes(attributes)
        outcome = {semconv.EMAFUSION_CASCADE_OUTCOME: completion.outcome.value, **self._caller}
        self._meters.requests.add(1, outcome | self._delivery)
        for summary in completion.attempts:
            if summary.aborted_early:
                self._meters.tokens_saved.add(summary.tokens_saved, {semconv.EMAFUSION_CASCADE_MODEL: summary.model})
        self._meters.cost.add(completion.cost_nano_usd, outcome)
        self._meters.tokens.add(completion.usage.input_tokens, self._caller | {semconv.GEN_AI_TOKEN_TYPE: semconv.TOKEN_TYPE_INPUT})
        self._meters.tokens.add(completion.usage.output_tokens, self._caller | {semconv.GEN_AI_TOKEN_TYPE: semconv.TOKEN_TYPE_OUTPUT})

    def _count_attempt(self, attempt: int, outcome: str) -> None:
        self._running.discard(attempt)
        labels = {semconv.EMAFUSION_CASCADE_MODEL: self._started[attempt].model, semconv.EMAFUSION_CASCADE_OUTCOME: outcome}
        self._meters.attempts.add(1, labels)

    def _of_attempt(self, attempt: int) -> dict[str, str | int | float]:
        started = self._started[attempt]
        return {
            semconv.EMAFUSION_CASCADE_ATTEMPT: attempt,
            semconv.EMAFUSION_CASCADE_TIER: started.tier,
            **_of_part(started.part),
        }

    def _elapsed_s(self) -> float:
        return self._clock.monotonic_s() - self._started_at_s


def _of_part(part: int | None) -> dict[str, int]:
    return {} if part is None else {semconv.EMAFUSION_CASCADE_PART: part}
