"""Figures of a question's wording: how long, how many numbers of what size, what its last sentence asks for."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_PRICE = re.compile(r"\$\d+\.\d\d")
_SENTENCE = re.compile(r"(?<=[.?!])\s+")
_WORD = re.compile(r"[a-z]+")
_NUMBER_WORDS = frozenset("one two three four five six seven eight nine ten dozen".split())  # noqa: SIM905 reads as a list of words
_PARTS = frozenset({"half", "third", "quarter", "fourth", "twice"})
_LARGE = 1000.0
ASKED = ("how many", "how much", "dollar", "total", "average", "left", "each", "more", "need", "after", "week", "month", "year", "day")
SAID = ("percent", "cents", "hour", "minute", "remain", "fewer", "less than", "more than", "times as")


def wording(question: str) -> tuple[float, ...]:
    """Figures of ``question``, always as many."""
    low = question.lower()
    last = _SENTENCE.split(question.strip())[-1]
    asked = last.lower()
    numbers = [float(found.replace(",", "")) for found in _NUMBER.findall(question)[:400]]
    logs = [math.log1p(min(number, 1e15)) for number in numbers] or [0.0]
    words, asked_words = low.split(), _WORD.findall(asked)
    return (
        math.log1p(len(question)),
        float(len(words)),
        sum(map(len, words)) / max(len(words), 1),
        sum(map(str.isupper, question)) / max(len(question), 1),
        float(question.count(".")),
        float(question.count("?")),
        float(question.count("\n")),
        float(question.count("_")),
        float(question.count("$")),
        float(question.count("%")),
        float(question.count("/")),
        float(len(numbers)),
        float(len(set(numbers))),
        float(sum(not number.is_integer() for number in numbers)),
        float(sum(number >= _LARGE for number in numbers)),
        float(len(_PRICE.findall(question))),
        max(logs),
        min(logs),
        sum(logs) / len(logs),
        float(len(last)),
        float(len(_NUMBER.findall(last))),
        float(sum(word in _NUMBER_WORDS for word in asked_words)),
        float(sum(word in _PARTS for word in words)),
        float("in" in asked_words),
        float("per" in asked_words),
        float("if" in asked_words),
        *(float(phrase in asked) for phrase in ASKED),
        *(float(phrase in low) for phrase in SAID),
    )
