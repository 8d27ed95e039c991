"""The verifier takes any text, with a bounded amount of reading, and does not care for the order of other answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from judge_service.domain.verifier_features import ANSWER_CHARS_MAX, ANSWER_FEATURES, QUESTION_FEATURES, read_answer, read_question
from judge_service.domain.verifier_prior import OPTION_FEATURES
from judge_service.domain.verifier_rows import option_rows
from tests.support.judges import case
from tests.support.verifier import verifier

fragments = st.sampled_from(
    [
        "\n(A) ",
        "\n(B) ",
        "\nC. ",
        "(B)",
        "the answer is ",
        "42",
        "1e999",
        "−",
        " × 10^",
        "= ",
        " + 1",
        "/0",
        "\\frac{1}{2}",
        "$",
        "٣",
        "²",
        "\0",
        "\ud800",
        "İ",
        "none of the above",
        "```",
        "[1,",
        "9" * 400,
    ]
)
texts = st.one_of(st.text(max_size=200), st.lists(fragments, max_size=30).map("".join))


@settings(deadline=None)
@given(texts, st.lists(texts, max_size=4), texts)
@example("1+" * 6_000, ["1+1=" * 3_000], "\n(A) 1\n(B) " + "9" * 5_000)
@example("(A" * 6_000, ["<answer>" * 2_000], "(A) " * 3_000)
@example("²", ["1e999", "-1/0"], "\n(A) ²\n(B) 1e999\n(C) -1e99")
def test_any_text_gets_a_probability_or_none(text: str, others: list[str], question: str) -> None:
    judge, *_ = verifier()
    score = judge.opinion_of(case(text, others=others, question=question)).score
    assert score is None or 0.0 <= score <= 1.0


@settings(deadline=None)
@given(texts, texts)
def test_every_figure_is_there_whatever_the_text(text: str, question: str) -> None:
    sheet = read_question(question)
    answer = read_answer(text, sheet)
    assert len(sheet.features) == len(QUESTION_FEATURES)
    assert len(answer.features) == len(ANSWER_FEATURES)
    assert option_rows(sheet).shape == (len(sheet.options.texts), len(OPTION_FEATURES))
    assert -1 <= answer.choice < 10


@settings(deadline=None)
@given(texts, st.integers(0, 50_000), st.integers(0, 50_000))
def test_the_middle_of_a_flood_is_not_read(text: str, more: int, still_more: int) -> None:
    question = read_question("What is it?")
    flood = "ab " * ANSWER_CHARS_MAX
    first, second = (read_answer(flood + "ab " * extra + text, question) for extra in (more, still_more))
    assert first.features == pytest.approx(second.features, nan_ok=True)


@settings(deadline=None)
@given(texts, st.lists(texts, min_size=2, max_size=4), texts)
def test_the_votes_do_not_depend_on_the_order_of_other_answers(text: str, others: list[str], question: str) -> None:
    asked = case(text, others=others, question=question)
    backwards = replace(asked, others=asked.others[::-1])
    assert verifier()[0].opinion_of(asked) == verifier()[0].opinion_of(backwards)
