"""Calibrated combination by examples; the laws are in the property tests."""

from __future__ import annotations

import math

import pytest

from judge_service.domain import aggregation
from judge_service.domain.aggregation import Score, Waiting
from judge_service.domain.calibration import Backoff, Calibration, Combination
from judge_service.domain.errors import BadCalibration
from judge_service.domain.verdicts import Defect
from tests.support.judges import CAPS, SCALES, calibration


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_an_evidence_set_with_its_own_combination_uses_it() -> None:
    scores = [Score("llm", 0.8), Score("checks", 1.0)]
    assert aggregation.confidence(calibration(), scores) == pytest.approx(sigmoid(-0.5 + 0.5 + math.log(4)))


def test_others_use_the_additive_backoff() -> None:
    assert aggregation.confidence(calibration(llm=2.0), [Score("llm", 0.8)]) == pytest.approx(sigmoid(2 * math.log(4)))


def test_two_judges_of_one_kind_count_as_their_mean() -> None:
    assert aggregation.confidence(calibration(), [Score("llm", 0.8), Score("llm", 0.2)]) == pytest.approx(0.5)


def test_a_kind_that_the_calibration_does_not_know_says_nothing() -> None:
    known = [Score("llm", 0.8)]
    assert aggregation.confidence(calibration(), [*known, Score("verifier", 0.0)]) == aggregation.confidence(calibration(), known)


def test_no_evidence_is_the_prior() -> None:
    assert aggregation.confidence(calibration(), []) == 0.5


@pytest.mark.parametrize("defect", list(Defect))
def test_a_defect_caps_the_confidence(defect: Defect) -> None:
    assert aggregation.confidence(calibration(), [Score("llm", 1.0)], [defect]) == max(CAPS[defect], 0.01)


def test_bounds_close_in_on_the_confidence() -> None:
    scores = [Score("llm", 0.9), Score("checks", 1.0)]
    bounds = aggregation.bounds(calibration(), scores)
    assert bounds.low == bounds.high == aggregation.confidence(calibration(), scores)


def test_a_judge_that_may_find_defects_keeps_the_lower_bound_down() -> None:
    waiting = [Waiting("checks", finds_defects=True)]
    assert aggregation.bounds(calibration(), [Score("llm", 1.0)], waiting=waiting).low == 0.01


def test_disagreement() -> None:
    assert aggregation.disagreement(calibration(), []) == 0.0
    assert aggregation.disagreement(calibration(), [Score("llm", 0.9)]) == 0.0
    opposed = aggregation.disagreement(calibration(), [Score("llm", 1.0), Score("confidence", 0.0)])
    alike = aggregation.disagreement(calibration(), [Score("llm", 0.9), Score("confidence", 0.9)])
    assert opposed > 0.9
    assert alike == pytest.approx(0.0, abs=1e-9)


def _with(**changes: object) -> None:
    parts: dict[str, object] = {
        "version": "v",
        "epsilon": 0.01,
        "scales": SCALES,
        "combinations": {},
        "backoff": Backoff(intercept=0.0, shifts=dict.fromkeys(SCALES, 0.0), weights=dict.fromkeys(SCALES, 1.0)),
        "caps": CAPS,
    }
    Calibration(**(parts | changes))  # pyright: ignore[reportArgumentType] wrong parameters are the point


def test_parameters_that_fit_are_taken() -> None:
    _with()


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 0.0},
        {"epsilon": 0.5},
        {"caps": {}},
        {"caps": CAPS | {Defect.EMPTY: 1.5}},
        {"combinations": {frozenset({"llm"}): Combination(intercept=0.0, weights={"llm": -1.0})}},
        {"combinations": {frozenset({"llm"}): Combination(intercept=0.0, weights={"checks": 1.0})}},
        {"combinations": {frozenset({"llm"}): Combination(intercept=math.nan, weights={"llm": 1.0})}},
        {"combinations": {frozenset({"new"}): Combination(intercept=0.0, weights={"new": 1.0})}},
        {"backoff": Backoff(intercept=0.0, shifts={}, weights={})},
    ],
)
def test_parameters_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadCalibration):
        _with(**changes)
