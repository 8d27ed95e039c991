"""Final answers and agreement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from judge_service.domain import agreement
from judge_service.domain.final_answer import final_answer, same_answer
from tests.support.judges import case


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "The answer is 42."),
        ("1,234", "1234"),
        ("0.5", "1/2"),
        ("50%", "0.5"),
        (r"\boxed{\frac{3}{4}}", "0.75"),
        ("3.0", "3"),
        ("0.3333", "1/3"),
        ("(B)", "The answer is (B)."),
        ("B", "B) because it is so"),
        ("C.", "The correct answer is C."),
        ('{"answer": "Paris"}', "paris"),
        ('```json\n{"reasoning": "x", "answer": 12}\n```', "12"),
        ("<answer>7</answer>", "I get 7"),
        ("Yes.", "yes, it is"),
        ("True", "yes"),
        ("The Pacific Ocean", "pacific ocean!"),
        ("[1, 2, 3]", "[1,2,3]"),
        ("{'a': 1}", '{"a": 1}'),
        ("[0, 1, 4, 9]", "```\n[0, 1, 4, 9]\n```"),
        ("Paris", "The capital of France is Paris, which lies on the Seine in the north of the country."),
        (r'{"reasoning": "half of \(x\) is", "answer": "\frac{3}{4}"}', "0.75"),
        ('Here it is:\n```json\n{"reasoning": "a \\q b", "answer": "15"}', '{"answer": 15}'),
        ('{"answer": "15 sheep"}', '{"answer": "$15"}'),
        ("{'reasoning': 'it is so', 'answer': 'west'}", '{"answer": "West."}'),
        ("<answer>3 * x + 1</answer>", "<answer>3*x+1</answer>"),
        ("<answer>1 2\n3 4</answer>", "<answer> 1 2\n 3 4 </answer>"),
        ("""{"answer": "'biec'"}""", '{"answer": "biec"}'),
        ("<answer>r = 54</answer>", "<answer>54.0</answer>"),
    ],
)
def test_the_same_answer_in_other_words(one: str, other: str) -> None:
    assert same_answer(final_answer(one), final_answer(other)) >= 0.9
    assert same_answer(final_answer(other), final_answer(one)) >= 0.9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "43"),
        ("(A)", "(B)"),
        ("yes", "no"),
        ("Paris", "Lyon"),
        ("[1, 2]", "[2, 1]"),
        ("1000", "1001"),
        ("", "Paris"),
        ("", ""),
        ("<answer>1 2\n3 4</answer>", "<answer>2 1\n3 4</answer>"),
        ("<answer>8 * 3 + 5 - 5</answer>", "<answer>8 * 3 - 5</answer>"),
        ("<answer>8 5 0 1</answer>", "<answer>1</answer>"),
        ("<answer>#A #B</answer>", "<answer>A# B#</answer>"),
        ("<answer>05:24:23.428</answer>", "<answer>05:26:23.428</answer>"),
        ("<answer>AN EARLY BIRD</answer>", "<answer>THE EARLY BIRD</answer>"),
        ("""{"answer": "'bOc'"}""", """{"answer": "'boc'"}"""),
        ('{"reasoning": "there are 3", "answer": "[1, 2]"}', '{"reasoning": "there are 3", "answer": "[1, 3]"}'),
    ],
)
def test_different_answers(one: str, other: str) -> None:
    assert same_answer(final_answer(one), final_answer(other)) <= 0.1


def test_a_number_that_the_question_mentions_is_not_the_answer() -> None:
    question = "How many seconds are in 12 minutes?"
    assert same_answer(final_answer("There are 720 seconds in 12 minutes.", question), final_answer("720", question)) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "So it is warm.\n\nTherefore, the correct answer is:\n\nThe answer is (B).",
        "The sum is 6, so the answer is 6. The answer is (B).",
        "None fits, but the closest option is (B), as shown.",
        "The best advice is (B).",
        "The answer is (B). Putting it all together, the final answer is:",
        "**The correct option is:**\nThe answer is B.",
    ],
)
def test_the_option_chosen_however_it_is_said(text: str) -> None:
    question = "Which one?\n(A) three\n(B) six\n(C) nine"
    assert final_answer(text, question) == final_answer("The answer is (B)", question)


def test_free_text_agrees_in_degrees() -> None:
    text = "Plants take in carbon dioxide from the air and water from the soil and turn both into sugar with the help of light"
    near = "With the help of light plants turn water from the soil and carbon dioxide from the air into sugar and release oxygen"
    far = "The French revolution began when the king called the estates together because the treasury was empty after long wars"
    assert same_answer(final_answer(text), final_answer(near)) > 0.6
    assert same_answer(final_answer(text), final_answer(far)) < 0.2


def test_abstains_without_others() -> None:
    assert agreement.opinion_of(case("Paris")).score is None


def test_empty_others_count_for_nothing() -> None:
    assert agreement.opinion_of(case("Paris", others=["", "  "])).score is None


def test_more_of_the_others_that_agree_is_better() -> None:
    scores = [
        agreement.opinion_of(case("Paris", others=others)).score
        for others in (["Lyon", "Nice"], ["Paris", "Lyon"], ["It is Paris", "paris"])
    ]
    assert scores == sorted(scores, key=lambda score: score or 0.0)
    assert len(set(scores)) == 3


def _asked(*others: tuple[str, str, float | None], quality: float | None = None) -> float:
    """Score of the answer 7 of model `a` beside answers, each with its model and the model's predicted quality."""
    asked = case("7", others=[text for text, _, _ in others])
    named = tuple(replace(one, model=model, predicted_quality=q) for one, (_, model, q) in zip(asked.others, others, strict=True))
    score = agreement.opinion_of(
        replace(asked, candidate=replace(asked.candidate, model="a", predicted_quality=quality), others=named)
    ).score
    assert score is not None
    return score


