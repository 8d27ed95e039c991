"""Where a request stands in the taxonomy: four axes, on each a probability for every label.

After EMAFusion (arXiv 2504.10681): labels on the axes task type, domain, reasoning complexity and output format, a fast classifier on
the embedding, an optional slow one, and their mix ``p = λ·p_slow + (1−λ)·p_fast``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import fsum, isfinite

TOTAL_TOLERANCE = 1e-3


class Axis(StrEnum):
    """An axis of the taxonomy, in the order in which axes are reported."""

    TASK_TYPE = "task_type"
    DOMAIN = "domain"
    REASONING_COMPLEXITY = "reasoning_complexity"
    OUTPUT_FORMAT = "output_format"


@dataclass(frozen=True, slots=True)
class LabelProbability:
    """A label and its probability, 0.0 to 1.0."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class AxisDistribution:
    """Probabilities of all labels of one axis, most probable first; they add up to 1."""

    axis: Axis
    labels: tuple[LabelProbability, ...]

    @property
    def best(self) -> LabelProbability:
        """The most probable label."""
        return self.labels[0]

    def probability_of(self, label: str) -> float:
        """Probability of ``label``; 0.0 for one that the axis does not know."""
        return next((entry.probability for entry in self.labels if entry.label == label), 0.0)


def distribution(axis: Axis, probabilities: Mapping[str, float]) -> AxisDistribution:
    """The distribution on ``axis`` with exactly the given probabilities, scaled to the sum 1.

    Raises ``ValueError`` when there are none, when one is negative or not finite, or when they add up to 0.
    """
    total = fsum(probabilities.values())
    if not probabilities or not isfinite(total) or total <= 0.0 or min(probabilities.values()) < 0.0:
        raise ValueError(f"{axis} needs finite probabilities of 0 or more with a positive sum")
    ranked = sorted(probabilities.items(), key=lambda entry: (-entry[1], entry[0]))
    return AxisDistribution(axis, tuple(LabelProbability(label, value / total) for label, value in ranked))


@dataclass(frozen=True, slots=True)
class ClearRule:
    """A category is clear when on each of ``axes`` the best label has at least ``probability_min``."""

    axes: tuple[Axis, ...]
    probability_min: float


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What the classifiers say of a request: one distribution per axis, in the order of ``Axis``."""

    axes: tuple[AxisDistribution, ...]
    clear: bool
    slow_weight: float = 0.0

    def on(self, axis: Axis) -> AxisDistribution:
        """The distribution on ``axis``."""
        return next(found for found in self.axes if found.axis is axis)

    def unclear_axes(self, rule: ClearRule) -> tuple[AxisDistribution, ...]:
        """The axes of ``rule`` that are not certain enough."""
        return tuple(found for found in self.axes if found.axis in rule.axes and found.best.probability < rule.probability_min)


def mix(fast: AxisDistribution, slow: AxisDistribution, *, weight: float) -> AxisDistribution:
    """``weight·slow + (1−weight)·fast`` over the labels of ``fast``; labels that only ``slow`` knows are dropped."""
    return distribution(
        fast.axis,
        {entry.label: weight * slow.probability_of(entry.label) + (1.0 - weight) * entry.probability for entry in fast.labels},
    )


def assess(
    fast: Sequence[AxisDistribution], *, slow: Mapping[Axis, AxisDistribution] | None, slow_weight: float, rule: ClearRule
) -> Taxonomy:
    """The taxonomy of a request from the fast classifier and, where it answered, the slow one."""
    by_axis = {found.axis: found for found in fast}
    opinions: Mapping[Axis, AxisDistribution] = slow or {}
    weight = slow_weight if opinions else 0.0
    axes = tuple(mix(by_axis[axis], opinions[axis], weight=weight) if axis in opinions else by_axis[axis] for axis in Axis)
    clear = all(found.best.probability >= rule.probability_min for found in axes if found.axis in rule.axes)
    return Taxonomy(axes, clear, weight)


def knows_all_axes(axes: Collection[str]) -> bool:
    """True when ``axes`` are exactly the axes of the taxonomy."""
    return set(axes) == {axis.value for axis in Axis}
