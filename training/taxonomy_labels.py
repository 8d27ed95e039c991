"""Which labels the taxonomy has, and how recorded questions get theirs.

Domain and task type come from the datasets' own subjects; reasoning complexity from how many models were right; output format from the form
of the reference answer and of the prompt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

LABELS: dict[str, tuple[str, ...]] = {
    "task_type": (
        "knowledge",
        "calculation",
        "logic_puzzle",
        "code_execution",
        "code_writing",
        "text_processing",
        "writing",
        "translation",
        "summarisation",
        "conversation",
    ),
    "domain": (
        "math",
        "science",
        "engineering",
        "computing",
        "medicine",
        "law",
        "business",
        "social_science",
        "humanities",
        "language",
        "puzzles",
        "general",
    ),
    "reasoning_complexity": ("low", "medium", "high"),
    "output_format": ("choice", "number", "short_text", "structured", "code", "long_text"),
}
"""Labels by axis."""

LOW_FROM = 0.75
"""A question is of low complexity when at least this share of the recorded models is right."""
MEDIUM_FROM = 0.35
"""It is of medium complexity from this share on, and of high complexity below it."""

_DOMAINS = {
    "math": "math",
    "arithmetic": "math",
    "algebra": "math",
    "geometry": "math",
    "science": "science",
    "engineering": "engineering",
    "code": "computing",
    "computer_science": "computing",
    "medicine": "medicine",
    "law": "law",
    "business_economics": "business",
    "social_science": "social_science",
    "humanities": "humanities",
    "general_knowledge": "general",
    "algorithmic": "puzzles",
    "games": "puzzles",
    "logic": "puzzles",
    "arc": "puzzles",
    "graphs": "puzzles",
    "cognition": "puzzles",
    "induction": "puzzles",
}
_CALCULATION_DOMAINS = frozenset({"math", "arithmetic", "algebra", "geometry"})
_TEXT_TASKS = frozenset(
    {
        "spell_backward",
        "caesar_cipher",
        "letter_jumble",
        "letter_counting",
        "word_sequence_reversal",
        "number_sorting",
        "number_filtering",
        "group_anagrams",
        "string_insertion",
        "needle_haystack",
        "emoji_mystery",
        "number_format",
    }
)
_OPTION = re.compile(r"^\([A-J]\) ?(.*)$", re.MULTILINE)
_NUMBER = re.compile(r"[-+]?\$?[\d.,]+(/[\d.,]+)?%?|-?\d+(\.\d+)?[eE][-+]?\d+|0x[0-9a-fA-F]+")
_SEQUENCE = re.compile(r"-?\d+([ ,]+-?\d+){2,}")
_WORDS_IN_NUMERIC_OPTION_MAX = 6


@dataclass(frozen=True, slots=True)
class Example:
    """A text with one label per axis; an axis without a label is left out of the fit on that axis."""

    text: str
    labels: dict[str, str]
    split: str
    origin: str


def complexity(share_right: float) -> str:
    """Label on the axis ``reasoning_complexity`` for a question that ``share_right`` of the models got right."""
    if share_right >= LOW_FROM:
        return "low"
    return "medium" if share_right >= MEDIUM_FROM else "high"


def domain(row: dict[str, Any]) -> str:
    """Label on the axis ``domain``."""
    return _DOMAINS[row["domain"]]


def task_type(row: dict[str, Any]) -> str:
    """Label on the axis ``task_type``."""
    if row["domain"] == "code":
        return "code_execution"
    if row["dataset"] in _TEXT_TASKS:
        return "text_processing"
    if row["domain"] in _CALCULATION_DOMAINS:
        return "calculation"
    if domain(row) == "puzzles":
        return "logic_puzzle"
    return "calculation" if numeric_options(row["prompt"]) else "knowledge"


def numeric_options(prompt: str) -> bool:
    """True when most options of a multiple-choice question are figures: a digit in them and few words around it."""
    options = _OPTION.findall(prompt)
    figures = [option for option in options if any(map(str.isdigit, option)) and len(option.split()) <= _WORDS_IN_NUMERIC_OPTION_MAX]
    return len(figures) * 2 > len(options)


def output_format(row: dict[str, Any], *, form: str) -> str:
    """Label on the axis ``output_format`` of the bare ``question`` or of the whole ``prompt``."""
    if row["arena"] == "mmlupro":
        if form == "prompt":
            return "choice"
        return "number" if numeric_options(row["prompt"]) else "short_text"
    if row["arena"] == "zeroeval" and form == "prompt":
        return "structured"
    reference = (row["reference"] or "").strip()
    if _NUMBER.fullmatch(reference):
        return "number"
    grid = "\n" in reference or reference[:1] in {"[", "{"} or _SEQUENCE.fullmatch(reference)
    return "structured" if grid else "short_text"


def examples_of(row: dict[str, Any], *, share_right: float | None, forms: tuple[str, ...]) -> list[Example]:
    """The examples that one recorded question gives, one per form (``question``, ``prompt``)."""
    common = {"task_type": task_type(row), "domain": domain(row)}
    if share_right is not None:
        common["reasoning_complexity"] = complexity(share_right)
    return [
        Example(row[form], {**common, "output_format": output_format(row, form=form)}, row["split"], f"{row['arena']}/{form}")
        for form in forms
    ]
