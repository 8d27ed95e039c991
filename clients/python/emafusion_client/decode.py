"""Protobuf messages as the client's own values: router, judge and what all services share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

from emafusion.common.v1 import error_reason_pb2, model_pb2, usage_pb2
from emafusion.judge.v1 import judge_service_pb2, verdict_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2
from google.protobuf.duration_pb2 import Duration

from emafusion_client.answers import (
    AxisPrediction,
    CandidateOutcome,
    ExcludedModel,
    ItemError,
    JudgeInfo,
    Judgement,
    JudgeOutcome,
    JudgePanel,
    ModelInfo,
    Plan,
    PlannedModel,
    Routing,
    Timing,
    Usage,
    Verdict,
    WeighedModel,
)
from emafusion_client.vocabulary import Defect, ExclusionCause, JudgeStatus, RouteKind

_Word = TypeVar("_Word", bound=StrEnum)
_NANO = 1e9


def word(vocabulary: type[_Word], name_of: Callable[[int], str], number: int, *, prefix: str) -> _Word:
    """The member of ``vocabulary`` for an enum number; ``unspecified`` for a number that this version does not know."""
    try:
        return vocabulary(name_of(number).removeprefix(prefix).lower())
    except ValueError:
        return vocabulary("unspecified")


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.ToNanoseconds() / _NANO


def usage(message: usage_pb2.Usage) -> Usage:
    """Tokens."""
    return Usage(
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        cached_input_tokens=message.cached_input_tokens,
        estimated=message.estimated,
    )


def timing(message: usage_pb2.Timing) -> Timing:
    """Where the time went."""
    return Timing(queue_s=seconds(message.queue), inference_s=seconds(message.inference), total_s=seconds(message.total))


def model_info(message: model_pb2.ModelInfo) -> ModelInfo:
    """A configured model."""
    return ModelInfo(
        name=message.name,
        provider=message.provider,
        input_nano_usd_per_mtok=message.price.input_nano_usd_per_mtok,
        output_nano_usd_per_mtok=message.price.output_nano_usd_per_mtok,
        context_tokens=message.context_tokens,
        max_output_tokens=message.max_output_tokens,
        capabilities=tuple(message.capabilities),
        enabled=message.enabled,
        disabled_reason=message.disabled_reason,
    )


def routing(message: router_service_pb2.RouteResponse) -> Routing:
    """The router's answer."""
    return Routing(plan=plan(message.plan), timing=timing(message.timing))


def plan(message: plan_pb2.Plan) -> Plan:
    """Models to try."""
    return Plan(
        models=tuple(_planned(model) for model in message.models),
        excluded=tuple(_excluded(model) for model in message.excluded),
        kind=word(RouteKind, plan_pb2.RouteKind.Name, message.kind, prefix="ROUTE_KIND_"),
        axes=tuple(_axis(axis) for axis in message.taxonomy.axes),
        clear=message.taxonomy.clear,
        reasons=tuple(message.reasons),
        input_tokens=message.input_tokens,
        policy_hash=message.policy_hash,
        weighed=tuple(_weighed(model) for model in message.weighed),
    )


def _weighed(message: plan_pb2.WeighedModel) -> WeighedModel:
    return WeighedModel(
        model=message.model,
        suitability=message.suitability,
        suitability_stddev=message.suitability_stddev,
        observations=message.observations,
        measured=message.measured,
        predicted_quality=message.predicted_quality,
        quality_stddev=message.quality_stddev,
        predicted_cost_nano_usd=message.predicted_cost_nano_usd,
        predicted_output_tokens=message.predicted_output_tokens,
    )


def _planned(message: plan_pb2.PlannedModel) -> PlannedModel:
    return PlannedModel(
        model=message.model,
        predicted_quality=message.predicted_quality,
        quality_stddev=message.quality_stddev,
        predicted_cost_nano_usd=message.predicted_cost_nano_usd,
        predicted_output_tokens=message.predicted_output_tokens,
        reason=message.reason,
    )


def _excluded(message: plan_pb2.ExcludedModel) -> ExcludedModel:
    cause = word(ExclusionCause, plan_pb2.ExcludedModel.Cause.Name, message.cause, prefix="CAUSE_")
    return ExcludedModel(model=message.model, cause=cause, detail=message.detail)


def _axis(message: plan_pb2.AxisPrediction) -> AxisPrediction:
    return AxisPrediction(
        axis=message.axis,
        label=message.label,
        probability=message.probability,
        distribution=tuple((entry.label, entry.probability) for entry in message.distribution),
    )


def judgement(message: judge_service_pb2.JudgeResponse) -> Judgement:
    """What the judges say."""
    return Judgement(outcomes=tuple(_candidate_outcome(outcome) for outcome in message.outcomes), timing=timing(message.timing))


def _candidate_outcome(message: judge_service_pb2.CandidateOutcome) -> CandidateOutcome:
    result = verdict(message.verdict) if message.HasField("verdict") else _item_error(message.error)
    return CandidateOutcome(candidate_id=message.candidate_id, result=result)


def _item_error(message: error_reason_pb2.ItemError) -> ItemError:
    try:
        reason = error_reason_pb2.ErrorReason.Name(message.reason).removeprefix("ERROR_REASON_")
    except ValueError:
        reason = ""
    return ItemError(code=message.code, reason=reason, message=message.message, field=message.field, metadata=dict(message.metadata))


def verdict(message: verdict_pb2.Verdict) -> Verdict:
    """The panel's verdict on one answer."""
    return Verdict(
        confidence=message.confidence,
        disagreement=message.disagreement,
        outcomes=tuple(_judge_outcome(outcome) for outcome in message.outcomes),
        defects=_defects(message.defects),
        stopped_early=message.stopped_early,
        evidence=message.evidence,
        calibration=message.calibration,
        cost_nano_usd=message.cost_nano_usd,
    )


def _judge_outcome(message: verdict_pb2.JudgeOutcome) -> JudgeOutcome:
    return JudgeOutcome(
        judge=message.judge,
        status=word(JudgeStatus, verdict_pb2.JudgeOutcome.Status.Name, message.status, prefix="STATUS_"),
        score=message.score if message.HasField("score") else None,
        explanation=message.explanation,
        criteria=tuple((criterion.criterion, criterion.score) for criterion in message.criteria),
        defects=_defects(message.defects),
        duration_s=seconds(message.duration),
        cost_nano_usd=message.cost_nano_usd,
        same_answer_as=tuple(message.same_answer_as),
    )


def _defects(numbers: Iterable[int]) -> tuple[Defect, ...]:
    return tuple(word(Defect, verdict_pb2.Defect.Name, number, prefix="DEFECT_") for number in numbers)


def judge_panel(message: judge_service_pb2.ListJudgesResponse) -> JudgePanel:
    """The panel."""
    return JudgePanel(judges=tuple(_judge_info(judge) for judge in message.judges), calibration=message.calibration)


def _judge_info(message: judge_service_pb2.JudgeInfo) -> JudgeInfo:
    return JudgeInfo(
        name=message.name, kind=message.kind, model=message.model, enabled=message.enabled, disabled_reason=message.disabled_reason
    )
