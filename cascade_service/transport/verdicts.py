"""Plans, verdicts and counts as messages."""

from __future__ import annotations

from emafusion.cascade.v1 import event_pb2
from emafusion.common.v1 import usage_pb2
from emafusion.judge.v1 import verdict_pb2
from emafusion.router.v1 import plan_pb2
from google.protobuf import duration_pb2

from cascade_service.domain.chat import Usage
from cascade_service.domain.plan import AxisPrediction, Plan, Taxonomy
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.verdict import JudgeOutcome, Verdict


def duration_to_wire(seconds: float) -> duration_pb2.Duration:
    """A duration."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def usage_to_wire(usage: Usage) -> usage_pb2.Usage:
    """Token counts."""
    return usage_pb2.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        estimated=usage.estimated,
    )


def risk_to_wire(certificate: RiskCertificate | None) -> event_pb2.RiskCertificate | None:
    """A certificate, where there is one."""
    if certificate is None:
        return None
    return event_pb2.RiskCertificate(
        wrong_max=certificate.wrong_max,
        confidence=certificate.confidence,
        threshold=certificate.threshold,
        calibration=certificate.calibration,
        questions=certificate.questions,
    )


def plan_to_wire(plan: Plan) -> plan_pb2.Plan:
    """A plan."""
    return plan_pb2.Plan(
        models=[
            plan_pb2.PlannedModel(
                model=model.model,
                predicted_quality=model.predicted_quality,
                quality_stddev=model.quality_stddev,
                predicted_cost_nano_usd=model.predicted_cost_nano_usd,
                predicted_output_tokens=model.predicted_output_tokens,
                reason=model.reason,
            )
            for model in plan.models
        ],
        excluded=[
            plan_pb2.ExcludedModel(model=model.model, cause=f"CAUSE_{model.cause.name}", detail=model.detail) for model in plan.excluded
        ],
        kind=f"ROUTE_KIND_{plan.kind.name}",
        taxonomy=None if plan.taxonomy is None else _taxonomy_to_wire(plan.taxonomy),
        reasons=plan.reasons,
        input_tokens=plan.input_tokens,
        policy_hash=plan.policy_hash,
    )


def verdict_to_wire(verdict: Verdict) -> verdict_pb2.Verdict:
    """A verdict."""
    return verdict_pb2.Verdict(
        confidence=verdict.confidence,
        disagreement=verdict.disagreement,
        outcomes=[_outcome_to_wire(outcome) for outcome in verdict.outcomes],
        defects=[f"DEFECT_{defect.name}" for defect in verdict.defects],
        stopped_early=verdict.stopped_early,
        evidence=verdict.evidence,
        calibration=verdict.calibration,
        cost_nano_usd=verdict.cost_nano_usd,
    )


def _taxonomy_to_wire(taxonomy: Taxonomy) -> plan_pb2.Taxonomy:
    return plan_pb2.Taxonomy(axes=[_axis_to_wire(axis) for axis in taxonomy.axes], clear=taxonomy.clear, slow_weight=taxonomy.slow_weight)


def _axis_to_wire(axis: AxisPrediction) -> plan_pb2.AxisPrediction:
    return plan_pb2.AxisPrediction(
        axis=axis.axis,
        label=axis.label,
        probability=axis.probability,
        distribution=[plan_pb2.LabelProbability(label=entry.label, probability=entry.probability) for entry in axis.distribution],
    )


def _outcome_to_wire(outcome: JudgeOutcome) -> verdict_pb2.JudgeOutcome:
    return verdict_pb2.JudgeOutcome(
        judge=outcome.judge,
        status=f"STATUS_{outcome.status.name}",
        score=outcome.score,
        explanation=outcome.explanation,
        criteria=[verdict_pb2.CriterionScore(criterion=entry.criterion, score=entry.score) for entry in outcome.criteria],
        defects=[f"DEFECT_{defect.name}" for defect in outcome.defects],
        duration=duration_to_wire(outcome.duration_s),
        cost_nano_usd=outcome.cost_nano_usd,
        usage=None if outcome.usage is None else usage_to_wire(outcome.usage),
        same_answer_as=outcome.same_answer_as,
    )
