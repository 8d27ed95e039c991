"""Between the domain and the messages of the router and the judge: questions out, plans and verdicts in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Protocol, TypeVar

from emafusion.common.v1 import chat_pb2, usage_pb2
from emafusion.judge.v1 import judge_service_pb2, verdict_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2

from cascade_service.domain.chat import GenerationParams, LogprobSummary, Message, OutputContract, Usage
from cascade_service.domain.plan import (
    AxisPrediction,
    Constraints,
    ExcludedModel,
    ExclusionCause,
    LabelProbability,
    Plan,
    PlannedModel,
    RouteKind,
    Taxonomy,
)
from cascade_service.domain.ports import Answer, JointQuestion, JudgeQuestion, RouteQuestion
from cascade_service.domain.verdict import CriterionScore, Defect, JudgeOutcome, JudgeStatus, Verdict

_Member = TypeVar("_Member", bound=Enum)


class _WireEnum(Protocol):
    def Name(self, number: int) -> str: ...  # noqa: N802 - protobuf's name


class NotUnderstood(ValueError):
    """A peer sent what its contract does not have: an unknown enum value or a figure out of range."""


def messages_to_wire(messages: tuple[Message, ...]) -> list[chat_pb2.Message]:
    """The conversation."""
    return [chat_pb2.Message(role=f"ROLE_{message.role.name}", content=message.content) for message in messages]


def route_request_to_wire(question: RouteQuestion) -> router_service_pb2.RouteRequest:
    """The question to the router. What the caller left open stays open."""
    return router_service_pb2.RouteRequest(
        messages=messages_to_wire(question.messages),
        params=_params_to_wire(question.params),
        constraints=_constraints_to_wire(question.constraints),
    )


def judge_request_to_wire(question: JudgeQuestion) -> judge_service_pb2.JudgeRequest:
    """The question to the panel: one candidate and its peers."""
    return judge_service_pb2.JudgeRequest(
        messages=messages_to_wire(question.messages),
        candidates=[_candidate_to_wire(question.candidate)],
        peers=[_candidate_to_wire(peer) for peer in question.peers],
        output=_output_to_wire(question.output),
        panel=judge_service_pb2.Panel(
            judges=question.judges, accept_threshold=question.accept_threshold, cost_max_nano_usd=question.cost_max_nano_usd
        ),
    )


def joint_request_to_wire(question: JointQuestion) -> judge_service_pb2.JudgeRequest:
    """The question to the panel: all answers at once, at no cost and without an early stop."""
    return judge_service_pb2.JudgeRequest(
        messages=messages_to_wire(question.messages),
        candidates=[_candidate_to_wire(candidate) for candidate in question.candidates],
        output=_output_to_wire(question.output),
        panel=judge_service_pb2.Panel(judges=question.judges, cost_max_nano_usd=0),
    )


def plan_from_wire(plan: plan_pb2.Plan) -> Plan:
    """The router's plan. Raises ``NotUnderstood``."""
    return Plan(
        models=tuple(_planned_from_wire(model) for model in plan.models),
        excluded=tuple(
            ExcludedModel(
                model=model.model,
                cause=_member(ExclusionCause, plan_pb2.ExcludedModel.Cause, model.cause, prefix="CAUSE_"),
                detail=model.detail,
            )
            for model in plan.excluded
        ),
        kind=_member(RouteKind, plan_pb2.RouteKind, plan.kind, prefix="ROUTE_KIND_"),
        taxonomy=_taxonomy_from_wire(plan.taxonomy) if plan.HasField("taxonomy") else None,
        reasons=tuple(plan.reasons),
        input_tokens=max(1, plan.input_tokens),
        policy_hash=plan.policy_hash,
    )


def verdict_from_wire(verdict: verdict_pb2.Verdict) -> Verdict:
    """The panel's verdict. Raises ``NotUnderstood``."""
    return Verdict(
        confidence=_probability("confidence", verdict.confidence),
        disagreement=_probability("disagreement", verdict.disagreement),
        outcomes=tuple(_outcome_from_wire(outcome) for outcome in verdict.outcomes),
        defects=_defects_from_wire(verdict.defects),
        stopped_early=verdict.stopped_early,
        evidence=verdict.evidence,
        calibration=verdict.calibration,
        cost_nano_usd=_not_negative("cost_nano_usd", verdict.cost_nano_usd),
    )


def _params_to_wire(params: GenerationParams) -> chat_pb2.GenerationParams:
    return chat_pb2.GenerationParams(
        max_output_tokens=params.max_output_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        seed=params.seed,
        stop=params.stop,
    )


