from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.newcomers import CoefficientBelief, DescriptorRegression
from router_service.domain.suitability import BetaBelief
from training.suitability_fit import UNMEASURED_STRENGTH, Counts, Fit, fit_model

EFFECTS = np.array([2.0, 0.0, -2.0])
SEEDS = st.integers(0, 2**32 - 1)


def belief_and_answers(seed: int, count: int) -> tuple[CoefficientBelief, np.ndarray, np.ndarray, np.ndarray]:
    """A belief over four coefficients, and skills, values and noise of ``count`` answers."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(4, 4))
    belief = CoefficientBelief(rng.normal(size=4), root @ root.T + 0.01 * np.eye(4))
    return belief, rng.normal(size=(count, 4)), rng.normal(size=count), rng.uniform(0.05, 0.25, size=count)


@given(SEEDS, st.integers(1, 40))
def test_labelled_answers_never_widen_a_belief(seed: int, count: int) -> None:
    belief, skills, left, noise = belief_and_answers(seed, count)
    anywhere = np.random.default_rng(seed + 1).normal(size=(20, 4))
    _, before = belief.at(anywhere)
    _, after = belief.after(skills, left, noise).at(anywhere)
    assert (after <= before + 1e-6 * (1.0 + before)).all()


@given(SEEDS, st.integers(2, 40))
def test_it_does_not_matter_in_which_order_or_portions_answers_come(seed: int, count: int) -> None:
    belief, skills, left, noise = belief_and_answers(seed, count)
    half = count // 2
    at_once = belief.after(skills, left, noise)
    in_turns = belief.after(skills[half:], left[half:], noise[half:]).after(skills[:half], left[:half], noise[:half])
    np.testing.assert_allclose(at_once.mean, in_turns.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(at_once.covariance, in_turns.covariance, rtol=1e-4, atol=1e-5)


@given(SEEDS, st.integers(1, 40))
def test_a_right_answer_more_raises_what_is_predicted_of_that_request(seed: int, count: int) -> None:
    belief, skills, left, noise = belief_and_answers(seed, count)
    better = left.copy()
    better[0] += 1.0
    lower, _ = belief.after(skills, left, noise).at(skills[:1])
    higher, _ = belief.after(skills, better, noise).at(skills[:1])
    assert higher[0] >= lower[0] - 1e-9


def test_no_answer_leaves_a_belief_as_it_is() -> None:
    belief, skills, left, noise = belief_and_answers(1, 0)
    assert belief.after(skills, left, noise) is belief


@given(SEEDS, st.floats(1.0, 20.0))
def test_the_less_usual_a_card_the_wider_the_prior(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    cards = rng.normal(size=(30, 5))
    spread = np.asarray(np.linalg.inv(cards.T @ cards + np.eye(5)), dtype=np.float64)
    regression = DescriptorRegression(rng.normal(size=(5, 4)), spread, np.eye(4))
    card = rng.normal(size=5)
    usual, unusual = regression.belief(card), regression.belief(card * factor)
    assert np.trace(unusual.covariance) >= np.trace(usual.covariance) - 1e-9


def test_suitability_without_labels_is_the_prior_with_a_large_deviation() -> None:
    fit = fit_model(Counts.empty(2, 3), EFFECTS, ability_prior=0.0, tokens_prior=100.0)
    assert np.allclose(fit.alpha + fit.beta, UNMEASURED_STRENGTH)
    middle = BetaBelief(float(fit.alpha[0, 1]), float(fit.beta[0, 1]))
    assert middle.mean == 0.5
    assert middle.variance**0.5 > 0.25


@given(st.integers(0, 29), SEEDS)
def test_thirty_spread_labels_narrow_every_cell_and_one_more_right_answer_lowers_none(right: int, seed: int) -> None:
    cells = np.random.default_rng(seed).dirichlet(np.ones(6), size=30).reshape(30, 2, 3)

    def fitted(successes: int) -> Fit:
        counts = Counts.empty(2, 3)
        for index, cell in enumerate(cells):
            counts.add(cell, right=index < successes, tokens=50.0)
        return fit_model(counts, EFFECTS, ability_prior=0.0, tokens_prior=100.0)

    before, after = fitted(right), fitted(right + 1)
    assert ((before.alpha + before.beta) > UNMEASURED_STRENGTH).all()
    assert (after.mean >= before.mean - 1e-9).all()
