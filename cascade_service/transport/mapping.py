"""Events and completions of the cascade as messages."""

from __future__ import annotations

from typing import assert_never

from emafusion.cascade.v1 import cascade_service_pb2, event_pb2
from emafusion.common.v1 import usage_pb2

from cascade_service.domain.events import (
    AttemptStarted,
    AttemptSummary,
    CascadeEvent,
    Committed,
    Completed,
    Completion,
    Decomposed,
    Delta,
    Escalated,
    Hedge,
    Judged,
    PartSummary,
    Retracted,
    Routed,
    Timing,
)
from cascade_service.transport.verdicts import duration_to_wire, plan_to_wire, risk_to_wire, usage_to_wire, verdict_to_wire


def event_to_wire(event: CascadeEvent) -> cascade_service_pb2.StreamCompleteResponse:  # noqa: PLR0911 - one return per event
    """One event of the stream."""
    response = cascade_service_pb2.StreamCompleteResponse
    match event:
        case Decomposed():
            return response(decomposed=_decomposed_to_wire(event))
        case Routed():
            return response(routed=_routed_to_wire(event))
        case AttemptStarted(attempt=attempt, tier=tier, model=model, part=part):
            return response(attempt_started=event_pb2.AttemptStarted(attempt=attempt, tier=tier, model=model, part=part))
        case Delta(attempt=attempt, sequence=sequence, text=text):
            return response(delta=event_pb2.Delta(attempt=attempt, sequence=sequence, text=text))
        case Judged(attempt=attempt, verdict=verdict, accepted=accepted):
            return response(judged=event_pb2.Judged(attempt=attempt, verdict=verdict_to_wire(verdict), accepted=accepted))
        case Committed(attempt=attempt, through_sequence=through):
            return response(committed=event_pb2.Committed(attempt=attempt, through_sequence=through))
        case Retracted(attempt=attempt, from_sequence=first):
            return response(retracted=event_pb2.Retracted(attempt=attempt, from_sequence=first))
        case Escalated():
            return response(escalated=_escalated_to_wire(event))
        case Completed(completion=completion):
            return response(completed=event_pb2.Completed(completion=completion_to_wire(completion)))
        case _:
            assert_never(event)


def completion_to_wire(completion: Completion) -> event_pb2.Completion:
    """The answer and how it came about."""
    return event_pb2.Completion(
        decision_id=completion.decision_id,
        text=completion.text,
        model=completion.model,
        attempt=completion.attempt,
        outcome=f"OUTCOME_{completion.outcome.name}",
        confidence=completion.confidence,
        ceiling=None if completion.ceiling is None else f"CEILING_{completion.ceiling.name}",
        finish_reason=f"FINISH_REASON_{completion.finish_reason.name}",
        attempts=[summary_to_wire(summary) for summary in completion.attempts],
        usage=usage_to_wire(completion.usage),
        cost_nano_usd=completion.cost_nano_usd,
        timing=_timing_to_wire(completion.timing),
        trace_id=completion.trace_id,
        policy_hash=completion.policy_hash,
        incomplete=completion.incomplete,
        supporting_attempts=completion.supporting_attempts,
        stop_detail=completion.stop_detail,
        policy_kind=f"POLICY_KIND_{completion.policy_kind.name}",
        answer_worth_nano_usd=completion.answer_worth_nano_usd,
        parts=[_part_to_wire(part) for part in completion.parts],
        risk=risk_to_wire(completion.risk),
    )


def summary_to_wire(summary: AttemptSummary) -> event_pb2.AttemptSummary:
    """One attempt, summed up."""
    reason, first = summary.escalation_reason, summary.time_to_first_chunk_s
    return event_pb2.AttemptSummary(
        attempt=summary.attempt,
        tier=summary.tier,
        model=summary.model,
        chosen=summary.chosen,
        escalation_reason=None if reason is None else f"ESCALATION_REASON_{reason.name}",
        confidence=summary.confidence,
        finish_reason=f"FINISH_REASON_{summary.finish_reason.name}",
        usage=usage_to_wire(summary.usage),
        cost_nano_usd=summary.cost_nano_usd,
        judge_cost_nano_usd=summary.judge_cost_nano_usd,
        time_to_first_chunk=None if first is None else duration_to_wire(first),
        duration=duration_to_wire(summary.duration_s),
        error=summary.error,
        aborted_early=summary.aborted_early,
        tokens_saved=summary.tokens_saved,
        continues_attempt=summary.continues_attempt,
        expected_gain=summary.expected_gain,
        price=summary.price,
        hedge=None if summary.hedge is None else _hedge_to_wire(summary.hedge),
        part=summary.part,
    )


def _hedge_to_wire(hedge: Hedge) -> event_pb2.Hedge:
    return event_pb2.Hedge(
        endpoint=hedge.endpoint,
        hedged=hedge.hedged,
        wasted_cost_nano_usd=hedge.wasted_cost_nano_usd,
        skipped_endpoints=hedge.skipped_endpoints,
    )


def _part_to_wire(summary: PartSummary) -> event_pb2.PartSummary:
    return event_pb2.PartSummary(
        label=summary.label,
        needs_earlier=summary.needs_earlier,
        text_start=summary.text_start,
        text_end=summary.text_end,
        model=summary.model or "",
        attempt=summary.attempt,
        outcome=None if summary.outcome is None else f"OUTCOME_{summary.outcome.name}",
        confidence=summary.confidence,
        ceiling=None if summary.ceiling is None else f"CEILING_{summary.ceiling.name}",
        cost_nano_usd=summary.cost_nano_usd,
        error_reason=summary.error_reason,
        supporting_attempts=summary.supporting_attempts,
        stop_detail=summary.stop_detail,
    )


def _decomposed_to_wire(event: Decomposed) -> event_pb2.Decomposed:
    return event_pb2.Decomposed(
        decision_id=event.decision_id,
        parts=[event_pb2.Part(label=part.label, text=part.text, needs_earlier=part.needs_earlier) for part in event.parts],
        splitter=event.splitter,
        reason=event.reason,
        cost_nano_usd=event.cost_nano_usd,
    )


def _routed_to_wire(event: Routed) -> event_pb2.Routed:
    return event_pb2.Routed(
        decision_id=event.decision_id,
        plan=plan_to_wire(event.plan),
        static_plan=event.static_plan,
        policy=event.policy,
        threshold=event.threshold,
        delivery=f"DELIVERY_MODE_{event.delivery.name}",
        policy_kind=f"POLICY_KIND_{event.policy_kind.name}",
        answer_worth_nano_usd=event.answer_worth_nano_usd,
        part=event.part,
        risk=risk_to_wire(event.risk),
    )


def _escalated_to_wire(event: Escalated) -> event_pb2.Escalated:
    return event_pb2.Escalated(
        from_attempt=event.from_attempt,
        reason=f"ESCALATION_REASON_{event.reason.name}",
        confidence=event.confidence,
        threshold=event.threshold,
        next_model=event.next_model,
        detail=event.detail,
        expected_gain=event.expected_gain,
        price=event.price,
    )


def _timing_to_wire(timing: Timing) -> usage_pb2.Timing:
    return usage_pb2.Timing(
        queue=duration_to_wire(timing.queue_s),
        inference=duration_to_wire(timing.inference_s),
        total=duration_to_wire(timing.total_s),
    )
