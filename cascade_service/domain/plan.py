"""The router's plan as the cascade sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class RouteKind(Enum):
    """Which router decided."""

    UNSPECIFIED = "unspecified"
    TAXONOMY = "taxonomy"
    LEARNED = "learned"
    PRIOR = "prior"
    FIXED = "fixed"


class ExclusionCause(Enum):
    """What kept a model out of a plan."""

    UNSPECIFIED = "unspecified"
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
class LabelProbability:
    """A label of one taxonomy axis with its probability, 0.0 to 1.0."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisPrediction:
    """What the classifiers say on one axis: the most probable label, and all of them."""

    axis: str
    label: str
    probability: float
    distribution: tuple[LabelProbability, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxonomy:
    """Where a request stands in the taxonomy. ``slow_weight`` is 0.0 to 1.0."""

    axes: tuple[AxisPrediction, ...] = ()
    clear: bool = False
    slow_weight: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A model to try. Quality is a probability, its deviation at most 0.5; cost in nano-USD for one attempt."""

    model: str
    predicted_quality: float = 0.0
    quality_stddev: float = 0.0
    predicted_cost_nano_usd: int = 0
    predicted_output_tokens: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludedModel:
    """A model that was left out, and the figures behind that in words."""

    model: str
    cause: ExclusionCause
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Models in order of escalation. ``input_tokens`` is an estimate, 1 or more; ``policy_hash`` has 12 hex digits."""

    models: tuple[PlannedModel, ...]
    excluded: tuple[ExcludedModel, ...] = ()
    kind: RouteKind = RouteKind.UNSPECIFIED
    taxonomy: Taxonomy | None = None
    reasons: tuple[str, ...] = ()
    input_tokens: int = 1
    policy_hash: str = ""

    @property
    def predicts(self) -> bool:
        """True when qualities and costs were predicted, that is when a router made the plan."""
        return self.kind is not RouteKind.FIXED


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a plan must respect. ``None`` and empty stand for no constraint."""

    attempt_cost_max_nano_usd: int | None = None
    allow_models: tuple[str, ...] = ()
    deny_models: tuple[str, ...] = ()
    required_capabilities: tuple[str, ...] = ()
    models_max: int | None = None
    suitability_min: float | None = None
    answer_worth_nano_usd: int | None = None
