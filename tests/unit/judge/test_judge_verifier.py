"""The verifier's opinion, with stand-ins for the trees."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from judge_service.domain.candidates import Candidate, Case
from judge_service.domain.verifier import OTHERS_MAX
from judge_service.domain.verifier_rows import KindRecord
from tests.support.judges import case
from tests.support.verifier import STRAIGHT, verifier

QUESTION = "Which?\n(A) one\n(B) two\n(C) three"


def test_alone_it_is_the_calibrated_probability_of_the_answer() -> None:
    judge, alone, _ = verifier()
    opinion = judge.opinion_of(case("The answer is (B).", question=QUESTION))
    assert opinion.score == pytest.approx(STRAIGHT.at(1.0))
    assert alone.asked[0]["p_chosen"] == pytest.approx(math.log(1 / 3))
    assert alone.asked[0]["w_question"] == pytest.approx(0.25)
    assert opinion.explanation == "from the answer alone"


def test_others_that_agree_raise_it_and_others_that_differ_lower_it() -> None:
    judge, _, together = verifier()
    agreeing = judge.opinion_of(case("The answer is (B).", question=QUESTION, others=["(B)", "B."]))
    split = judge.opinion_of(case("The answer is (B).", question=QUESTION, others=["(B)", "(C)"]))
    alone = judge.opinion_of(case("The answer is (B).", question=QUESTION, others=["(A)", "(C)"]))
    assert agreeing.score is not None
    assert split.score is not None
    assert alone.score is not None
    assert agreeing.score > split.score > alone.score
    assert [row["answers"] for row in together.asked] == [1.0] * 3 + [2.0] * 3 + [3.0] * 3
    assert agreeing.explanation == "from the answer and 2 others"


def test_empty_others_are_not_evidence() -> None:
    judge, _, together = verifier()
    opinion = judge.opinion_of(case("The answer is (B).", question=QUESTION, others=["", "  "]))
    assert opinion.explanation == "from the answer alone"
    assert [row["others"] for row in together.asked] == [0.0]


def test_what_the_router_predicted_is_read_when_it_is_known_of_all() -> None:
    judge, _, together = verifier()
    asked = case("The answer is (B).", question=QUESTION, others=["(C)"])
    candidate, (other,) = replace(asked.candidate, predicted_quality=0.5), asked.others
    judge.opinion_of(replace(asked, candidate=candidate))
    judge.opinion_of(replace(asked, candidate=candidate, others=(replace(other, predicted_quality=1.0),)))
    _, without, _, known = together.asked
    assert math.isnan(without["quality"])
    assert known["quality"] == pytest.approx(0.0)
    assert 6.0 < known["differ_quality_max"] < 7.0
    assert known["quality_support"] < known["rival_quality"]


def test_texts_that_come_again_are_not_read_again() -> None:
    judge, alone, _ = verifier()
    for _ in range(3):
        judge.opinion_of(case("The answer is (B).", question=QUESTION, others=["(C)"]))
    assert len(alone.asked) == 2


def test_a_model_is_known_by_its_record_on_that_kind_of_question() -> None:
    records = {"small": tuple(KindRecord(rate=rate, log_chars_mean=3.0, log_chars_stddev=0.5) for rate in (0.1, 0.2, 0.3))}
    judge, alone, _ = verifier(records)
    judge.opinion_of(case("The answer is (B).", question=QUESTION, model="small"))
    judge.opinion_of(case("The answer is 7.", question="How many?", model="small"))
    judge.opinion_of(case("The answer is (B).", question=QUESTION, model="never seen"))
    assert [row["m_rate"] for row in alone.asked] == pytest.approx([0.2, 0.3, math.nan], nan_ok=True)
    assert math.isnan(alone.asked[2]["m_length"])


def test_free_text_is_out_of_its_depth() -> None:
    judge, *_ = verifier()
    essay = "Rome began as a small town on the Tiber and grew over many centuries into the largest city of the whole ancient world by far"
    opinion = judge.opinion_of(case(essay, question="Tell me about Rome."))
    assert opinion.score is None
    assert "free text" in opinion.explanation
    assert judge.opinion_of(case(essay, question=QUESTION)).score is not None


def test_an_explanation_never_quotes_the_answer() -> None:
    judge, *_ = verifier()
    assert "zebra" not in judge.opinion_of(case("zebra", others=["zebra"])).explanation


def test_only_so_many_others_are_read_and_their_order_does_not_matter() -> None:
    judge, _, together = verifier()
    many = case("The answer is (B).", question=QUESTION, others=["(B)"] * 40)
    judge.opinion_of(many)
    assert together.asked[0]["others"] == OTHERS_MAX
    few: Case = replace(many, others=tuple(Candidate(id=str(place), text=text) for place, text in enumerate(("(A)", "(B)", "(C)", "(C)"))))
    assert judge.opinion_of(few) == judge.opinion_of(replace(few, others=few.others[::-1]))
    assert together.asked[1] == pytest.approx(together.asked[2], nan_ok=True)
