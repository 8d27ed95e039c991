"""Rows of the report: accuracy and cost against the best single model, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.decision_quality.measure import INTERVAL, RESAMPLES, SEED
from benchmarks.decision_quality.pools import Floats
from benchmarks.decomposition.play import Played

_Statistic = Callable[[npt.NDArray[np.int64]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method with one setting. Accuracies are 0.0 to 1.0, differences in points; intervals cover 95 %.

    ``accuracy`` counts requests of which everything was right, ``share_right`` their questions. ``cost_ratio`` is to the best single model.
    """

    pool: str
    method: str
    setting: str
    n: int
    split: float
    accuracy: float
    delta: float
    delta_low: float
    delta_high: float
    share_right: float
    cost_ratio: float
    cost_low: float
    cost_high: float
    usd_per_1k: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The cheapest setting of a method, split and whole, whose accuracy is no less than ``floor``; ratios are to the best single model.

    ``saving`` is one less the ratio of the two costs, with a 95 % interval; the settings were chosen on the same requests.
    """

    pool: str
    method: str
    floor: float
    split_setting: str
    split_cost: float
    whole_setting: str
    whole_cost: float
    saving: float
    saving_low: float
    saving_high: float


def row(pool: str, played: Played, best: Played, *, method: str, setting: str) -> Row:
    """The row of a method."""
    delta = played.right - best.right
    delta_low, delta_high = _interval(lambda draw: float(delta[draw].mean()), len(delta))
    cost_low, cost_high = _interval(lambda draw: _ratio(played.cost_usd[draw], best.cost_usd[draw]), len(delta))
    return Row(
        pool=pool,
        method=method,
        setting=setting,
        n=len(delta),
        split=float(played.split.mean()),
        accuracy=float(played.right.mean()),
        delta=100.0 * float(delta.mean()),
        delta_low=100.0 * delta_low,
        delta_high=100.0 * delta_high,
        share_right=float(played.share_right.mean()),
        cost_ratio=_ratio(played.cost_usd, best.cost_usd),
        cost_low=cost_low,
        cost_high=cost_high,
        usd_per_1k=1_000.0 * float(played.cost_usd.mean()),
    )


def pair(
    pool: str, method: str, *, floor: float, split: Sequence[tuple[str, Played]], whole: Sequence[tuple[str, Played]], best: Played
) -> Pair | None:
    """The comparison at an accuracy of ``floor`` or more; ``None`` when one of the two does not reach it with any setting."""
    reached = [_cheapest(settings, floor) for settings in (split, whole)]
    if reached[0] is None or reached[1] is None:
        return None
    (split_setting, ours), (whole_setting, theirs) = reached[0], reached[1]
    low, high = _interval(lambda draw: 1.0 - _ratio(ours.cost_usd[draw], theirs.cost_usd[draw]), len(ours.right))
    return Pair(
        pool=pool,
        method=method,
        floor=floor,
        split_setting=split_setting,
        split_cost=_ratio(ours.cost_usd, best.cost_usd),
        whole_setting=whole_setting,
        whole_cost=_ratio(theirs.cost_usd, best.cost_usd),
        saving=1.0 - _ratio(ours.cost_usd, theirs.cost_usd),
        saving_low=low,
        saving_high=high,
    )


def _cheapest(settings: Sequence[tuple[str, Played]], floor: float) -> tuple[str, Played] | None:
    reaching = [(setting, played) for setting, played in settings if played.right.mean() >= floor]
    return min(reaching, key=lambda found: found[1].cost_usd.mean()) if reaching else None


def _ratio(ours: Floats, theirs: Floats) -> float:
    return float(ours.mean() / theirs.mean())


def _interval(statistic: _Statistic, count: int) -> tuple[float, float]:
    """95 % bootstrap interval, always with the same resamples, so that pairs stay pairs."""
    draw = np.random.default_rng(SEED)
    values = [statistic(draw.integers(0, count, count)) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)
