"""One span per part of a compound request; what is done for the part, down to the judges in their process, stands below it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.trace import Span, Tracer

from cascade_service.domain.errors import CascadeError
from cascade_service.domain.events import CascadeEvent, Completed, Completion, Routed
from servicekit import semconv


class PartSpans:
    """Watches parts. The generator must be run and closed in one task: its span is that task's current one."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def watch(self, part: int, events: AsyncGenerator[CascadeEvent, None]) -> AsyncGenerator[CascadeEvent, None]:
        """The same events."""
        name, attributes = f"{semconv.SPAN_PART} {part}", {semconv.EMAFUSION_CASCADE_PART: part}
        with self._tracer.start_as_current_span(name, attributes=attributes, record_exception=False, set_status_on_exception=False) as span:
            try:
                async with aclosing(events):
                    async for event in events:
                        _tell(span, event)
                        yield event
            except CascadeError as error:
                _tell_outcome(span, "failed")
                span.set_attribute(semconv.EMAFUSION_ERROR_REASON, error.reason)
                raise
            except BaseException as error:
                _tell_outcome(span, "failed" if isinstance(error, Exception) else "cancelled")
                raise


def _tell(span: Span, event: CascadeEvent) -> None:
    match event:
        case Routed():
            planned = [model.model for model in event.plan.models]
            span.set_attribute(semconv.EMAFUSION_ROUTER_KIND, event.plan.kind.value)
            span.set_attribute(semconv.EMAFUSION_ROUTER_PLAN_MODELS, planned)
            span.set_attribute(semconv.EMAFUSION_CASCADE_POLICY, event.policy)
            span.set_attribute(semconv.EMAFUSION_CASCADE_POLICY_KIND, event.policy_kind.value)
            span.set_attribute(semconv.EMAFUSION_CASCADE_THRESHOLD, event.threshold)
            if event.answer_worth_nano_usd is not None:
                span.set_attribute(semconv.EMAFUSION_CASCADE_ANSWER_WORTH_NANO_USD, event.answer_worth_nano_usd)
        case Completed():
            _tell_completion(span, event.completion)
        case _:
            pass  # attempts and judges have spans of their own below this one


def _tell_completion(span: Span, completion: Completion) -> None:
    _tell_outcome(span, completion.outcome.value)
    span.set_attribute(semconv.EMAFUSION_CASCADE_MODEL, completion.model)
    span.set_attribute(semconv.EMAFUSION_CASCADE_ATTEMPTS, len(completion.attempts))
    span.set_attribute(semconv.EMAFUSION_CASCADE_COST_NANO_USD, completion.cost_nano_usd)
    span.set_attribute(semconv.EMAFUSION_CASCADE_SUPPORTING_ATTEMPTS, len(completion.supporting_attempts))
    if completion.stop_detail:
        span.set_attribute(semconv.EMAFUSION_CASCADE_STOP_DETAIL, completion.stop_detail)
    if completion.confidence is not None:
        span.set_attribute(semconv.EMAFUSION_CASCADE_CONFIDENCE, completion.confidence)
    if completion.ceiling is not None:
        span.set_attribute(semconv.EMAFUSION_CASCADE_CEILING, completion.ceiling.value)


def _tell_outcome(span: Span, outcome: str) -> None:
    span.set_attribute(semconv.EMAFUSION_CASCADE_OUTCOME, outcome)
