"""Which of several answers has the best support."""

from __future__ import annotations

from dataclasses import replace

from cascade_service.domain.attempt import Attempt
from cascade_service.domain.chat import FinishReason, Usage
from cascade_service.domain.fusion import best_supported, groups_of, supporters
from cascade_service.domain.model import AnswerEnd
from cascade_service.domain.pricing import Price
from cascade_service.domain.verdict import Defect, JudgeOutcome, JudgeStatus
from tests.support.cascade import verdict


def attempt(
    number: int,
    confidence: float | None,
    *,
    same: tuple[int, ...] = (),
    quality: float | None = 0.5,
    defects: tuple[Defect, ...] = (),
    text: str = "42",
) -> Attempt:
    made = Attempt(
        number=number,
        tier=number,
        model=f"m{number}",
        started_at_s=0.0,
        input_tokens_bound=1,
        max_output_tokens=1,
        price=Price(),
        predicted_quality=quality,
    )
    made.add(text, at_s=0.0)
    made.finish(AnswerEnd(finish_reason=FinishReason.STOP, usage=Usage(), cost_nano_usd=0), at_s=0.0)
    if confidence is not None:
        ids = tuple(f"attempt-{other}" for other in same)
        outcome = JudgeOutcome(judge="agreement", status=JudgeStatus.SCORED, same_answer_as=ids)
        made.judged(replace(verdict(confidence, defects=defects), outcomes=(outcome,)))
    return made


def chosen(*attempts: Attempt, committed: str = "") -> int | None:
    best = best_supported(attempts, committed=committed)
    return None if best is None else best.number


def test_one_direction_and_a_common_third_are_enough_to_be_the_same() -> None:
    attempts = [attempt(0, 0.1), attempt(1, 0.2, same=(0,)), attempt(2, 0.3, same=(1,)), attempt(3, 0.4), attempt(4, 0.1, same=(9,))]
    assert groups_of(attempts) == {0: 0, 1: 0, 2: 0, 3: 1, 4: 2}
    assert supporters(attempts[1], attempts) == (0, 2)
    assert supporters(attempts[3], attempts) == ()


def test_confidence_counts_before_votes_and_votes_before_strength() -> None:
    assert chosen(attempt(0, 0.6), attempt(1, 0.5, same=(2,)), attempt(2, 0.5)) == 0
    assert chosen(attempt(0, 0.5, quality=0.9), attempt(1, 0.5, same=(2,), quality=0.1), attempt(2, 0.4)) == 1
    assert chosen(attempt(0, 0.5, quality=0.9), attempt(1, 0.5, quality=0.1)) == 0
    assert chosen(attempt(0, 0.5), attempt(1, 0.5)) == 1, "the later tier is the stronger"


def test_of_those_that_say_the_same_the_most_believed_is_given() -> None:
    assert chosen(attempt(0, 0.7, same=(1,), quality=0.1), attempt(1, 0.5, quality=0.9)) == 0


def test_defects_rule_an_answer_out_while_there_is_one_without() -> None:
    assert chosen(attempt(0, 0.9, defects=(Defect.REFUSED,)), attempt(1, 0.1)) == 1
    assert chosen(attempt(0, 0.9, defects=(Defect.REFUSED,)), attempt(1, 0.1, defects=(Defect.MALFORMED,))) == 0


def test_without_a_verdict_the_strongest_models_answer_is_given() -> None:
    assert chosen(attempt(0, None, quality=0.9), attempt(1, None, quality=0.2)) == 0
    assert chosen(attempt(0, None, quality=None), attempt(1, None, quality=None)) == 1
    assert chosen(attempt(0, 0.1), attempt(1, None, quality=0.9)) == 0
    assert chosen() is None


def test_only_answers_that_begin_with_what_is_final_can_be_given() -> None:
    assert chosen(attempt(0, 0.9, text="No"), attempt(1, 0.2, text="Yes, 42"), committed="Yes") == 1
    assert chosen(attempt(0, 0.9, text="No"), committed="Yes") is None
