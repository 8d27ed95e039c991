from __future__ import annotations

from math import sqrt

import pytest

from router_service.domain.suitability import BetaBelief, SuitabilityTable, category_weights
from router_service.domain.taxonomy import Axis
from tests.support.router import record, taxonomy


def test_posterior_adds_successes_and_failures() -> None:
    belief = BetaBelief(2.0, 3.0).after(successes=4, failures=1)
    assert (belief.alpha, belief.beta) == (6.0, 4.0)
    assert belief.mean == pytest.approx(0.6)
    assert belief.variance == pytest.approx(6 * 4 / (100 * 11))


def test_belief_around_a_mean_weighs_as_much_as_its_strength() -> None:
    belief = BetaBelief.around(0.25, strength=8.0)
    assert (belief.alpha, belief.beta) == (2.0, 6.0)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_parameters_that_are_no_distribution_are_refused(alpha: float, beta: float) -> None:
    with pytest.raises(ValueError, match="α > 0"):
        BetaBelief(alpha, beta)


CELLS = {("math", "low"): 0.9, ("math", "high"): 0.3, ("law", "low"): 0.6, ("law", "high"): 0.2}
TABLE = SuitabilityTable({"known": record(0.5, CELLS)}, record(0.4, observations=0))


def test_certain_category_gives_the_cell() -> None:
    found = TABLE.for_category("known", category_weights(taxonomy()))
    assert found.mean == pytest.approx(0.9)
    assert found.stddev == pytest.approx(sqrt(0.9 * 0.1 / 11))


def test_uncertain_category_averages_the_cells_and_widens_the_spread() -> None:
    doubtful = taxonomy({Axis.REASONING_COMPLEXITY: {"low": 0.5, "high": 0.5}})
    found = TABLE.for_category("known", category_weights(doubtful))
    assert found.mean == pytest.approx(0.6)
    within = (0.9 * 0.1 + 0.3 * 0.7) / 11 / 2
    assert found.stddev == pytest.approx(sqrt(within + 0.3**2))


def test_both_axes_are_averaged_over() -> None:
    doubtful = taxonomy({Axis.DOMAIN: {"math": 0.25, "law": 0.75}, Axis.REASONING_COMPLEXITY: {"low": 0.5, "high": 0.5}})
    assert TABLE.for_category("known", category_weights(doubtful)).mean == pytest.approx(0.25 * 0.6 + 0.75 * 0.4)


def test_label_without_a_cell_counts_as_the_model_overall() -> None:
    assert TABLE.for_category("known", category_weights(taxonomy({Axis.DOMAIN: {"astrology": 1.0}}))).mean == pytest.approx(0.5)


def test_unknown_model_has_a_wide_prior_and_says_so() -> None:
    found = TABLE.for_category("never-seen", category_weights(taxonomy()))
    assert found.mean == pytest.approx(0.4)
    assert not found.measured
    assert TABLE.overall("known").measured


def test_cells_that_hardly_matter_are_left_out_of_the_weights() -> None:
    weights = category_weights(taxonomy({Axis.DOMAIN: {"math": 0.99999, "law": 0.00001}}))
    assert weights == {("math", "low"): 1.0}
