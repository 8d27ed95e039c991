"""What is split and what is left alone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cascade_service.domain.decomposition.quoting import Marked, parts_of_marked
from cascade_service.domain.decomposition.rule_splitter import TEXT_CHARS_MAX, RuleSplitter, split_by_rules
from cascade_service.domain.decomposition.splitting import SplitLimits
from servicekit.settings.root import Settings

COMPOUND = {
    "numbers": ("1. What is 6 times 7?\n2. Who wrote Faust?", ["What is 6 times 7?", "Who wrote Faust?"]),
    "brackets": ("(1) What is 6 times 7?\n(2) Who wrote Faust?", ["What is 6 times 7?", "Who wrote Faust?"]),
    "letters": ("a) Translate 'good day' into French.\nb) Name three rivers in Peru.", None),
    "words": ("Question 1: Six sevens are\nQuestion 2: Faust was written by", ["Six sevens are", "Faust was written by"]),
    "bold words": ("**Task 1:** Add 2 and 3.\n\n**Task 2:** Sort 3, 1, 2.", ["Add 2 and 3.", "Sort 3, 1, 2."]),
    "a lead-in": ("Please answer the following questions:\n1. Six sevens are\n2. Faust is by", ["Six sevens are", "Faust is by"]),
    "lists within items": ("1. Which is even?\n1) 3\n2) 4\n\n2. Who wrote Faust?", ["Which is even?\n1) 3\n2) 4", "Who wrote Faust?"]),
    "equal lists within": ("1. Which is even?\n1. 3\n2. 4\n\n2. Who wrote Faust?", ["Which is even?\n1. 3\n2. 4", "Who wrote Faust?"]),
    "paragraphs": ("What is 6 times 7?\n\nWrite a haiku about autumn.", ["What is 6 times 7?", "Write a haiku about autumn."]),
    "sentences": ("What is 6 times 7? Who wrote Faust?", ["What is 6 times 7?", "Who wrote Faust?"]),
    "and then": ("Write a haiku about autumn, and then name three rivers in Peru.", None),
    "windows line ends": ("1. What is 6 times 7?\r\n2. Who wrote Faust?\r\n", ["What is 6 times 7?", "Who wrote Faust?"]),
}
WHOLE = {
    "empty": "",
    "one question": "What is 6 times 7?",
    "one item": "1. What is 6 times 7?",
    "options": "Which is even?\n(1) 3\n(2) 4",
    "lettered options": "Which of these is a river?\na) Amazon\nb) Andes",
    "instructions in a list": "Compute the incircle's radius.\n1. Give coordinates as (x, y)\n2. Round to 3 places",
    "two lists": "1. What is 6 times 7?\n2. Who wrote Faust?\n1. What is 6 times 8?\n2. Who wrote Emma?",
    "statements": "1. All cats are animals.\n2. Some animals are black.",
    "a gap in the numbers": "1. What is 6 times 7?\n3. Who wrote Faust?",
    "a story before the list": "A train leaves at 8 and is at its goal at 9.\n1. How far is it?\n2. How fast is the train?",
    "an instruction for all": "1. What is 6 times 7?\n2. Who wrote Faust?\n\nAnswer all questions in one word.",
    "sentences that refer back": "Who wrote Faust? When did he die?",
    "paragraphs that refer back": "Who wrote Faust?\n\nWhen was it written?",
    "a result that is used": "Calculate 6 times 7, and then divide it by 3.",
    "context and question": "Ann has 3 apples and eats one.\n\nHow many are left?",
    "a task and its format": "Sort 3, 1 and 2.\n\nReturn only the numbers.",
    "a question in a story": "What now? he asked. Continue this story?",
}


@pytest.mark.parametrize("case", COMPOUND)
def test_what_is_plainly_compound_is_split(case: str) -> None:
    text, wanted = COMPOUND[case]
    split = split_by_rules(text, parts_max=8)
    assert len(split.parts) == 2
    assert split.reason == ""
    if wanted is not None:
        assert [part.text for part in split.parts] == wanted


@pytest.mark.parametrize("case", WHOLE)
def test_in_doubt_nothing_is_split(case: str) -> None:
    split = split_by_rules(WHOLE[case], parts_max=8)
    assert split.parts == ()
    assert split.reason


def test_labels_are_kept_and_missing_ones_are_given() -> None:
    labelled = split_by_rules("Question 1: Add 2 and 3.\nQuestion 2: Add 4 and 5.", parts_max=8)
    assert [part.label for part in labelled.parts] == ["Question 1:", "Question 2:"]
    plain = split_by_rules("What is 6 times 7? Who wrote Faust?", parts_max=8)
    assert [part.label for part in plain.parts] == ["1.", "2."]


def test_a_lead_in_that_says_something_stands_before_every_part() -> None:
    split = split_by_rules("Answer the following questions in French:\n1. What is 6 times 7?\n2. Who wrote Faust?", parts_max=8)
    assert [part.text.split("\n\n")[0] for part in split.parts] == ["Answer the following questions in French:"] * 2


@pytest.mark.parametrize(
    "later",
    ["Is it even?", "Divide the answer to question 1 by 3.", "Explain your first answer.", "Double that.", "Use the result of part a."],
)
def test_labelled_parts_that_refer_back_come_after_the_earlier(later: str) -> None:
    split = split_by_rules(f"Question 1: What is 6 times 7?\nQuestion 2: {later}\nQuestion 3: Who wrote Faust?", parts_max=8)
    assert [part.needs_earlier for part in split.parts] == [False, True, False]


def test_too_many_parts_are_left_whole() -> None:
    text = "\n".join(f"{number}. What is {number} times 7?" for number in range(1, 10))
    assert len(split_by_rules(text, parts_max=9).parts) == 9
    split = split_by_rules(text, parts_max=8)
    assert (split.parts, split.reason) == ((), "9 parts, and 8 are allowed")


async def test_a_text_without_bound_is_not_searched() -> None:
    text = "1. What is 6?\n2. What is 7?" + " " * TEXT_CHARS_MAX
    split = await RuleSplitter().split(text, SplitLimits(parts_max=8, cost_max_nano_usd=0, timeout_s=1.0))
    assert split.parts == ()
    assert "longer" in split.reason


REQUEST = "For the year 2020: tell me the population of Peru,  and also write a poem about its rivers."
POPULATION, POEM = (
    Marked(quotation="tell me the population of Peru,"),
    Marked(quotation="write a poem about its rivers.", needs_earlier=True),
)


def test_marked_parts_have_the_words_of_the_request() -> None:
    parts = parts_of_marked(REQUEST, [POPULATION, POEM], shared="For the year 2020:", parts_max=8)
    assert not isinstance(parts, str)
    assert [part.text.split("\n\n") for part in parts] == [
        ["For the year 2020:", "tell me the population of Peru,"],
        ["For the year 2020:", "write a poem about its rivers."],
    ]
    assert [part.needs_earlier for part in parts] == [False, True]


@pytest.mark.parametrize(
    ("marked", "shared", "wrong"),
    [
        ([POPULATION], "", "1 parts"),
        ([POPULATION] * 9, "", "9 parts"),
        ([POPULATION, Marked(quotation="write a poem about Chile")], "", "does not quote"),
        ([POEM, POPULATION], "", "does not quote"),
        ([POPULATION, Marked(quotation="rivers.")], "", "does not quote"),
        ([POPULATION, Marked(quotation="  ")], "", "does not quote"),
        ([POPULATION, POEM], "For the year 2021:", "shared"),
        ([POPULATION, POEM], "", "leaves out"),
    ],
)
def test_marks_that_do_not_account_for_the_request_are_refused(marked: list[Marked], shared: str, wrong: str) -> None:
    problem = parts_of_marked(REQUEST, marked, shared=shared, parts_max=8)
    assert isinstance(problem, str)
    assert wrong in problem


@pytest.mark.parametrize(
    ("decomposition", "problem"),
    [
        ({"splitter": "model"}, "`model` must be set"),
        ({"model": "small"}, "`model` must be set"),
        ({"splitter": "model", "model": "smal"}, "`cascade.decomposition.model`: `smal` is not configured"),
        ({"parts_max": 1}, "parts_max"),
        ({"parallel_max": 0}, "parallel_max"),
    ],
)
def test_a_configuration_that_cannot_be_followed_is_refused(decomposition: dict[str, object], problem: str) -> None:
    model = {"name": "small", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:1/v1"}
    with pytest.raises(ValidationError, match=problem):
        Settings.model_validate({"models": [model], "cascade": {"decomposition": decomposition}})
    Settings.model_validate({"models": [model], "cascade": {"decomposition": {"splitter": "model", "model": "small"}}})
