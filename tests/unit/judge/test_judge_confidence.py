"""Confidence from token log-probabilities."""

from __future__ import annotations

import math

import pytest

from judge_service.domain import confidence
from judge_service.domain.candidates import LogprobFigures
from tests.support.judges import case


def figures(mean: float, minimum: float, first: float, uncertain: float = 0.0) -> LogprobFigures:
    return LogprobFigures(tokens=5, mean=mean, minimum=minimum, share_uncertain=uncertain, first=first)


def test_abstains_without_log_probabilities() -> None:
    assert confidence.opinion_of(case()).score is None


def test_certain_tokens_score_one() -> None:
    assert confidence.opinion_of(case(logprobs=figures(0.0, 0.0, 0.0))).score == 1.0


def test_the_score_weighs_mean_least_and_first_token() -> None:
    half = math.log(0.5)
    assert confidence.score_of(figures(half, half, half)) == pytest.approx(0.5)
    assert confidence.score_of(figures(0.0, -40.0, 0.0)) == pytest.approx(0.75)


def test_uncertain_tokens_lower_it() -> None:
    assert confidence.score_of(figures(0.0, 0.0, 0.0, uncertain=1.0)) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [math.nan, -math.inf, -1e308])
def test_what_is_no_probability_counts_as_none(bad: float) -> None:
    assert confidence.score_of(figures(bad, bad, bad)) == 0.0
