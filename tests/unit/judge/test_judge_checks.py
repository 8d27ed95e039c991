"""The deterministic checks."""

from __future__ import annotations

import pytest

from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import checks
from judge_service.domain.candidates import AnswerForm, Contract, Ending
from judge_service.domain.verdicts import Defect, Opinion
from tests.support.judges import case

SCHEMA = '{"type": "object", "required": ["answer"], "properties": {"answer": {"type": "integer"}}}'


def judged(text: str, *, form: AnswerForm = AnswerForm.ANY, schema: str = "", ending: Ending = Ending.STOP) -> Opinion:
    return checks.opinion_of(case(text, ending=ending, contract=Contract(form=form, json_schema=schema)), JsonSchemaValidator())


@pytest.mark.parametrize(
    "text", ["Paris", "42", "I can do that: 1, 2, 3.", "```python\nprint(1)\n```", "No.", "Sorry is a word of five letters."]
)
def test_sound_answers_score_one(text: str) -> None:
    opinion = judged(text)
    assert opinion.score == 1.0
    assert opinion.defects == ()


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_empty(text: str) -> None:
    opinion = judged(text)
    assert opinion.defects == (Defect.EMPTY,)
    assert opinion.score == 0.0


def test_truncated_scores_between() -> None:
    opinion = judged("The capital of France is", ending=Ending.LENGTH)
    assert opinion.defects == (Defect.TRUNCATED,)
    assert opinion.score is not None
    assert 0.0 < opinion.score < 1.0


def test_empty_and_truncated_are_both_named_and_the_worse_counts() -> None:
    opinion = judged("", ending=Ending.LENGTH)
    assert set(opinion.defects) == {Defect.EMPTY, Defect.TRUNCATED}
    assert opinion.score == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I am unable to answer this question.",
        "As an AI language model, I cannot provide medical advice.",
        "Sorry, I don’t have access to that information.",
        "I cannot assist with this request.",
        "I must decline.",
        "Unfortunately, I'm not able to do that.",
    ],
)
def test_refusals(text: str) -> None:
    assert judged(text).defects == (Defect.REFUSED,)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry for the confusion: the answer is 42.",
        "A penguin cannot fly.",
        "I don't think so: 91 is 7 times 13.",
        "I cannot say this often enough: " + "the answer follows from the second law of thermodynamics. " * 12,
    ],
)
def test_answers_that_only_sound_like_refusals(text: str) -> None:
    assert Defect.REFUSED not in judged(text).defects


def test_the_providers_filter_counts_as_refusal() -> None:
    assert judged("Here", ending=Ending.CONTENT_FILTER).defects == (Defect.REFUSED,)


@pytest.mark.parametrize(
    "text",
    [
        "the cat the cat the cat the cat the cat the cat the cat",
        "Answer: " + "no " * 30,
        "so it is and " * 40,
        "a" * 60,
        "Hello world " + "I like it very much indeed. " * 8,
    ],
)
def test_degenerate_repetition(text: str) -> None:
    assert Defect.DEGENERATE in judged(text).defects


@pytest.mark.parametrize("text", ["ha ha ha", "-" * 80, "1 1 1 1 1 1 1 1 1 1 1 1", "one two three four five six seven", "0" * 12])
def test_repetition_that_may_be_meant(text: str) -> None:
    assert Defect.DEGENERATE not in judged(text).defects


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (AnswerForm.JSON, '{"a": [1, 2]}', '{"a": [1, 2'),
        (AnswerForm.JSON, '```json\n{"a": 1}\n```', 'Here it is: {"a": 1}'),
        (AnswerForm.JSON, "null", '{"a": NaN}'),
        (AnswerForm.PYTHON, "def f(x):\n    return x", "def f(x) return x"),
        (AnswerForm.PYTHON, "```python\nx = 1\n```", "x = = 1"),
        (AnswerForm.CHOICE, "(B)", "I think both fit"),
        (AnswerForm.CHOICE, "The answer is (C)", "Banana"),
        (AnswerForm.CHOICE, "D.", "42"),
        (AnswerForm.NUMBER, "-1,234.5", "about forty"),
        (AnswerForm.NUMBER, "12 km", "12 and 13"),
        (AnswerForm.NUMBER, "$3.50", "The answer is 3"),
    ],
)
def test_required_form(form: AnswerForm, good: str, bad: str) -> None:
    assert judged(good, form=form).defects == ()
    assert judged(bad, form=form).defects == (Defect.MALFORMED,)


def test_python_with_a_null_byte_is_malformed() -> None:
    assert judged("x = '\0'", form=AnswerForm.PYTHON).defects == (Defect.MALFORMED,)


def test_deeply_nested_json_is_malformed_and_no_crash() -> None:
    assert Defect.MALFORMED in judged("[" * 200_000 + "]" * 200_000, form=AnswerForm.JSON).defects


def test_schema_satisfied_and_violated() -> None:
    assert judged('{"answer": 4}', form=AnswerForm.JSON, schema=SCHEMA).defects == ()
    opinion = judged('{"answer": "confidential"}', form=AnswerForm.JSON, schema=SCHEMA)
    assert opinion.defects == (Defect.MALFORMED,)
    assert "$.answer" in opinion.explanation
    assert "confidential" not in opinion.explanation


def test_schema_with_a_remote_reference_is_never_fetched() -> None:
    opinion = judged("1", form=AnswerForm.JSON, schema='{"$ref": "http://127.0.0.1:1/schema.json"}')
    assert opinion.defects == (Defect.MALFORMED,)
    assert "unusable" in opinion.explanation
