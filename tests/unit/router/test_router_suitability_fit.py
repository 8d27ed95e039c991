from __future__ import annotations

import numpy as np
import pytest

from training.suitability_fit import CELL_STRENGTH, UNMEASURED_STRENGTH, Counts, ability_for, ability_mode, complexity_effects, fit_model

EFFECTS = np.array([2.0, 0.0, -2.0])
MIX = np.full((2, 3), 1.0 / 6.0)


def counts(answers: float, right: float, *, cell: tuple[int, int] = (0, 0)) -> Counts:
    found = Counts.empty(2, 3)
    found.answers[cell], found.right[cell], found.tokens[cell] = answers, right, answers * 40.0
    return found


def test_model_without_answers_is_the_pool_average_with_a_wide_spread() -> None:
    fit = fit_model(Counts.empty(2, 3), EFFECTS, ability_prior=0.0, tokens_prior=300.0)
    assert fit.mean[0] == pytest.approx(1.0 / (1.0 + np.exp(-EFFECTS)))
    assert fit.alpha + fit.beta == pytest.approx(np.full((2, 3), UNMEASURED_STRENGTH))
    assert fit.tokens == pytest.approx(np.full((2, 3), 300.0))


def test_many_answers_outweigh_the_prior_in_their_cell() -> None:
    fit = fit_model(counts(1_000, 100), EFFECTS, ability_prior=0.0, tokens_prior=300.0)
    assert fit.mean[0, 0] == pytest.approx(0.1, abs=0.01)
    assert (fit.alpha + fit.beta)[0, 0] == pytest.approx(1_000 + CELL_STRENGTH)
    assert fit.tokens[0, 0] == pytest.approx(40.0)


def test_cells_without_answers_follow_the_ability_shown_elsewhere() -> None:
    weak = fit_model(counts(200, 60), EFFECTS, ability_prior=0.0, tokens_prior=300.0)
    strong = fit_model(counts(200, 198), EFFECTS, ability_prior=0.0, tokens_prior=300.0)
    assert (weak.mean < strong.mean).all()
    assert weak.mean[1, 2] < 0.05
    assert weak.mean[1, 0] > weak.mean[1, 1] > weak.mean[1, 2]


def test_ability_is_the_mode_of_its_posterior() -> None:
    answers, right = np.array([50.0, 20.0, 10.0]), np.array([30.0, 5.0, 0.0])
    theta = ability_mode(answers, right, EFFECTS, prior=0.0)

    def log_posterior(value: float) -> float:
        p = 1.0 / (1.0 + np.exp(-(EFFECTS + value)))
        return float((right * np.log(p) + (answers - right) * np.log(1.0 - p)).sum()) - value**2 / (2 * 1.5**2)

    assert log_posterior(theta) > max(log_posterior(theta + 0.01), log_posterior(theta - 0.01))


def test_overall_rate_is_taken_over_the_same_mix_for_every_model() -> None:
    fit = fit_model(counts(500, 450), EFFECTS, ability_prior=0.0, tokens_prior=300.0)
    alpha, beta = fit.standardised(MIX)
    assert alpha / (alpha + beta) == pytest.approx(float((MIX * fit.mean).sum()))


def test_uncertain_ability_widens_the_overall_rate() -> None:
    few = fit_model(counts(4, 2), EFFECTS, ability_prior=0.0, tokens_prior=300.0)
    many = fit_model(counts(4_000, 2_000), EFFECTS, ability_prior=0.0, tokens_prior=300.0)
    assert sum(few.standardised(MIX)) < sum(many.standardised(MIX))


def test_effects_are_the_logits_of_the_pool_by_complexity() -> None:
    first, second = (
        Counts(np.full((2, 3), 10.0), np.full((2, 3), 8.0), np.zeros((2, 3))),
        Counts(np.full((2, 3), 10.0), np.full((2, 3), 2.0), np.zeros((2, 3))),
    )
    assert complexity_effects([first, second]) == pytest.approx(np.zeros(3))


def test_ability_for_a_rate_gives_that_rate() -> None:
    theta = ability_for(0.3, 2.0)
    assert 1.0 / (1.0 + np.exp(-(2.0 + theta))) == pytest.approx(0.3)
