"""RouteLLM's metric (arXiv 2406.18665), written from its description.

A score per question says how much the strong model is needed. Eleven thresholds, the edges of ten quantile bins of the scores, make
eleven shares of strong calls and the accuracies that come of them. With few distinct scores some edges coincide; they count once, and the
straight line between the points that remain is what breaking ties by chance would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10
RESAMPLES = 400
SEED = 20261122
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Curve:
    """Shares of strong calls, rising from 0.0 to 1.0, and the accuracy at each, 0.0 to 1.0; what either model reaches alone."""

    shares: Floats
    accuracies: Floats
    weak: float
    strong: float

    @property
    def apgr(self) -> float:
        """Average share of the gap between the two models that is recovered: 0.0 for the weak one alone, 0.5 by chance.

        Raises ``ValueError`` when there is no gap.
        """
        if self.strong <= self.weak:
            raise ValueError(f"the strong model ({self.strong:.3f} right) must be better than the weak one ({self.weak:.3f} right)")
        width = float(self.shares[-1] - self.shares[0])
        area = float(np.trapezoid(self.accuracies, self.shares))
        return (area - self.weak * width) / ((self.strong - self.weak) * width)

    def cpt(self, gap_share: float) -> float:
        """Least share of strong calls at which ``gap_share`` (0.0 to 1.0) of the gap is recovered, on straight lines between the points."""
        wanted = self.weak + gap_share * (self.strong - self.weak)
        for index, (share, accuracy) in enumerate(zip(self.shares, self.accuracies, strict=True)):
            if accuracy >= wanted:
                if index == 0:
                    return float(share)
                before, base = self.shares[index - 1], self.accuracies[index - 1]
                return float(before + (share - before) * (wanted - base) / (accuracy - base))
        return float(self.shares[-1])


def curve(scores: Floats, strong: Floats, weak: Floats) -> Curve:
    """The curve of ``scores`` ``(n,)``; ``strong`` and ``weak`` say 1.0 where that model is right."""
    edges = np.unique(np.quantile(scores, np.linspace(0.0, 1.0, BINS + 1)))
    chosen = [scores >= edge for edge in edges]
    chosen.append(np.zeros(len(scores), dtype=bool))
    if len(edges) == BINS + 1:
        # The last edge is the highest score: beyond it nobody calls the strong model.
        del chosen[-2]
    points = sorted({(float(mask.mean()), float(np.where(mask, strong, weak).mean())) for mask in chosen})
    return Curve(
        np.array([share for share, _ in points]),
        np.array([accuracy for _, accuracy in points]),
        float(weak.mean()),
        float(strong.mean()),
    )


def apgr_interval(scores: Floats, strong: Floats, weak: Floats, *, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % interval of APGR by bootstrap over questions; thresholds are drawn anew in each resample."""
    draw = np.random.default_rng(SEED)
    found: list[float] = []
    for _ in range(resamples):
        rows = draw.integers(0, len(scores), len(scores))
        drawn = curve(scores[rows], strong[rows], weak[rows])
        if drawn.strong > drawn.weak:
            found.append(drawn.apgr)
    low, high = np.percentile(found, INTERVAL)
    return float(low), float(high)