def test_a_model_with_a_better_record_counts_for_more() -> None:
    assert _asked(("7", "b", 0.9)) > _asked(("7", "b", 0.4))
    assert _asked(("8", "b", 0.9)) < _asked(("8", "b", 0.4))
    assert _asked(("8", "b", 0.5), quality=0.9) > _asked(("8", "b", 0.5), quality=0.4)


def test_two_answers_that_differ_keep_what_their_models_records_say() -> None:
    """By hand: odds 9 to 1 over nine wrong answers are 81, 1 to 1 are 9; eight answers nobody gave count 1 each."""
    assert _asked(("8", "b", 0.5), quality=0.9) == pytest.approx(81 / (81 + 9 + 8))


def test_another_sample_of_a_model_counts_for_less_than_another_model() -> None:
    assert _asked(("7", "a", 0.6), quality=0.6) < _asked(("7", "b", 0.6), quality=0.6)
    assert _asked(("8", "b", 0.6), ("8", "b", 0.6), quality=0.6) > _asked(("8", "b", 0.6), ("8", "c", 0.6), quality=0.6)


def test_a_model_that_nothing_is_known_of_counts_as_an_even_one() -> None:
    assert _asked(("7", "", None)) == _asked(("7", "", 0.5)) == _asked(("7", "b", 0.5))
    assert _asked(("7", "", None), ("7", "", None)) == _asked(("7", "b", 0.5), ("7", "c", 0.5))


def test_agreeing_among_few_options_says_less() -> None:
    few, many = ("Which?\n(A) one\n(B) two\n(C) three", "Which?\n" + "\n".join(f"({letter}) word" for letter in "ABCDEFGH"))
    scores = [agreement.opinion_of(case("(B)", others=["(B)"], question=question)).score for question in (few, many)]
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0] < scores[1]


def test_an_empty_candidate_agrees_with_nobody() -> None:
    assert agreement.opinion_of(case("", others=["Paris"])).score == 0.0


def test_the_explanation_does_not_quote() -> None:
    assert "Paris" not in agreement.opinion_of(case("Paris", others=["Paris"])).explanation


def test_the_answers_that_say_the_same_are_named() -> None:
    asked = case("42", others=("The answer is 42.", "43", "", "42.0"))
    opinion = agreement.opinion_of(asked)
    assert opinion.same_answer_as == ("o0", "o3")
    assert agreement.opinion_of(case("7", others=("8",))).same_answer_as == ()
