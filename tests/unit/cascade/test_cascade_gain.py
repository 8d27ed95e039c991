"""Rows of the gain model, what the policy picks from them, and which answer has the best support."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cascade_service.domain.gain import GAIN_FEATURES, NOTHING_SAID, Floats, Option, Rows, Seen, States, gain_rows, state_rows
from cascade_service.domain.value import NextAnswerGain, best_option

WORTH = 1_000
CHEAP = Option(quality=0.5, cost_nano_usd=10)
GOOD = Option(quality=0.9, cost_nano_usd=200)


def told(seen: list[Seen], options: list[Option]) -> list[dict[str, float]]:
    rows = gain_rows(seen, options, WORTH)
    return [dict(zip(GAIN_FEATURES, (round(float(value), 6) for value in row), strict=True)) for row in rows]


def test_before_anything_was_asked_there_is_nothing_to_tell_of_answers() -> None:
    (cheap, good) = told([], [CHEAP, GOOD])
    assert (cheap["n_asked"], cheap["n_silent"], cheap["n_groups"], cheap["n_remaining"]) == (0, 0, 0, 2)
    for name in ("p_top", "votes_top", "p_second", "votes_second", "p_none", "q_best_asked", "q_less_p_top"):
        assert math.isnan(cheap[name]), name
    assert (cheap["q_mean"], cheap["q_max_remaining"]) == (0.7, 0.9)
    assert (cheap["price"], good["price"], cheap["price_min_remaining"], cheap["price_two_cheapest"]) == (0.01, 0.2, 0.01, 0.21)
    assert (cheap["q_rank"], good["q_rank"]) == (1, 0)


def test_answers_that_say_the_same_are_one_group_with_the_confidence_of_the_best() -> None:
    seen = [
        Seen(quality=0.3, confidence=0.5, group=0),
        Seen(quality=0.4, confidence=0.3, group=1),
        Seen(quality=0.2, confidence=0.4, group=0),
        Seen(quality=0.6),
    ]
    (row,) = told(seen, [GOOD])
    assert (row["n_asked"], row["n_silent"], row["n_groups"]) == (4, 1, 2)
    assert (row["p_top"], row["votes_top"], row["p_second"], row["votes_second"]) == (0.5, 2, 0.3, 1)
    assert row["p_none"] == pytest.approx(0.2)
    assert (row["q_best_asked"], row["q_max_remaining"], row["price_two_cheapest"]) == (0.6, 0.9, 0.2)
    assert row["q_less_p_top"] == pytest.approx(0.4)


def test_a_single_group_has_no_second() -> None:
    (row,) = told([Seen(quality=0.3, confidence=0.5, group=0)], [GOOD])
    assert (row["p_second"], row["votes_second"], row["n_groups"]) == (0.0, 0, 1)


def test_after_failures_alone_nothing_was_said() -> None:
    (row,) = told([Seen(quality=0.3)], [GOOD])
    assert (row["n_asked"], row["n_silent"]) == (1, 1)
    assert math.isnan(row["p_top"])


def test_many_states_at_once_are_the_same_as_each_alone() -> None:
    quality, price = np.array([0.5, 0.6, 0.7]), np.array([0.1, 0.2, 0.4])
    states = States(
        asked=np.array([[False, False, False], [True, False, False], [True, True, False]]),
        confidence=np.array([[0.0, 0.0, 0.0], [0.8, 0.0, 0.0], [0.8, 0.4, 0.0]]),
        group=np.array([[-1, -1, -1], [0, -1, -1], [0, 1, -1]]),
        quality=np.tile(quality, (3, 1)),
        price=np.tile(price, (3, 1)),
    )
    together = state_rows(states)
    for state in range(3):
        order = [*np.flatnonzero(states.asked[state]), *np.flatnonzero(~states.asked[state])]
        asked = int(states.asked[state].sum())
        seen = [Seen(quality=quality[m], confidence=states.confidence[state, m], group=int(states.group[state, m])) for m in order[:asked]]
        options = [Option(quality=quality[m], cost_nano_usd=round(price[m] * WORTH)) for m in order[asked:]]
        np.testing.assert_allclose(gain_rows(seen, options, WORTH), together[state][order[asked:]], rtol=1e-6)


class Fixed:
    """A gain model with fixed net gains."""

    def __init__(self, *net: float) -> None:
        self.net = net

    def net_gain(self, rows: Rows) -> Floats:
        assert rows.dtype == np.float32
        return np.array(self.net)


def test_the_best_net_gain_is_picked_and_told_with_its_price() -> None:
    pick = best_option(Fixed(0.01, 0.05), [], [CHEAP, GOOD], WORTH)
    assert (pick.place, pick.pays) == (1, True)
    assert (pick.gain, pick.price) == (pytest.approx(0.25), 0.2)
    assert pick.in_words("good") == "gain 0.250 of asking good exceeds its price 0.200"


@pytest.mark.parametrize("net", [0.0, -0.1, math.nan, -math.inf])
def test_a_gain_that_is_not_above_the_price_does_not_pay(net: float) -> None:
    pick = best_option(Fixed(net), [], [CHEAP], WORTH)
    assert not pick.pays
    assert math.isfinite(pick.gain)
    assert "does not exceed" in pick.in_words("cheap")


def test_of_equal_gains_the_first_of_the_plan_is_picked() -> None:
    assert best_option(Fixed(0.1, 0.1), [], [CHEAP, GOOD], WORTH).place == 0


def test_one_answer_ahead_gains_what_the_best_group_leaves_open() -> None:
    seen = [Seen(quality=0.3, confidence=0.75, group=0)]
    assert NextAnswerGain().net_gain(gain_rows(seen, [GOOD], WORTH)) == pytest.approx([0.9 * 0.25 - 0.2], abs=1e-6)
    assert NextAnswerGain().net_gain(gain_rows([], [GOOD], WORTH)) == pytest.approx([0.9 - 0.2], abs=1e-6)
    assert NOTHING_SAID < 0
