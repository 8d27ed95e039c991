"""Many judges' scores, one calibrated probability: p = σ(b(S) + Σ_k w_k(S) · ℓ_k), with S the kinds of judges that scored.

ℓ_k is the feature of the kind's score (a clipped logit, or the score itself), the mean of them when several judges share a kind.
No weight is negative, so no score can lower the confidence by rising. Pure functions; the order of the judges does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from judge_service.domain.calibration import Calibration
from judge_service.domain.verdicts import Defect


@dataclass(frozen=True, slots=True)
class Score:
    """The raw score, 0.0 to 1.0, of a judge of ``kind``."""

    kind: str
    value: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A judge of ``kind`` that has not answered yet; it may score anything, abstain or fail, and may find defects."""

    kind: str
    finds_defects: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the confidence will lie once all judges have answered."""

    low: float
    high: float


def confidence(calibration: Calibration, scores: Iterable[Score], defects: Iterable[Defect] = ()) -> float:
    """Probability that the answer is right, within [ε, 1 − ε] and under the cap of every defect."""
    features = {kind: math.fsum(values) / len(values) for kind, values in _by_kind(calibration, scores).items()}
    return _bounded(calibration, calibration.log_odds(features), defects)


def bounds(
    calibration: Calibration, scores: Iterable[Score], defects: Iterable[Defect] = (), *, waiting: Sequence[Waiting] = ()
) -> Interval:
    """Bounds of ``confidence`` over everything that the judges in ``waiting`` may still say.

    Kinds that have no score yet may end up in the evidence set or not, so every combination of them is looked at (there are few
    kinds). A kind that has a score stays in; its further judges move the mean of its features at most to the bound.
    """
    known = _by_kind(calibration, scores)
    open_kinds = [judge.kind for judge in waiting if judge.kind in calibration.scales]
    fresh = sorted(set(open_kinds) - set(known))
    ranges = {kind: _range(values, open_kinds.count(kind), calibration.scales[kind].bound) for kind, values in known.items()}
    lows: list[float] = []
    highs: list[float] = []
    for joining in chain.from_iterable(combinations(fresh, size) for size in range(len(fresh) + 1)):
        joined = ranges | {kind: (-calibration.scales[kind].bound, calibration.scales[kind].bound) for kind in joining}
        lows.append(calibration.log_odds({kind: low for kind, (low, _) in joined.items()}))
        highs.append(calibration.log_odds({kind: high for kind, (_, high) in joined.items()}))
    found = tuple(defects)
    may_find = tuple(Defect) if any(judge.finds_defects for judge in waiting) else ()
    return Interval(_bounded(calibration, min(lows), (*found, *may_find)), _bounded(calibration, max(highs), found))


def disagreement(calibration: Calibration, scores: Iterable[Score]) -> float:
    """How far the judges are apart, 0.0 to 1.0.

    Twice the weighted standard deviation of what each kind of judge would say alone (its own calibrated probability), weighted as
    in the combination. 1.0 means that two equally heavy judges are certain of opposites; a lone judge agrees with itself.
    """
    features = {kind: math.fsum(values) / len(values) for kind, values in _by_kind(calibration, scores).items()}
    kinds = frozenset(features)
    alone = {kind: _sigmoid(calibration.log_odds({kind: feature})) for kind, feature in features.items()}
    weights = {kind: calibration.weight(kinds, kind) for kind in features}
    total = math.fsum(weights.values())
    if total <= 0.0:
        return 0.0
    mean = math.fsum(weights[kind] * alone[kind] for kind in alone) / total
    variance = math.fsum(weights[kind] * (alone[kind] - mean) ** 2 for kind in alone) / total
    return min(2.0 * math.sqrt(max(variance, 0.0)), 1.0)


def _by_kind(calibration: Calibration, scores: Iterable[Score]) -> dict[str, list[float]]:
    """Features by kind; sorted, so that the sum does not depend on the order of the judges."""
    found: dict[str, list[float]] = {}
    for score in scores:
        if score.kind in calibration.scales:
            found.setdefault(score.kind, []).append(calibration.scales[score.kind].feature(score.value))
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def _range(values: Sequence[float], more: int, bound: float) -> tuple[float, float]:
    """Lowest and highest mean of ``values`` and up to ``more`` further values within ±``bound``."""
    total = math.fsum(values)
    count = len(values) + more
    return (total - more * bound) / count, (total + more * bound) / count


def _bounded(calibration: Calibration, log_odds: float, defects: Iterable[Defect]) -> float:
    floor, ceiling = calibration.epsilon, 1.0 - calibration.epsilon
    caps = [calibration.caps[defect] for defect in defects]
    return min(max(min([_sigmoid(log_odds), *caps]), floor), ceiling)


def _sigmoid(x: float) -> float:
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    scaled = math.exp(x)
    return scaled / (1.0 + scaled)
