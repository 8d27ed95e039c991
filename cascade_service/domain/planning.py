"""Plans that are made without the router: the caller's fixed plan and the configuration's static plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cascade_service.domain.chat import input_tokens_bound, input_tokens_estimate
from cascade_service.domain.errors import EmptyPlan
from cascade_service.domain.plan import ExcludedModel, ExclusionCause, Plan, PlannedModel, RouteKind
from cascade_service.domain.pricing import Price
from cascade_service.domain.request import CascadeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredModel:
    """A model of the configuration, usable or not. ``disabled_reason`` is empty when it is usable."""

    name: str
    provider: str
    price: Price
    context_tokens: int
    max_output_tokens: int
    capabilities: frozenset[str] = field(default_factory=frozenset[str])
    disabled_reason: str = ""


def plan_without_router(names: Sequence[str], *, request: CascadeRequest, catalogue: Mapping[str, ConfiguredModel], reason: str) -> Plan:
    """``names`` in their order, less those that the constraints or the configuration exclude.

    Predictions stay 0: nobody made any. A constraint on cost is held against the worst case instead.
    Raises ``EmptyPlan`` when nothing is left.
    """
    kept: list[PlannedModel] = []
    excluded: list[ExcludedModel] = []
    models_max = request.constraints.models_max or len(names)
    for name in names:
        cause = _exclusion(name, request=request, model=catalogue.get(name))
        if cause is None and len(kept) >= models_max:
            cause = ExclusionCause.PLAN_FULL, f"at most {models_max} models"
        if cause is None:
            kept.append(PlannedModel(model=name, reason=reason))
        else:
            excluded.append(ExcludedModel(model=name, cause=cause[0], detail=cause[1]))
    left_out = tuple(sorted(excluded, key=lambda model: model.model))
    if not kept:
        raise EmptyPlan(left_out)
    return Plan(
        models=tuple(kept),
        excluded=left_out,
        kind=RouteKind.FIXED,
        reasons=(reason,),
        input_tokens=input_tokens_estimate(request.messages),
    )


def _exclusion(name: str, *, request: CascadeRequest, model: ConfiguredModel | None) -> tuple[ExclusionCause, str] | None:
    constraints = request.constraints
    if model is None or model.disabled_reason:
        return ExclusionCause.DISABLED, "not configured" if model is None else model.disabled_reason
    if name in constraints.deny_models:
        return ExclusionCause.DENIED, "on the deny list"
    if constraints.allow_models and name not in constraints.allow_models:
        return ExclusionCause.NOT_ALLOWED, "not on the allow list"
    if missing := sorted(set(constraints.required_capabilities) - model.capabilities):
        return ExclusionCause.MISSING_CAPABILITY, f"lacks {', '.join(missing)}"
    cost_max = constraints.attempt_cost_max_nano_usd
    if cost_max is not None and (worst := _worst_case(request, model)) > cost_max:
        return ExclusionCause.COST_CEILING, f"may cost {worst} nano-USD, {cost_max} are allowed"
    return None


def _worst_case(request: CascadeRequest, model: ConfiguredModel) -> int:
    output_tokens = min(model.max_output_tokens, request.params.max_output_tokens or model.max_output_tokens)
    return model.price.bound_nano_usd(input_tokens=input_tokens_bound(request.messages), output_tokens=output_tokens)
