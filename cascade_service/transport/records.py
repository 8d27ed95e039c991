"""Decision records, feedback and models as messages."""

from __future__ import annotations

from datetime import datetime

from emafusion.cascade.v1 import decision_pb2, quota_pb2
from emafusion.common.v1 import model_pb2
from google.protobuf import timestamp_pb2

from cascade_service.domain.decision import Decision, Feedback, RecordedAttempt, RecordedPart
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.quotas import Account
from cascade_service.transport.mapping import completion_to_wire, summary_to_wire
from cascade_service.transport.verdicts import plan_to_wire, risk_to_wire, verdict_to_wire


def decision_to_wire(decision: Decision) -> decision_pb2.Decision:
    """The record of one request."""
    return decision_pb2.Decision(
        decision_id=decision.decision_id,
        create_time=_timestamp(decision.create_time),
        status=f"DECISION_STATUS_{decision.status.name}",
        prompt_sha256=decision.prompt_sha256,
        prompt_json=decision.prompt_json,
        plan=None if decision.plan is None else plan_to_wire(decision.plan),
        policy=decision.policy,
        threshold=decision.threshold,
        delivery=f"DELIVERY_MODE_{decision.delivery.name}",
        attempts=[_recorded_to_wire(attempt) for attempt in decision.attempts],
        completion=None if decision.completion is None else completion_to_wire(decision.completion),
        error_reason=decision.error_reason,
        feedback=[feedback_to_wire(opinion) for opinion in decision.feedback],
        trace_id=decision.trace_id,
        policy_kind=f"POLICY_KIND_{decision.policy_kind.name}",
        answer_worth_nano_usd=decision.answer_worth_nano_usd,
        key_id=decision.key_id,
        parts=[_recorded_part_to_wire(part) for part in decision.parts],
        risk=risk_to_wire(decision.risk),
    )


def feedback_to_wire(feedback: Feedback) -> decision_pb2.Feedback:
    """Feedback as recorded."""
    return decision_pb2.Feedback(
        correct=feedback.correct, rating=feedback.rating, source=feedback.source, create_time=_timestamp(feedback.create_time)
    )


def feedback_from_wire(feedback: decision_pb2.Feedback, *, create_time: datetime) -> Feedback:
    """Feedback as sent; its time is ours."""
    return Feedback(
        correct=feedback.correct if feedback.HasField("correct") else None,
        rating=feedback.rating if feedback.HasField("rating") else None,
        source=feedback.source,
        create_time=create_time,
    )


def model_to_wire(model: ConfiguredModel) -> model_pb2.ModelInfo:
    """A model of the configuration."""
    return model_pb2.ModelInfo(
        name=model.name,
        provider=model.provider,
        price=model_pb2.Price(
            input_nano_usd_per_mtok=model.price.input_nano_usd_per_mtok,
            output_nano_usd_per_mtok=model.price.output_nano_usd_per_mtok,
            cached_input_nano_usd_per_mtok=model.price.cached_input_nano_usd_per_mtok,
        ),
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        capabilities=sorted(model.capabilities),
        enabled=not model.disabled_reason,
        disabled_reason=model.disabled_reason,
    )


def quota_to_wire(account: Account, *, now_ns: int) -> quota_pb2.Quota:
    """What a scope has used up at a moment, in nanoseconds since 1970."""
    limits = account.limits
    return quota_pb2.Quota(
        scope=account.scope,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        cost_max_nano_usd_per_day=limits.cost_max_nano_usd_per_day,
        concurrent_requests=limits.concurrent_requests,
        requests_used=account.requests_used(now_ns),
        tokens_used=account.tokens_used(now_ns),
        requests_running=account.running,
        day=account.day,
        requests_today=account.requests_today,
        tokens_today=account.tokens_today,
        cost_nano_usd_today=account.cost_today_nano_usd,
        cost_nano_usd_held=account.cost_held_nano_usd,
    )


def _recorded_to_wire(attempt: RecordedAttempt) -> decision_pb2.RecordedAttempt:
    return decision_pb2.RecordedAttempt(
        summary=summary_to_wire(attempt.summary),
        verdict=None if attempt.verdict is None else verdict_to_wire(attempt.verdict),
        text_sha256=attempt.text_sha256,
        text=attempt.text,
    )


def _recorded_part_to_wire(part: RecordedPart) -> decision_pb2.RecordedPart:
    return decision_pb2.RecordedPart(
        label=part.label,
        needs_earlier=part.needs_earlier,
        text_sha256=part.text_sha256,
        text=part.text,
        plan=None if part.plan is None else plan_to_wire(part.plan),
    )


def _timestamp(time: datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(time)
    return stamp
