"""Laws of the calibrated combination."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from judge_service.domain import aggregation
from judge_service.domain.aggregation import Score, Waiting
from judge_service.domain.calibration import Backoff, Calibration, Combination
from judge_service.domain.verdicts import Defect
from tests.support.judges import CAPS, SCALES

KINDS = sorted(SCALES)
unit = st.floats(0.0, 1.0)
weights = st.floats(0.0, 5.0)
numbers = st.floats(-5.0, 5.0)
scores = st.lists(st.builds(Score, st.sampled_from(KINDS), unit), max_size=6)
defects = st.lists(st.sampled_from(list(Defect)), max_size=3)


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    sets = [frozenset(kinds) for size in range(len(KINDS) + 1) for kinds in itertools.combinations(KINDS, size)]
    own = draw(st.sets(st.sampled_from(sets)))
    return Calibration(
        version="v",
        epsilon=draw(st.floats(1e-6, 0.1)),
        scales=SCALES,
        combinations={
            kinds: Combination(intercept=draw(numbers), weights={kind: draw(weights) for kind in sorted(kinds)})
            for kinds in sorted(own, key=sorted)
        },
        backoff=Backoff(
            intercept=draw(numbers), shifts={kind: draw(numbers) for kind in KINDS}, weights={kind: draw(weights) for kind in KINDS}
        ),
        caps=CAPS,
    )


@given(calibrations(), scores, defects)
def test_confidence_and_disagreement_are_bounded(calibration: Calibration, given_scores: list[Score], found: list[Defect]) -> None:
    confidence = aggregation.confidence(calibration, given_scores, found)
    assert calibration.epsilon <= confidence <= 1.0 - calibration.epsilon
    assert 0.0 <= aggregation.disagreement(calibration, given_scores) <= 1.0
    for defect in found:
        assert confidence <= max(calibration.caps[defect], calibration.epsilon)


@given(calibrations(), scores.filter(bool), defects, st.data())
def test_no_score_lowers_the_confidence_by_rising(
    calibration: Calibration, given_scores: list[Score], found: list[Defect], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(given_scores) - 1))
    raised = data.draw(st.floats(given_scores[place].value, 1.0))
    higher = [*given_scores]
    higher[place] = Score(given_scores[place].kind, raised)
    before = aggregation.confidence(calibration, given_scores, found)
    assert aggregation.confidence(calibration, higher, found) >= before - 1e-12


@given(calibrations(), scores, defects, st.data())
def test_the_order_of_the_judges_is_irrelevant(
    calibration: Calibration, given_scores: list[Score], found: list[Defect], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(given_scores))
    assert aggregation.confidence(calibration, shuffled, found) == aggregation.confidence(calibration, given_scores, found)
    assert aggregation.disagreement(calibration, shuffled) == aggregation.disagreement(calibration, given_scores)


@given(calibrations(), scores, defects, scores, st.data())
def test_bounds_hold_whatever_the_missing_judges_say(
    calibration: Calibration, known: list[Score], found: list[Defect], more: list[Score], data: st.DataObject
) -> None:
    """``more`` is what missing judges come to say; the first ``silent`` of them abstain or fail instead."""
    later = data.draw(defects)
    silent = data.draw(st.integers(0, len(more)))
    finds = bool(later)
    waiting = [Waiting(score.kind, finds) for score in more] or ([Waiting("checks", finds_defects=True)] if finds else [])
    bounds = aggregation.bounds(calibration, known, found, waiting=waiting)
    final = aggregation.confidence(calibration, [*known, *more[silent:]], [*found, *later])
    assert bounds.low - 1e-9 <= final <= bounds.high + 1e-9


@given(calibrations(), scores, defects, scores)
def test_more_answers_never_widen_the_bounds(calibration: Calibration, known: list[Score], found: list[Defect], more: list[Score]) -> None:
    waiting = [Waiting(score.kind, finds_defects=False) for score in more]
    for answered in range(len(more)):
        before = aggregation.bounds(calibration, [*known, *more[:answered]], found, waiting=waiting[answered:])
        after = aggregation.bounds(calibration, [*known, *more[: answered + 1]], found, waiting=waiting[answered + 1 :])
        assert before.low - 1e-9 <= after.low
        assert after.high <= before.high + 1e-9
