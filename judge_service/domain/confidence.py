"""How sure the answering model was of its own words, from token log-probabilities."""

from __future__ import annotations

import math
from typing import Final

from judge_service.domain.candidates import Case, LogprobFigures
from judge_service.domain.verdicts import Opinion

MEAN_WEIGHT: Final = 0.5
MINIMUM_WEIGHT: Final = 0.25
FIRST_WEIGHT: Final = 0.25
"""Shares of the mean, the least sure and the first token in the score; they add up to 1."""


def opinion_of(case: Case) -> Opinion:
    """The score of the candidate's log-probabilities; abstains when there are none that can be used."""
    figures = case.candidate.logprobs
    if figures is None or figures.tokens < 1:
        return Opinion(score=None, explanation="no log-probabilities")
    return Opinion(score=score_of(figures), explanation=f"log-probabilities of {figures.tokens} tokens")


def score_of(figures: LogprobFigures) -> float:
    """0.0 (unsure) to 1.0 (certain): a weighted mean of three probabilities, lowered by the share of uncertain tokens.

    The three are the geometric mean over all tokens, the least probable token and the first token. The first token decides the
    course of short answers, the least probable one is where an answer goes wrong; which weighs how much is calibrated afterwards.
    """
    mean, minimum, first = (_probability(value) for value in (figures.mean, figures.minimum, figures.first))
    base = MEAN_WEIGHT * mean + MINIMUM_WEIGHT * minimum + FIRST_WEIGHT * first
    uncertain = min(max(figures.share_uncertain, 0.0), 1.0) if math.isfinite(figures.share_uncertain) else 1.0
    return min(max(base * (1.0 - 0.5 * uncertain), 0.0), 1.0)


def _probability(logprob: float) -> float:
    """The probability behind a log-probability, 0 for what is none."""
    return 0.0 if math.isnan(logprob) else math.exp(min(logprob, 0.0))
