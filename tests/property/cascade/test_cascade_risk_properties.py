"""Certified thresholds on synthetic data whose true risk is known."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.risk_control import GRID, Floats, accepted_at, binomial_tail, certify, violations

RUNS = 300
QUESTIONS = 400


def drawn(rng: np.random.Generator, count: int, *, flattery: float) -> tuple[Floats, Floats]:
    """Answers whose chance to be right is their confidence less ``flattery``."""
    support = rng.random(count)
    return support, (rng.random(count) < np.clip(support - flattery, 0.0, 1.0)).astype(np.float64)


def true_risk(threshold: float, flattery: float) -> float:
    """P(wrong | accepted): the mean of 1 - (support - flattery) over supports from the threshold to 1."""
    return 1.0 - ((1.0 + threshold) / 2.0 - flattery)


@pytest.mark.parametrize("flattery", [0.0, 0.1])
@pytest.mark.parametrize(("wrong_max", "confidence"), [(0.1, 0.9), (0.2, 0.9), (0.2, 0.95)])
def test_the_true_risk_is_above_the_bound_in_at_most_delta_of_the_runs(flattery: float, wrong_max: float, confidence: float) -> None:
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(RUNS):
        found = certify(*drawn(rng, QUESTIONS, flattery=flattery), wrong_max=wrong_max, confidence=confidence)
        broken += found is not None and true_risk(found.threshold, flattery) > wrong_max
    assert broken <= RUNS * (1.0 - confidence)


def test_the_bound_is_kept_at_the_edge_where_every_threshold_is_just_too_risky() -> None:
    rng, wrong_max = np.random.default_rng(2), 0.1
    certified = 0
    for _ in range(RUNS):
        right = (rng.random(QUESTIONS) < 1.0 - wrong_max - 1e-3).astype(np.float64)
        certified += certify(rng.random(QUESTIONS), right, wrong_max=wrong_max, confidence=0.9) is not None
    assert certified <= RUNS * 0.1


def test_with_several_places_to_stop_the_bound_holds_too() -> None:
    """The first place that reaches the threshold decides, so the risk at a threshold is that of whole plays, not of confidences."""
    rng = np.random.default_rng(3)
    support, right = (column.reshape(-1, 3) for column in drawn(rng, 600_000, flattery=0.05))
    truth = {threshold: accepted_at(support, right, threshold) for threshold in GRID}
    broken = 0
    for _ in range(RUNS):
        some = rng.integers(0, len(right), QUESTIONS)
        found = certify(support[some], right[some], wrong_max=0.2, confidence=0.9)
        if found is not None:
            accepted, wrong = truth[found.threshold]
            broken += wrong > 0.2 * accepted
    assert broken <= RUNS * 0.1


def test_enough_good_answers_are_certified_and_the_threshold_is_no_higher_than_it_must_be() -> None:
    found = certify(*drawn(np.random.default_rng(4), 50_000, flattery=0.0), wrong_max=0.2, confidence=0.9)
    assert found is not None
    assert true_risk(found.threshold, 0.0) <= 0.2 < true_risk(found.threshold - 0.04, 0.0)


def test_what_is_hopeless_gets_no_certificate() -> None:
    rng = np.random.default_rng(5)
    coins = (rng.random(5_000) < 0.5).astype(np.float64)
    assert certify(rng.random(5_000), coins, wrong_max=0.1, confidence=0.9) is None
    assert certify(np.ones(20), np.ones(20), wrong_max=0.02, confidence=0.9) is None, "twenty right answers prove no 2 %"
    assert certify(np.full(5_000, -1.0), np.ones(5_000), wrong_max=0.2, confidence=0.9) is None, "nothing is ever accepted"


@given(trials=st.integers(1, 60), share=st.floats(0.0, 1.0), probability=st.floats(0.01, 0.99))
def test_the_p_value_is_the_exact_binomial_tail(trials: int, share: float, probability: float) -> None:
    successes = round(share * trials)
    exact = sum(comb(trials, count) * probability**count * (1.0 - probability) ** (trials - count) for count in range(successes + 1))
    assert binomial_tail(successes, trials, probability) == pytest.approx(min(1.0, exact), rel=1e-9, abs=1e-15)


@given(trials=st.integers(1, 3_000), share=st.floats(0.0, 0.9), probability=st.floats(0.01, 0.5))
@settings(max_examples=50)
def test_the_p_value_rises_with_wrong_answers_and_falls_with_the_bound(trials: int, share: float, probability: float) -> None:
    wrong = int(share * trials)
    value = binomial_tail(wrong, trials, probability)
    assert 0.0 <= value <= 1.0
    assert value <= binomial_tail(min(wrong + 1, trials), trials, probability) + 1e-12
    assert value >= binomial_tail(wrong, trials, probability + 0.01) - 1e-12


def test_a_certificate_on_one_half_is_kept_by_the_other() -> None:
    support, right = drawn(np.random.default_rng(6), 4_000, flattery=0.0)
    broken, refused, accepted = violations(support, right, wrong_max=0.2, confidence=0.9, resplits=100, rng=np.random.default_rng(7))
    assert broken <= 0.1
    assert refused == 0.0
    assert accepted > 0.2


@pytest.mark.parametrize("figures", [{"wrong_max": 0.0, "confidence": 0.9}, {"wrong_max": 0.1, "confidence": 1.0}])
def test_a_bound_that_can_not_be_is_named(figures: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        certify(np.ones(3), np.ones(3), **figures)
