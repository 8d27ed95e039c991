"""Parameters of the calibrated combination, as training publishes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from judge_service.domain.errors import BadCalibration
from judge_service.domain.verdicts import Defect

EPSILON_LIMIT = 0.5
"""A confidence bounded by this would always be one half."""


class Transform(Enum):
    """What is done to a raw score before it is weighed."""

    LOGIT = "logit"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How a kind of judge's raw score becomes a feature: a logit clipped to ±``bound``, or the score itself moved to ±0.5."""

    transform: Transform
    bound: float = 0.5

    def feature(self, score: float) -> float:
        """The feature of ``score`` (0.0 to 1.0, anything outside is clipped); rises with the score and stays within ±``bound``."""
        inside = min(max(score, 0.0), 1.0)
        match self.transform:
            case Transform.IDENTITY:
                return (inside - 0.5) * 2.0 * self.bound
            case Transform.LOGIT:
                edge = 1.0 / (1.0 + math.exp(self.bound))
                safe = min(max(inside, edge), 1.0 - edge)
                return min(max(math.log(safe / (1.0 - safe)), -self.bound), self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Log-odds of one evidence set: ``intercept`` + Σ ``weights[kind]`` · feature. No weight is negative."""

    intercept: float
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Log-odds of evidence sets without a combination of their own: ``intercept`` + Σ (``shifts[kind]`` + ``weights[kind]`` · feature)."""

    intercept: float
    shifts: Mapping[str, float]
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """All parameters. Evidence sets are sets of judge kinds. ``epsilon`` bounds the confidence away from 0 and 1."""

    version: str
    epsilon: float
    scales: Mapping[str, Scale]
    combinations: Mapping[frozenset[str], Combination]
    backoff: Backoff
    caps: Mapping[Defect, float]

    def __post_init__(self) -> None:
        """Raises ``BadCalibration`` when the parameters don't fit together."""
        _require(0.0 < self.epsilon < EPSILON_LIMIT, f"`epsilon` must be between 0 and {EPSILON_LIMIT}")
        _require(set(self.caps) == set(Defect), "`caps` must have exactly the known defects")
        for defect, cap in self.caps.items():
            _require(0.0 <= cap <= 1.0, f"`caps.{defect.value}` must be between 0 and 1")
        for kind, scale in self.scales.items():
            _require(math.isfinite(scale.bound) and scale.bound > 0.0, f"`scales.{kind}.bound` must be above 0")
        for kinds, combination in self.combinations.items():
            _require(frozenset(combination.weights) == kinds, f"weights of `{'+'.join(sorted(kinds))}` must name exactly its kinds")
            self._check(combination.intercept, combination.weights)
        _require(set(self.backoff.weights) == set(self.scales), "`backoff.weights` must name exactly the kinds of `scales`")
        _require(set(self.backoff.shifts) == set(self.scales), "`backoff.shifts` must name exactly the kinds of `scales`")
        self._check(self.backoff.intercept, self.backoff.weights)
        _require(all(math.isfinite(shift) for shift in self.backoff.shifts.values()), "`backoff.shifts` must be finite")

    def _check(self, intercept: float, weights: Mapping[str, float]) -> None:
        _require(math.isfinite(intercept), "intercepts must be finite")
        for kind, weight in weights.items():
            _require(kind in self.scales, f"`{kind}` has a weight but no scale")
            _require(math.isfinite(weight) and weight >= 0.0, f"the weight of `{kind}` must be finite and 0 or more")

    def log_odds(self, features: Mapping[str, float]) -> float:
        """Log-odds that an answer is right, given one feature per kind of judge that scored; kinds without a scale are ignored."""
        known = {kind: feature for kind, feature in features.items() if kind in self.scales}
        own = self.combinations.get(frozenset(known))
        if own is not None:
            return own.intercept + math.fsum(own.weights[kind] * feature for kind, feature in known.items())
        backoff = self.backoff
        return backoff.intercept + math.fsum(backoff.shifts[kind] + backoff.weights[kind] * value for kind, value in known.items())

    def weight(self, kinds: frozenset[str], kind: str) -> float:
        """Weight of ``kind`` in the evidence set ``kinds``."""
        own = self.combinations.get(kinds)
        return (own.weights if own is not None else self.backoff.weights).get(kind, 0.0)


def _require(condition: bool, problem: str) -> None:  # noqa: FBT001 a condition is what it takes
    if not condition:
        raise BadCalibration(problem)
