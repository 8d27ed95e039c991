"""What holds of the judge `agreement` whoever answers whatever."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from judge_service.domain import agreement
from judge_service.domain.candidates import Candidate, Case
from tests.support.judges import case

qualities = st.none() | st.floats(0.0, 1.0)
answers = st.builds(
    Candidate,
    id=st.just("o"),
    text=st.sampled_from(["7", "8", "9", ""]),
    model=st.sampled_from(["", "a", "b", "c"]),
    predicted_quality=qualities,
)
questions = st.sampled_from(["How many?", "Which?\n(A) 7\n(B) 8\n(C) 9"])
SLACK = 1e-9


def _score(asked: Case) -> float | None:
    return agreement.opinion_of(asked).score


@st.composite
def cases(draw: st.DrawFn) -> Case:
    asked = case("7", question=draw(questions))
    candidate = replace(asked.candidate, model=draw(st.sampled_from(["", "a"])), predicted_quality=draw(qualities))
    return replace(asked, candidate=candidate, others=tuple(draw(st.lists(answers, max_size=6))))


@settings(deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_answers_does_not_matter(asked: Case, random: Random) -> None:
    others = list(asked.others)
    random.shuffle(others)
    assert _score(replace(asked, others=tuple(others))) == _score(asked)


@settings(deadline=None)
@given(cases(), answers)
def test_one_more_answer_that_agrees_never_lowers_the_score(asked: Case, more: Candidate) -> None:
    before = _score(asked)
    after = _score(replace(asked, others=(*asked.others, replace(more, text="7"))))
    assert after is not None
    assert before is None or after >= before - SLACK


@settings(deadline=None)
@given(cases(), st.integers(0, 5))
def test_an_answer_that_comes_round_never_lowers_the_score(asked: Case, place: int) -> None:
    if place >= len(asked.others) or not asked.others[place].text:
        return
    others = (*asked.others[:place], replace(asked.others[place], text="7"), *asked.others[place + 1 :])
    before, after = _score(asked), _score(replace(asked, others=others))
    assert before is not None
    assert after is not None
    assert after >= before - SLACK


@settings(deadline=None)
@given(cases(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_better_record_of_the_answering_model_never_lowers_the_score(asked: Case, one: float, other: float) -> None:
    low, high = (_score(replace(asked, candidate=replace(asked.candidate, predicted_quality=q))) for q in sorted((one, other)))
    assert low is None or (high is not None and high >= low - SLACK)


@settings(deadline=None)
@given(cases())
def test_a_model_that_nothing_is_known_of_is_neutral(asked: Case) -> None:
    """Neither worse nor better than one that is right half the time."""
    known = tuple(replace(one, predicted_quality=0.5) if one.predicted_quality is None else one for one in asked.others)
    assert _score(replace(asked, others=known)) == _score(asked)


@settings(deadline=None)
@given(cases())
def test_the_score_is_a_probability(asked: Case) -> None:
    score = _score(asked)
    assert score is None or 0.0 <= score <= 1.0
