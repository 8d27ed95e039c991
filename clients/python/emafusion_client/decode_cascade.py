"""Protobuf messages as the client's own values: the cascade's events, answers and records."""

from __future__ import annotations

from datetime import UTC, datetime

from emafusion.cascade.v1 import cascade_service_pb2, decision_pb2, event_pb2
from emafusion.common.v1 import usage_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from emafusion_client.answers import (
    AttemptSummary,
    Completion,
    Decision,
    Feedback,
    Hedge,
    PartSummary,
    RecordedAttempt,
    RecordedPart,
    RiskCertificate,
)
from emafusion_client.decode import plan, seconds, timing, usage, verdict, word
from emafusion_client.events import (
    AttemptStarted,
    Committed,
    Completed,
    Decomposed,
    Delta,
    Escalated,
    Event,
    Judged,
    Part,
    Retracted,
    Routed,
)
from emafusion_client.vocabulary import Ceiling, DecisionStatus, Delivery, EscalationReason, FinishReason, Outcome, PolicyKind


def event(message: cascade_service_pb2.StreamCompleteResponse) -> Event | None:
    """The event in a message of the stream; None for an event that this version does not know."""
    match message.WhichOneof("event"):
        case "routed":
            return _routed(message.routed)
        case "attempt_started":
            started = message.attempt_started
            return AttemptStarted(attempt=started.attempt, tier=started.tier, model=started.model, part=_part_number(started))
        case "judged":
            judged = message.judged
            return Judged(attempt=judged.attempt, verdict=verdict(judged.verdict), accepted=judged.accepted)
        case "escalated":
            return _escalated(message.escalated)
        case "completed":
            return Completed(completion=completion(message.completed.completion))
        case _:
            return _text_event(message)


def _text_event(message: cascade_service_pb2.StreamCompleteResponse) -> Event | None:
    match message.WhichOneof("event"):
        case "delta":
            return Delta(attempt=message.delta.attempt, sequence=message.delta.sequence, text=message.delta.text)
        case "committed":
            return Committed(attempt=message.committed.attempt, through_sequence=message.committed.through_sequence)
        case "retracted":
            return Retracted(attempt=message.retracted.attempt, from_sequence=message.retracted.from_sequence)
        case "decomposed":
            return _decomposed(message.decomposed)
        case _:
            return None


def _decomposed(message: event_pb2.Decomposed) -> Decomposed:
    return Decomposed(
        decision_id=message.decision_id,
        parts=tuple(Part(label=part.label, text=part.text, needs_earlier=part.needs_earlier) for part in message.parts),
        splitter=message.splitter,
        reason=message.reason,
        cost_nano_usd=message.cost_nano_usd,
    )


def _part_number(message: event_pb2.Routed | event_pb2.AttemptStarted | event_pb2.AttemptSummary) -> int | None:
    return message.part if message.HasField("part") else None


def _routed(message: event_pb2.Routed) -> Routed:
    return Routed(
        decision_id=message.decision_id,
        plan=plan(message.plan),
        static_plan=message.static_plan,
        policy=message.policy,
        threshold=message.threshold,
        delivery=_delivery(message.delivery),
        policy_kind=_policy_kind(message.policy_kind),
        answer_worth_nano_usd=message.answer_worth_nano_usd if message.HasField("answer_worth_nano_usd") else None,
        part=_part_number(message),
        risk=_risk(message.risk) if message.HasField("risk") else None,
    )


def _escalated(message: event_pb2.Escalated) -> Escalated:
    return Escalated(
        from_attempt=message.from_attempt,
        reason=_reason(message.reason),
        confidence=message.confidence if message.HasField("confidence") else None,
        threshold=message.threshold,
        next_model=message.next_model,
        detail=message.detail,
        expected_gain=message.expected_gain if message.HasField("expected_gain") else None,
        price=message.price if message.HasField("price") else None,
    )


def completion(message: event_pb2.Completion) -> Completion:
    """The answer and how it came about."""
    return Completion(
        decision_id=message.decision_id,
        text=message.text,
        model=message.model,
        attempt=message.attempt,
        outcome=_outcome(message.outcome),
        confidence=message.confidence if message.HasField("confidence") else None,
        ceiling=_ceiling(message.ceiling),
        finish_reason=_finish_reason(message.finish_reason),
        attempts=tuple(_attempt(attempt) for attempt in message.attempts),
        usage=usage(message.usage),
        cost_nano_usd=message.cost_nano_usd,
        timing=timing(message.timing),
        trace_id=message.trace_id,
        policy_hash=message.policy_hash,
        incomplete=message.incomplete,
        supporting_attempts=tuple(message.supporting_attempts),
        stop_detail=message.stop_detail,
        policy_kind=_policy_kind(message.policy_kind),
        answer_worth_nano_usd=message.answer_worth_nano_usd if message.HasField("answer_worth_nano_usd") else None,
        risk=_risk(message.risk) if message.HasField("risk") else None,
        parts=tuple(_part(part) for part in message.parts),
    )


