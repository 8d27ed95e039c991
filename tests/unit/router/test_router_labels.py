from __future__ import annotations

from typing import Any

import pytest

from training.seed_prompts import FAMILIES, seed_examples
from training.taxonomy_labels import LABELS, complexity, examples_of, numeric_options
from training.taxonomy_panel import panel_examples

CHOICE_PROMPT = "Question: …\nOptions:\n(A) {}\n(B) {}\n(C) {}\nAnswer:"


def row(**changes: str | None) -> dict[str, Any]:
    return {
        "question_id": "q",
        "arena": "mmlupro",
        "dataset": "mmlu-pro",
        "domain": "law",
        "question": "Which court?",
        "prompt": CHOICE_PROMPT.format("The supreme court", "No court", "Any court"),
        "reference": "A",
        "split": "train",
        **changes,
    }


@pytest.mark.parametrize(
    ("share", "label"), [(1.0, "low"), (0.75, "low"), (0.74, "medium"), (0.35, "medium"), (0.34, "high"), (0.0, "high")]
)
def test_complexity_follows_from_the_share_of_models_that_are_right(share: float, label: str) -> None:
    assert complexity(share) == label


@pytest.mark.parametrize(
    ("options", "numeric"),
    [
        (("12 m", "3.5 m", "unknown"), True),
        (("12 m", "none of these", "unknown"), False),
        (("In 1871 the states agreed on a common law of contracts", "In 1900 it was repealed by the second chamber", "7"), False),
    ],
)
def test_options_are_numeric_when_most_are_figures(options: tuple[str, str, str], *, numeric: bool) -> None:
    assert numeric_options(CHOICE_PROMPT.format(*options)) is numeric


GSM = {"arena": "zeroeval", "dataset": "gsm", "domain": "math", "reference": "1,250"}
CRUX = {"arena": "zeroeval", "dataset": "crux", "domain": "code", "reference": "'ab'"}
SUDOKU = {"arena": "rgym_easy", "dataset": "sudoku", "domain": "games", "reference": "1 2\n3 4"}
SPIRAL = {"arena": "rgym_easy", "dataset": "spiral_matrix", "domain": "algorithmic", "reference": "5 1 5 1 4"}
BACKWARD = {"arena": "rgym_easy", "dataset": "spell_backward", "domain": "algorithmic", "reference": "cba"}
FRACTION = {"arena": "rgym_easy", "dataset": "dice", "domain": "arithmetic", "reference": "1061/3840"}
MAZE = {"arena": "rgym_easy", "dataset": "maze", "domain": "games", "reference": None}
FIGURES = {"domain": "science", "prompt": CHOICE_PROMPT.format("1 J", "2 J", "3 J")}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("knowledge", "law", "short_text", "choice")),
        (FIGURES, ("calculation", "science", "number", "choice")),
        (GSM, ("calculation", "math", "number", "structured")),
        (CRUX, ("code_execution", "computing", "short_text", "structured")),
        (SUDOKU, ("logic_puzzle", "puzzles", "structured", "structured")),
        (SPIRAL, ("logic_puzzle", "puzzles", "structured", "structured")),
        (BACKWARD, ("text_processing", "puzzles", "short_text", "short_text")),
        (FRACTION, ("calculation", "math", "number", "number")),
        (MAZE, ("logic_puzzle", "puzzles", "short_text", "short_text")),
    ],
)
def test_labels_of_a_recorded_question(changes: dict[str, str | None], expected: tuple[str, str, str, str]) -> None:
    question, prompt = examples_of(row(**changes), share_right=0.5, forms=("question", "prompt"))
    labels = question.labels
    assert (labels["task_type"], labels["domain"], labels["output_format"], prompt.labels["output_format"]) == expected
    assert labels["reasoning_complexity"] == "medium"


def test_question_that_nobody_answered_has_no_complexity() -> None:
    (example,) = examples_of(row(), share_right=None, forms=("question",))
    assert "reasoning_complexity" not in example.labels


def test_our_own_examples_have_known_labels_only() -> None:
    for example in (*seed_examples(), *panel_examples()):
        for axis, label in example.labels.items():
            assert label in LABELS[axis], example


def test_no_topic_stands_in_both_splits() -> None:
    split = {(example.text, example.labels["task_type"]): example.split for example in seed_examples()}
    for family in FAMILIES:
        for topic in family.topics:
            assert len({split[pattern.format(x=topic), family.task_type] for pattern in family.patterns}) == 1, (family.name, topic)
