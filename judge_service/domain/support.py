"""What speaks for an answer when several have been given: each adds the log-odds that its model's record gives it.

An answer of a model that is right with probability p counts ln(p (n - 1) / (1 - p)) against one particular of the n - 1 wrong answers.
Answers are not independent: wrong ones agree more often than that supposes, most of all those of one model.
``python -m training.agreement`` measures how much more often, and the logarithm of that comes off every further answer that says the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

UNKNOWN_QUALITY: Final = 0.5
"""Chance of being right that a model without a prediction is taken to have."""
QUALITY_EDGE: Final = 0.02
"""Predicted qualities are taken to be this far from 0 and 1, at least."""
OPEN_ALTERNATIVES: Final = 10
"""Number of answers that an open question is taken to have when the chance of agreeing by accident is reckoned."""
ALIKE_OTHER: Final = 2.2
"""How many times as often answers of two models agree on a wrong answer as independent ones would."""
ALIKE_SAME: Final = 4.3
"""The same for two answers of one model."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer in a group of those that say the same.

    ``quality`` is the chance, 0.0 to 1.0, that ``model`` is right here, None when nobody predicted it; ``share`` is how much the answer
    says the same, 0.0 to 1.0. An empty ``model`` is one that nobody named, and counts as another than any.
    """

    model: str
    quality: float | None
    share: float = 1.0


def support_of(votes: Sequence[Vote], *, alternatives: int) -> float:
    """Log-odds of what ``votes`` say against one particular other answer of ``alternatives`` (2 or more); 0 or more, any order."""
    weighed = sorted(((vote.share * _weight(vote, alternatives), vote.model) for vote in votes), key=lambda one: (-one[0], one[1]))
    models: set[str] = set()
    total = 0.0
    for place, (weight, model) in enumerate(weighed):
        alike = 1.0 if place == 0 else ALIKE_SAME if model in models else ALIKE_OTHER
        total += max(weight - math.log(alike), 0.0)
        if model:
            models.add(model)
    return total


def probability_of(own: float, rivals: Sequence[float], *, alternatives: int) -> float:
    """Probability of the answer with support ``own`` beside ``rivals`` and all the answers that nobody gave, 0.0 to 1.0."""
    silent = max(alternatives - 1 - len(rivals), 0)
    highest = max(own, 0.0, *rivals)
    every = math.fsum((math.exp(own - highest), *(math.exp(rival - highest) for rival in rivals), silent * math.exp(-highest)))
    return math.exp(own - highest) / every


def _weight(vote: Vote, alternatives: int) -> float:
    quality = UNKNOWN_QUALITY if vote.quality is None else vote.quality
    safe = min(max(quality, QUALITY_EDGE), 1.0 - QUALITY_EDGE)
    return math.log(safe * (alternatives - 1) / (1.0 - safe))
