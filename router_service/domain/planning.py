"""From measured success rates and prices to a plan: which models, in which order, and why not the others.

A model is a candidate when it is enabled, allowed, able, large enough and within the cost ceiling. Among the candidates those with
``Φ ≥ τ`` are eligible (all of them when none reaches τ). The plan climbs from the cheapest predicted cost to the best predicted quality
and leaves out every model that is dearer without being better. With a stated worth of a right answer it holds the models of greatest net
worth instead, and nothing is left out for being dominated: two cheap unrelated models that agree are worth something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil

from router_service.domain.errors import EmptyPlan
from router_service.domain.models import CandidateModel, Constraints
from router_service.domain.suitability import Suitability


class Cause(Enum):
    """What kept a model out of a plan; the names are those of the contract."""

    DENIED = "denied"
    NOT_ALLOWED = "not_allowed"
    CONTEXT_TOO_LONG = "context_too_long"
    COST_CEILING = "cost_ceiling"
    MISSING_CAPABILITY = "missing_capability"
    UNSUITABLE = "unsuitable"
    DOMINATED = "dominated"
    DISABLED = "disabled"
    PLAN_FULL = "plan_full"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A model that is not in the plan, the cause, and the figures behind it in words."""

    model: str
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one attempt with a model is predicted to bring: Φ, output tokens and cost in nano-USD."""

    model: CandidateModel
    suitability: Suitability
    output_tokens: int
    cost_nano_usd: int

    @property
    def quality(self) -> float:
        """Mean of Φ, 0.0 to 1.0."""
        return self.suitability.mean


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """A model in the plan and why it stands where it does."""

    estimate: Estimate
    reason: str


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """Models in order of escalation, those left out in order of name, and what was decided, most important first."""

    planned: tuple[PlannedModel, ...]
    excluded: tuple[Exclusion, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Shortlist:
    """Models that remain after a step, and those that it left out."""

    kept: tuple[Estimate, ...]
    left_out: tuple[Exclusion, ...]


def order_models(
    models: Sequence[CandidateModel], *, constraints: Constraints, suitability: Mapping[str, Suitability], input_tokens: int
) -> ModelOrder:
    """The models to try for a conversation of ``input_tokens`` (1 or more), cheapest first.

    ``suitability`` has an entry for every model. Raises ``EmptyPlan`` with the cause for every model when none remains.
    """
    candidates = _candidates(models, constraints=constraints, suitability=suitability, input_tokens=input_tokens)
    if not candidates.kept:
        raise EmptyPlan(_by_name(candidates.left_out))
    eligible, reached = _eligible(candidates.kept, constraints.suitability_min)
    worth = constraints.answer_worth_nano_usd
    if worth is not None:
        chosen = _worthiest(eligible.kept, constraints.models_max, worth)
        planned = tuple(PlannedModel(estimate, _net_worth_in_words(estimate, worth)) for estimate in chosen.kept)
    else:
        climb = _climb(eligible.kept)
        shortened = _shorten(climb.kept, constraints, reached=reached)
        chosen = _Shortlist(shortened.kept, climb.left_out + shortened.left_out)
        planned = tuple(PlannedModel(estimate, _place(index, chosen.kept)) for index, estimate in enumerate(chosen.kept))
    left_out = candidates.left_out + eligible.left_out + chosen.left_out
    return ModelOrder(planned, _by_name(left_out), _reasons(chosen.kept, constraints, reached=reached))


def _by_name(exclusions: Sequence[Exclusion]) -> tuple[Exclusion, ...]:
    return tuple(sorted(exclusions, key=lambda exclusion: exclusion.model))


def _candidates(
    models: Sequence[CandidateModel], *, constraints: Constraints, suitability: Mapping[str, Suitability], input_tokens: int
) -> _Shortlist:
    kept: list[Estimate] = []
    left_out: list[Exclusion] = []
    for model in models:
        estimate = estimate_attempt(model, suitability[model.name], constraints=constraints, input_tokens=input_tokens)
        if (found := _obstacle(estimate, constraints, input_tokens)) is None:
            kept.append(estimate)
        else:
            left_out.append(found)
    return _Shortlist(tuple(kept), tuple(left_out))


def estimate_attempt(model: CandidateModel, suitability: Suitability, *, constraints: Constraints, input_tokens: int) -> Estimate:
    """Tokens and cost of one attempt; the predicted answer never exceeds the limit on answers."""
    output_tokens = min(max(1, ceil(suitability.output_tokens)), answer_limit(model, constraints))
    cost = model.cost_nano_usd(input_tokens=input_tokens, output_tokens=output_tokens)
    return Estimate(model, suitability, output_tokens, cost)


def answer_limit(model: CandidateModel, constraints: Constraints) -> int:
    """Most tokens that one answer of the model may have."""
    if constraints.output_tokens_max is None:
        return model.max_output_tokens
    return min(constraints.output_tokens_max, model.max_output_tokens)


def _obstacle(estimate: Estimate, constraints: Constraints, input_tokens: int) -> Exclusion | None:
    """What keeps the model from being a candidate: the first of the checks that fails."""
    for cause, check in _CHECKS:
        if detail := check(estimate, constraints, input_tokens):
            return Exclusion(estimate.model.name, cause, detail)
    return None


def _check_enabled(estimate: Estimate, _constraints: Constraints, _input_tokens: int) -> str:
    return estimate.model.disabled_reason


def _check_denied(estimate: Estimate, constraints: Constraints, _input_tokens: int) -> str:
    return "on the deny list" if estimate.model.name in constraints.deny else ""


def _check_allowed(estimate: Estimate, constraints: Constraints, _input_tokens: int) -> str:
    return "not on the allow list" if constraints.allow and estimate.model.name not in constraints.allow else ""


def _check_capabilities(estimate: Estimate, constraints: Constraints, _input_tokens: int) -> str:
    missing = sorted(constraints.required_capabilities - estimate.model.capabilities)
    return f"lacks {', '.join(missing)}" if missing else ""


def _check_context(estimate: Estimate, constraints: Constraints, input_tokens: int) -> str:
    answer, window = answer_limit(estimate.model, constraints), estimate.model.context_tokens
    if input_tokens + answer <= window:
        return ""
    return f"{input_tokens:,} input tokens and up to {answer:,} output tokens do not fit its window of {window:,}"


def _check_cost(estimate: Estimate, constraints: Constraints, _input_tokens: int) -> str:
    ceiling = constraints.attempt_cost_max_nano_usd
    if ceiling is None or estimate.cost_nano_usd <= ceiling:
        return ""
    return f"predicted cost of {estimate.cost_nano_usd:,} nano-USD is above the ceiling of {ceiling:,}"


_CHECKS: tuple[tuple[Cause, Callable[[Estimate, Constraints, int], str]], ...] = (
    (Cause.DISABLED, _check_enabled),
    (Cause.DENIED, _check_denied),
    (Cause.NOT_ALLOWED, _check_allowed),
    (Cause.MISSING_CAPABILITY, _check_capabilities),
    (Cause.CONTEXT_TOO_LONG, _check_context),
    (Cause.COST_CEILING, _check_cost),
)


def _eligible(candidates: Sequence[Estimate], threshold: float) -> tuple[_Shortlist, bool]:
    """The candidates with ``Φ ≥ threshold`` and True, or all of them and False when none reaches it."""
    suitable = tuple(candidate for candidate in candidates if candidate.quality >= threshold)
    if not suitable:
        return _Shortlist(tuple(candidates), ()), False
    unsuitable = tuple(
        Exclusion(candidate.model.name, Cause.UNSUITABLE, f"suitability {candidate.quality:.2f} is below {threshold:.2f}")
        for candidate in candidates
        if candidate.quality < threshold
    )
    return _Shortlist(suitable, unsuitable), True


def _climb(eligible: Sequence[Estimate]) -> _Shortlist:
    """The models of which none is dearer than another without being better.

    A model that was never measured goes only when it is predicted worse: an equal prior is no evidence against it. When a single model
    is cheapest and best, the best of the others stays behind it, for when it fails.
    """
    ranked = sorted(eligible, key=lambda estimate: (estimate.cost_nano_usd, -estimate.quality, estimate.model.name))
    kept: list[Estimate] = []
    dominated: list[Estimate] = []
    for estimate in ranked:
        (dominated if kept and _no_better(estimate, kept[-1]) else kept).append(estimate)
    if len(kept) == 1 and dominated:
        fallback = max(dominated, key=lambda estimate: estimate.quality)
        dominated.remove(fallback)
        kept.append(fallback)
    return _Shortlist(tuple(kept), tuple(_domination(estimate, kept) for estimate in dominated))


def _no_better(estimate: Estimate, best: Estimate) -> bool:
    if estimate.suitability.measured:
        return estimate.quality <= best.quality
    return estimate.quality < best.quality


def _domination(estimate: Estimate, kept: Sequence[Estimate]) -> Exclusion:
    better = next(other for other in kept if other.cost_nano_usd <= estimate.cost_nano_usd and other.quality >= estimate.quality)
    detail = (
        f"{better.model.name} is no dearer ({better.cost_nano_usd:,} against {estimate.cost_nano_usd:,} nano-USD) "
        f"and at least as good ({better.quality:.2f} against {estimate.quality:.2f})"
    )
    return Exclusion(estimate.model.name, Cause.DOMINATED, detail)


def _worthiest(eligible: Sequence[Estimate], models_max: int, worth: int) -> _Shortlist:
    """The ``models_max`` models of greatest ``quality·worth - cost``, greatest first; the cheaper first where that is equal."""
    ranked = sorted(eligible, key=lambda estimate: (-_net_worth(estimate, worth), estimate.cost_nano_usd, estimate.model.name))
    return _Shortlist(tuple(ranked[:models_max]), _plan_full(ranked[models_max:], models_max))


def _net_worth(estimate: Estimate, worth: int) -> float:
    return estimate.quality * worth - estimate.cost_nano_usd


def _net_worth_in_words(estimate: Estimate, worth: int) -> str:
    return f"net worth {_net_worth(estimate, worth):,.0f} nano-USD; {_figures(estimate)}"


def _plan_full(dropped: Sequence[Estimate], models_max: int) -> tuple[Exclusion, ...]:
    detail = f"the plan holds at most {models_max} models"
    return tuple(Exclusion(estimate.model.name, Cause.PLAN_FULL, detail) for estimate in dropped)


def _shorten(climb: Sequence[Estimate], constraints: Constraints, *, reached: bool) -> _Shortlist:
    """At most ``models_max`` models: the cheapest and the best stay, the steps that gain least quality go first.

    With room for one model only, it is the cheapest that reaches a stated suitability, and otherwise the best.
    """
    kept = list(climb)
    dropped: list[Estimate] = []
    if constraints.models_max == 1:
        single = _single(kept, constraints, reached=reached)
        dropped.extend(estimate for estimate in kept if estimate is not single)
        kept = [single]
    while len(kept) > max(2, constraints.models_max):
        position = min(range(1, len(kept) - 1), key=lambda index: kept[index].quality - kept[index - 1].quality)
        dropped.append(kept.pop(position))
    return _Shortlist(tuple(kept), _plan_full(dropped, constraints.models_max))


def _single(kept: Sequence[Estimate], constraints: Constraints, *, reached: bool) -> Estimate:
    stated = reached and constraints.suitability_min > 0.0
    return kept[0] if stated else max(kept, key=lambda estimate: estimate.quality)


def _place(index: int, kept: Sequence[Estimate]) -> str:
    """Why the model stands at ``index``."""
    estimate = kept[index]
    if len(kept) == 1:
        place = "the only choice"
    elif index == 0:
        place = "cheapest"
    elif estimate.quality > kept[index - 1].quality:
        place = f"{estimate.quality - kept[index - 1].quality:+.2f} over {kept[index - 1].model.name}"
    else:
        place = f"for when {kept[index - 1].model.name} fails"
    return f"{place}; {_figures(estimate)}"


def _figures(estimate: Estimate) -> str:
    prediction = f"right with probability {estimate.quality:.2f} ± {estimate.suitability.stddev:.2f}"
    return f"{prediction} for {estimate.cost_nano_usd:,} nano-USD ({_source(estimate.suitability)})"


def _source(suitability: Suitability) -> str:
    """What the prediction rests on."""
    if not suitability.measured:
        return "never measured, so a wide prior"
    if suitability.observations == 0:
        return "no answers in this category, inferred from others"
    return f"from {suitability.observations:,} answers"


def _reasons(kept: Sequence[Estimate], constraints: Constraints, *, reached: bool) -> tuple[str, ...]:
    best = max(kept, key=lambda estimate: estimate.quality)
    worth = constraints.answer_worth_nano_usd
    order = "cheapest first" if worth is None else f"greatest net worth first, with a right answer worth {worth:,} nano-USD"
    reasons = [f"{order}; {best.model.name} is predicted best with {best.quality:.2f}"]
    if not reached:
        reasons.insert(0, f"no model reaches suitability {constraints.suitability_min:.2f}, so all candidates were weighed")
    return tuple(reasons)
