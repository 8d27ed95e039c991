"""Own recordings on top of a published table of Φ."""

from __future__ import annotations

import numpy as np
import pytest

from training.suitability_fit import Counts, fit_model
from training.suitability_table import COMPLEXITIES, DOMAINS, UNKNOWN, Record, no_counts, record_of
from training.suitability_update import updated

SHAPE = (len(DOMAINS), len(COMPLEXITIES))
MIX = np.full(SHAPE, 1.0 / (SHAPE[0] * SHAPE[1]))
EFFECTS = np.array([2.0, 0.0, -2.0])
MATH_LOW = f"{DOMAINS[0]}/{COMPLEXITIES[0]}"


def counts(answers: float, right: float) -> Counts:
    found = no_counts()
    found.answers[0, 0], found.right[0, 0], found.tokens[0, 0] = answers, right, 40.0 * answers
    return found


def record(found: Counts) -> Record:
    return record_of(fit_model(found, EFFECTS, ability_prior=0.0, tokens_prior=300.0), found.answers, MIX)


@pytest.fixture
def table() -> dict[str, Record]:
    return {UNKNOWN: record(no_counts()), "known": record(counts(100, 90))}


def rate(entry: list[float]) -> float:
    return entry[0] / (entry[0] + entry[1])


def test_a_new_model_gets_what_a_full_build_would_give_it(table: dict[str, Record]) -> None:
    fresh = updated(table, {"mine": counts(30, 6)}, mix=MIX)["mine"]
    whole = record(counts(30, 6))
    assert fresh["cells"][MATH_LOW] == pytest.approx(whole["cells"][MATH_LOW], abs=1e-3)
    assert fresh["overall"] == pytest.approx(whole["overall"], rel=0.01)


def test_a_known_model_keeps_its_answers_and_gains_the_new_ones(table: dict[str, Record]) -> None:
    after = updated(table, {"known": counts(50, 10)}, mix=MIX)["known"]
    before = table["known"]["cells"][MATH_LOW]
    assert after["cells"][MATH_LOW][:3] == pytest.approx([before[0] + 10, before[1] + 40, 150])
    assert rate(after["cells"][MATH_LOW]) < rate(before)
    assert rate(after["overall"]) < rate(table["known"]["overall"])
    assert (after["overall"][2], after["cells"][f"{DOMAINS[1]}/{COMPLEXITIES[1]}"]) == (
        150,
        table["known"]["cells"][f"{DOMAINS[1]}/{COMPLEXITIES[1]}"],
    )


def test_no_answers_change_nothing(table: dict[str, Record]) -> None:
    after = updated(table, {"known": no_counts()}, mix=MIX)["known"]
    assert after["cells"] == table["known"]["cells"]
    assert after["overall"] == pytest.approx(table["known"]["overall"], abs=1e-3)


def test_others_are_left_alone(table: dict[str, Record]) -> None:
    after = updated(table, {"mine": counts(3, 1)}, mix=MIX)
    assert {name: after[name] for name in table} == table
    assert set(after) == {*table, "mine"}


@pytest.mark.parametrize("right", range(0, 30, 7))
def test_more_right_answers_never_lower_the_rate(table: dict[str, Record], right: int) -> None:
    less, more = (updated(table, {"known": counts(30, n), "mine": counts(30, n)}, mix=MIX) for n in (right, right + 1))
    for model in ("known", "mine"):
        assert rate(more[model]["overall"]) > rate(less[model]["overall"])
        assert rate(more[model]["cells"][MATH_LOW]) > rate(less[model]["cells"][MATH_LOW])