def _constraints_to_wire(constraints: Constraints) -> router_service_pb2.Constraints:
    return router_service_pb2.Constraints(
        attempt_cost_max_nano_usd=constraints.attempt_cost_max_nano_usd,
        allow_models=constraints.allow_models,
        deny_models=constraints.deny_models,
        required_capabilities=constraints.required_capabilities,
        models_max=constraints.models_max,
        suitability_min=constraints.suitability_min,
        answer_worth_nano_usd=constraints.answer_worth_nano_usd,
    )


def _output_to_wire(output: OutputContract) -> chat_pb2.OutputContract:
    return chat_pb2.OutputContract(kind=f"KIND_{output.kind.name}", json_schema=output.json_schema)


def _candidate_to_wire(answer: Answer) -> judge_service_pb2.Candidate:
    return judge_service_pb2.Candidate(
        id=answer.id,
        text=answer.text,
        model=answer.model,
        finish_reason=f"FINISH_REASON_{answer.finish_reason.name}",
        logprobs=None if answer.logprobs is None else _logprobs_to_wire(answer.logprobs),
        predicted_quality=answer.predicted_quality,
    )


def _logprobs_to_wire(logprobs: LogprobSummary) -> usage_pb2.LogprobSummary:
    return usage_pb2.LogprobSummary(
        tokens=logprobs.tokens,
        mean=logprobs.mean,
        min=logprobs.min,
        share_uncertain=logprobs.share_uncertain,
        first=logprobs.first,
    )


def _planned_from_wire(model: plan_pb2.PlannedModel) -> PlannedModel:
    return PlannedModel(
        model=model.model,
        predicted_quality=_probability("predicted_quality", model.predicted_quality),
        quality_stddev=_probability("quality_stddev", model.quality_stddev),
        predicted_cost_nano_usd=_not_negative("predicted_cost_nano_usd", model.predicted_cost_nano_usd),
        predicted_output_tokens=model.predicted_output_tokens,
        reason=model.reason,
    )


def _taxonomy_from_wire(taxonomy: plan_pb2.Taxonomy) -> Taxonomy:
    axes = tuple(
        AxisPrediction(
            axis=axis.axis,
            label=axis.label,
            probability=_probability("probability", axis.probability),
            distribution=tuple(LabelProbability(entry.label, _probability(entry.label, entry.probability)) for entry in axis.distribution),
        )
        for axis in taxonomy.axes
    )
    return Taxonomy(axes=axes, clear=taxonomy.clear, slow_weight=_probability("slow_weight", taxonomy.slow_weight))


def _outcome_from_wire(outcome: verdict_pb2.JudgeOutcome) -> JudgeOutcome:
    return JudgeOutcome(
        judge=outcome.judge,
        status=_member(JudgeStatus, verdict_pb2.JudgeOutcome.Status, outcome.status, prefix="STATUS_"),
        score=_probability("score", outcome.score) if outcome.HasField("score") else None,
        explanation=outcome.explanation,
        criteria=tuple(CriterionScore(entry.criterion, _probability(entry.criterion, entry.score)) for entry in outcome.criteria),
        defects=_defects_from_wire(outcome.defects),
        duration_s=outcome.duration.ToNanoseconds() / 1e9,
        cost_nano_usd=_not_negative("cost_nano_usd", outcome.cost_nano_usd),
        usage=_usage_from_wire(outcome.usage) if outcome.HasField("usage") else None,
        same_answer_as=tuple(outcome.same_answer_as),
    )


def _defects_from_wire(defects: Iterable[int]) -> tuple[Defect, ...]:
    return tuple(_member(Defect, verdict_pb2.Defect, defect, prefix="DEFECT_") for defect in defects)


def _usage_from_wire(usage: usage_pb2.Usage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        estimated=usage.estimated,
    )


def _member(kind: type[_Member], wire: _WireEnum, number: int, *, prefix: str) -> _Member:
    try:
        return kind[wire.Name(number).removeprefix(prefix)]
    except (ValueError, KeyError) as error:
        raise NotUnderstood(f"{prefix}{number} is unknown") from error


def _probability(name: str, value: float) -> float:
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise NotUnderstood(f"`{name}` is {value}; allowed: 0.0 to 1.0")
    return value


def _not_negative(name: str, value: int) -> int:
    if value < 0:
        raise NotUnderstood(f"`{name}` is {value}; allowed: 0 or more")
    return value
