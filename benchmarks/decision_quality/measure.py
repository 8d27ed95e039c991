"""Rows of the report: accuracy, cost, and the difference to the best single model with paired bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.decision_quality.play import Played
from benchmarks.decision_quality.pools import Floats

RESAMPLES = 2_000
SEED = 20261122
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method with one setting. Accuracies are 0.0 to 1.0, differences in points; intervals cover 95 %.

    ``chosen_on`` says on which split the method and its setting were chosen: `train`, `artifacts`, `hindsight`, or `sweep` when
    the row is one of a whole range of settings. ``attempts`` has the share of requests by number of attempts, from one attempt on.
    """

    pool: str
    split: str
    method: str
    setting: str
    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    usd_per_1k: float
    cost_ratio_to_best_single: float
    delta_to_best_single: float
    delta_low: float
    delta_high: float
    chosen_on: str
    cost_ratio_to_pool_mean: float
    attempts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures against the best single model of a pool. ``mean_cost_usd`` is the mean over its endpoints, per question."""

    pool: str
    split: str
    best: Played
    mean_cost_usd: float

    def row(self, played: Played, *, method: str, setting: str = "", chosen_on: str) -> Row:
        """The row of a method."""
        low, high = interval(played.right)
        difference = played.right - self.best.right
        delta_low, delta_high = interval(difference)
        cost, best_cost = float(played.cost_usd.mean()), float(self.best.cost_usd.mean())
        counts = np.bincount(played.attempts, minlength=2)[1:]
        return Row(
            pool=self.pool,
            split=self.split,
            method=method,
            setting=setting,
            n=len(played.right),
            accuracy=float(played.right.mean()),
            accuracy_low=low,
            accuracy_high=high,
            usd_per_1k=1_000.0 * cost,
            cost_ratio_to_best_single=cost / best_cost,
            delta_to_best_single=100.0 * float(difference.mean()),
            delta_low=100.0 * delta_low,
            delta_high=100.0 * delta_high,
            chosen_on=chosen_on,
            cost_ratio_to_pool_mean=cost / self.mean_cost_usd,
            attempts=tuple(float(count) / len(played.right) for count in counts),
        )


def interval(values: Floats) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of ``values``, always with the same resamples, so that pairs stay pairs."""
    draw = np.random.default_rng(SEED)
    means = np.array([values[draw.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)])
    low, high = np.percentile(means, INTERVAL)
    return float(low), float(high)
