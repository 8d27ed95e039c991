"""Between the contract's messages and the domain."""

from __future__ import annotations

from typing import assert_never

from emafusion.common.v1 import model_pb2, usage_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2
from google.protobuf.duration_pb2 import Duration

from router_service.config import ConstraintDefaults
from router_service.domain.models import CandidateModel, Constraints
from router_service.domain.planning import Exclusion, PlannedModel
from router_service.domain.routing import Plan, Query, RouteKind
from router_service.domain.taxonomy import AxisDistribution, Taxonomy
from router_service.domain.weighing import Weighed


def query_from_wire(request: router_service_pb2.RouteRequest, defaults: ConstraintDefaults) -> Query:
    """The domain's query of a request that was checked."""
    return Query(tuple(message.content for message in request.messages), _constraints(request, defaults), explain=request.explain)


def _constraints(request: router_service_pb2.RouteRequest, defaults: ConstraintDefaults) -> Constraints:
    wire = request.constraints
    models_max = min(wire.models_max, defaults.plan_models_max) if wire.HasField("models_max") else defaults.plan_models_max
    return Constraints(
        models_max=models_max,
        suitability_min=wire.suitability_min if wire.HasField("suitability_min") else defaults.suitability_min,
        attempt_cost_max_nano_usd=wire.attempt_cost_max_nano_usd if wire.HasField("attempt_cost_max_nano_usd") else None,
        allow=frozenset(wire.allow_models),
        deny=frozenset(wire.deny_models),
        required_capabilities=frozenset(wire.required_capabilities),
        answer_worth_nano_usd=wire.answer_worth_nano_usd if wire.HasField("answer_worth_nano_usd") else None,
        output_tokens_max=request.params.max_output_tokens if request.params.HasField("max_output_tokens") else None,
    )


def plan_to_wire(plan: Plan) -> plan_pb2.Plan:
    """The plan as the contract has it."""
    return plan_pb2.Plan(
        models=[_planned(model) for model in plan.order.planned],
        excluded=[_excluded(exclusion) for exclusion in plan.order.excluded],
        kind=_kind(plan.kind),
        taxonomy=_taxonomy(plan.taxonomy),
        reasons=list(plan.reasons),
        input_tokens=plan.input_tokens,
        policy_hash=plan.policy_hash,
        weighed=[_weighed(model) for model in plan.weighed],
    )


def _planned(model: PlannedModel) -> plan_pb2.PlannedModel:
    estimate = model.estimate
    return plan_pb2.PlannedModel(
        model=estimate.model.name,
        predicted_quality=estimate.suitability.mean,
        quality_stddev=min(estimate.suitability.stddev, 0.5),
        predicted_cost_nano_usd=estimate.cost_nano_usd,
        predicted_output_tokens=estimate.output_tokens,
        reason=model.reason,
    )


def _excluded(exclusion: Exclusion) -> plan_pb2.ExcludedModel:
    return plan_pb2.ExcludedModel(model=exclusion.model, cause=f"CAUSE_{exclusion.cause.name}", detail=exclusion.detail)


def _weighed(model: Weighed) -> plan_pb2.WeighedModel:
    estimate, measured = model.estimate, model.measured
    return plan_pb2.WeighedModel(
        model=estimate.model.name,
        suitability=measured.mean,
        suitability_stddev=min(measured.stddev, 0.5),
        observations=measured.observations,
        measured=measured.measured,
        predicted_quality=estimate.suitability.mean,
        quality_stddev=min(estimate.suitability.stddev, 0.5),
        predicted_cost_nano_usd=estimate.cost_nano_usd,
        predicted_output_tokens=estimate.output_tokens,
    )


def _kind(kind: RouteKind) -> plan_pb2.RouteKind:
    match kind:
        case RouteKind.TAXONOMY:
            return plan_pb2.ROUTE_KIND_TAXONOMY
        case RouteKind.LEARNED:
            return plan_pb2.ROUTE_KIND_LEARNED
        case RouteKind.PRIOR:
            return plan_pb2.ROUTE_KIND_PRIOR
        case _:
            assert_never(kind)


def _taxonomy(taxonomy: Taxonomy) -> plan_pb2.Taxonomy:
    return plan_pb2.Taxonomy(axes=[_axis(found) for found in taxonomy.axes], clear=taxonomy.clear, slow_weight=taxonomy.slow_weight)


def _axis(found: AxisDistribution) -> plan_pb2.AxisPrediction:
    return plan_pb2.AxisPrediction(
        axis=found.axis.value,
        label=found.best.label,
        probability=found.best.probability,
        distribution=[plan_pb2.LabelProbability(label=entry.label, probability=entry.probability) for entry in found.labels],
    )


def timing_to_wire(*, queue_s: float, inference_s: float, total_s: float) -> usage_pb2.Timing:
    """Where the time of a call went, from seconds."""
    return usage_pb2.Timing(queue=_duration(queue_s), inference=_duration(inference_s), total=_duration(total_s))


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(max(0, round(seconds * 1e9)))
    return duration


def model_to_wire(model: CandidateModel) -> model_pb2.ModelInfo:
    """The model as the contract has it."""
    return model_pb2.ModelInfo(
        name=model.name,
        provider=model.provider,
        price=model_pb2.Price(
            input_nano_usd_per_mtok=model.input_nano_usd_per_mtok,
            output_nano_usd_per_mtok=model.output_nano_usd_per_mtok,
            cached_input_nano_usd_per_mtok=model.cached_input_nano_usd_per_mtok,
        ),
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        capabilities=sorted(model.capabilities),
        enabled=not model.disabled_reason,
        disabled_reason=model.disabled_reason,
    )