def _part(message: event_pb2.PartSummary) -> PartSummary:
    return PartSummary(
        label=message.label,
        needs_earlier=message.needs_earlier,
        text_start=message.text_start,
        text_end=message.text_end,
        model=message.model,
        attempt=message.attempt if message.HasField("attempt") else None,
        outcome=_outcome(message.outcome),
        confidence=message.confidence if message.HasField("confidence") else None,
        ceiling=_ceiling(message.ceiling),
        cost_nano_usd=message.cost_nano_usd,
        error_reason=message.error_reason,
        supporting_attempts=tuple(message.supporting_attempts),
        stop_detail=message.stop_detail,
    )


def _attempt(message: event_pb2.AttemptSummary) -> AttemptSummary:
    return AttemptSummary(
        attempt=message.attempt,
        tier=message.tier,
        model=message.model,
        chosen=message.chosen,
        escalation_reason=_reason(message.escalation_reason),
        confidence=message.confidence if message.HasField("confidence") else None,
        finish_reason=_finish_reason(message.finish_reason),
        usage=usage(message.usage),
        cost_nano_usd=message.cost_nano_usd,
        judge_cost_nano_usd=message.judge_cost_nano_usd,
        time_to_first_chunk_s=seconds(message.time_to_first_chunk) if message.HasField("time_to_first_chunk") else None,
        duration_s=seconds(message.duration),
        error=message.error,
        aborted_early=message.aborted_early,
        tokens_saved=message.tokens_saved,
        continues_attempt=message.continues_attempt if message.HasField("continues_attempt") else None,
        expected_gain=message.expected_gain if message.HasField("expected_gain") else None,
        price=message.price if message.HasField("price") else None,
        hedge=_hedge(message.hedge) if message.HasField("hedge") else None,
        part=_part_number(message),
    )


def _hedge(message: event_pb2.Hedge) -> Hedge:
    return Hedge(
        endpoint=message.endpoint,
        hedged=message.hedged,
        wasted_cost_nano_usd=message.wasted_cost_nano_usd,
        skipped_endpoints=tuple(message.skipped_endpoints),
    )


def decision(message: decision_pb2.Decision) -> Decision:
    """The record of one request."""
    return Decision(
        decision_id=message.decision_id,
        create_time=_moment(message.create_time) if message.HasField("create_time") else None,
        status=word(DecisionStatus, decision_pb2.DecisionStatus.Name, message.status, prefix="DECISION_STATUS_"),
        prompt_sha256=message.prompt_sha256,
        prompt_json=message.prompt_json if message.HasField("prompt_json") else None,
        plan=plan(message.plan) if message.HasField("plan") else None,
        policy=message.policy,
        threshold=message.threshold,
        delivery=_delivery(message.delivery),
        attempts=tuple(_recorded(attempt) for attempt in message.attempts),
        completion=completion(message.completion) if message.HasField("completion") else None,
        error_reason=message.error_reason,
        feedback=tuple(feedback(entry) for entry in message.feedback),
        trace_id=message.trace_id,
        policy_kind=_policy_kind(message.policy_kind),
        answer_worth_nano_usd=message.answer_worth_nano_usd if message.HasField("answer_worth_nano_usd") else None,
        risk=_risk(message.risk) if message.HasField("risk") else None,
        key_id=message.key_id,
        parts=tuple(_recorded_part(part) for part in message.parts),
    )


def _recorded_part(message: decision_pb2.RecordedPart) -> RecordedPart:
    return RecordedPart(
        label=message.label,
        needs_earlier=message.needs_earlier,
        text_sha256=message.text_sha256,
        text=message.text if message.HasField("text") else None,
        plan=plan(message.plan) if message.HasField("plan") else None,
    )


def _recorded(message: decision_pb2.RecordedAttempt) -> RecordedAttempt:
    return RecordedAttempt(
        summary=_attempt(message.summary),
        verdict=verdict(message.verdict) if message.HasField("verdict") else None,
        text_sha256=message.text_sha256,
        text=message.text if message.HasField("text") else None,
    )


def feedback(message: decision_pb2.Feedback) -> Feedback:
    """Feedback as recorded."""
    return Feedback(
        correct=message.correct if message.HasField("correct") else None,
        rating=message.rating if message.HasField("rating") else None,
        source=message.source,
        create_time=_moment(message.create_time) if message.HasField("create_time") else None,
    )


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _outcome(number: int) -> Outcome:
    return word(Outcome, event_pb2.Outcome.Name, number, prefix="OUTCOME_")


def _ceiling(number: int) -> Ceiling:
    return word(Ceiling, event_pb2.Ceiling.Name, number, prefix="CEILING_")


def _delivery(number: int) -> Delivery:
    return word(Delivery, event_pb2.DeliveryMode.Name, number, prefix="DELIVERY_MODE_")


def _risk(message: event_pb2.RiskCertificate) -> RiskCertificate:
    return RiskCertificate(
        wrong_max=message.wrong_max,
        confidence=message.confidence,
        threshold=message.threshold,
        calibration=message.calibration,
        questions=message.questions,
    )


def _policy_kind(number: int) -> PolicyKind:
    return word(PolicyKind, event_pb2.PolicyKind.Name, number, prefix="POLICY_KIND_")


def _reason(number: int) -> EscalationReason:
    return word(EscalationReason, event_pb2.EscalationReason.Name, number, prefix="ESCALATION_REASON_")


def _finish_reason(number: int) -> FinishReason:
    return word(FinishReason, usage_pb2.FinishReason.Name, number, prefix="FINISH_REASON_")
