"""Thresholds with a stated risk: P(wrong | accepted) ≤ α, with confidence 1 - δ over the calibration questions.

Learn then Test (Angelopoulos et al., arXiv 2110.01052): each threshold of a grid that was fixed beforehand is a hypothesis "its risk is
above α"; the exact binomial p-value rejects it, at δ shared out evenly (Bonferroni) so that all accepted thresholds hold together.
Questions are taken to be exchangeable with those that will be asked; each counts once.

A request may stop in several places, one after each answer. ``support`` is then ``(questions, places)`` in the order in which they come,
below 0 where it may not stop; the first place that reaches the threshold decides. What is asked next must not depend on the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, fsum, lgamma, log
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GRID: Final = tuple(round(0.5 + 0.02 * step, 2) for step in range(25))
"""Thresholds that are tried: 0.50, 0.52, … 0.98."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The lowest threshold whose risk is at most ``wrong_max`` with probability ``confidence``.

    On the ``questions`` of the calibration, ``accepted`` of them were accepted at it, ``wrong`` of those were wrong.
    """

    threshold: float
    wrong_max: float
    confidence: float
    questions: int
    accepted: int
    wrong: int


def certify(support: Floats, right: Floats, *, wrong_max: float, confidence: float) -> Certificate | None:
    """The certificate for answers given with ``support`` (calibrated confidence) that were ``right`` (0.0, 1.0); None when none holds.

    Both are ``(questions,)``, or ``(questions, places)``. ``wrong_max`` (α) and ``confidence`` (1 - δ) are between 0 and 1.
    """
    for name, value in (("wrong_max", wrong_max), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"`{name}` must be between 0 and 1, not {value}")
    level = (1.0 - confidence) / len(GRID)
    for threshold in GRID:
        accepted, wrong = accepted_at(support, right, threshold)
        if accepted and binomial_tail(wrong, accepted, wrong_max) <= level:
            return Certificate(
                threshold=threshold, wrong_max=wrong_max, confidence=confidence, questions=len(right), accepted=accepted, wrong=wrong
            )
    return None


def accepted_at(support: Floats, right: Floats, threshold: float) -> tuple[int, int]:
    """Questions whose answer is accepted at ``threshold``, and how many of those answers are wrong."""
    places = (len(right), -1)
    reached = support.reshape(places) >= threshold
    taken = reached.any(axis=1)
    given = np.take_along_axis(right.reshape(places), reached.argmax(axis=1)[:, None], axis=1)[:, 0]
    return int(taken.sum()), int((given[taken] < 0.5).sum())  # noqa: PLR2004 right is 0.0 or 1.0


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X ≤ ``successes``) of a binomial X: the p-value of "the rate is at least ``probability``"."""
    hit, miss = log(probability), log(1.0 - probability)
    ways = (lgamma(trials + 1) - lgamma(count + 1) - lgamma(trials - count + 1) for count in range(successes + 1))
    return min(1.0, fsum(exp(way + count * hit + (trials - count) * miss) for count, way in enumerate(ways)))


def violations(
    support: Floats, right: Floats, *, wrong_max: float, confidence: float, resplits: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """What a bound comes to when it is certified on one random half and tried on the other.

    The share of the halves in which it is broken, the share without any certificate, and the mean share of questions that were accepted
    where there was one.
    """
    broken, refused = 0, 0
    coverage: list[float] = []
    for _ in range(resplits):
        order = rng.permutation(len(right))
        fit, test = order[: len(order) // 2], order[len(order) // 2 :]
        found = certify(support[fit], right[fit], wrong_max=wrong_max, confidence=confidence)
        if found is None:
            refused += 1
            continue
        accepted, wrong = accepted_at(support[test], right[test], found.threshold)
        coverage.append(accepted / len(test))
        broken += wrong > wrong_max * accepted
    return broken / resplits, refused / resplits, float(np.mean(coverage)) if coverage else 0.0
