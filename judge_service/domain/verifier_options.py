"""The options that a question offers, the one an answer chose, and how well the answer's words and numbers fit it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OPTION_CHARS_MAX: Final = 600
OPTIONS_MAX: Final = 10
_OPTION = re.compile(r"^[ \t]{0,8}\(?([A-J])[).:][ \t]{1,8}(\S.{0,2000})$", re.MULTILINE)
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE][-+]?\d{1,2})?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_POWER = re.compile(r" ?(?:\\times|×|x|\*) ?10 ?\^ ?\{? ?([-−–]?\d{1,2}) ?\}?")
_WORD = re.compile(r"[^\W_]+")
_NO_OTHER = re.compile(r"\b(?:none|all|both|neither|not enough|cannot)\b", re.IGNORECASE)
NUMBERS_MAX: Final = 400


def options_of(question: str) -> list[str]:
    """The texts of the last run of options (A), (B), …; empty when there are fewer than two."""
    run: list[str] = []
    for letter, text in _OPTION.findall(question):
        if letter == "A":
            run = [text[:OPTION_CHARS_MAX].strip()]
        elif run and ord(letter) - ord("A") == len(run):
            run.append(text[:OPTION_CHARS_MAX].strip())
    return run if len(run) > 1 else []


def numbers_in(text: str) -> list[float]:
    """The first and last numbers of ``text``; 1.2 × 10^3 is 1200."""
    plain = _POWER.sub(r"e\1", _THOUSANDS.sub("", text.replace("−", "-").replace("–", "-")))
    found = _NUMBER.findall(plain)
    if len(found) > NUMBERS_MAX:
        found = found[: NUMBERS_MAX // 2] + found[-NUMBERS_MAX // 2 :]
    values = (float(number) for number in found)
    return [value for value in values if math.isfinite(value)]


def word_set(text: str) -> frozenset[str]:
    """Words of ``text`` in lower case."""
    return frozenset(word.lower() for word in _WORD.findall(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSheet:
    """The options of one question, read once for all candidates."""

    texts: tuple[str, ...]
    words: tuple[frozenset[str], ...]
    numbers: tuple[tuple[float, ...], ...]
    centrality: tuple[float, ...]

    @property
    def numeric_share(self) -> float:
        """Share of the options that hold exactly one number and few words."""
        plain = [len(numbers) == 1 and len(words) <= 5 for numbers, words in zip(self.numbers, self.words, strict=True)]  # noqa: PLR2004 a number and its unit
        return sum(plain) / max(len(plain), 1)


def read_options(question: str) -> OptionSheet:
    """The options of ``question``."""
    texts = options_of(question)
    words = tuple(word_set(text) for text in texts)
    return OptionSheet(
        texts=tuple(texts),
        words=words,
        numbers=tuple(tuple(numbers_in(text)[:8]) for text in texts),
        centrality=tuple(_centrality(words, index) for index in range(len(words))),
    )


def _centrality(words: Sequence[frozenset[str]], index: int) -> float:
    """Mean overlap (Jaccard) of one option's words with the others'."""
    mine = words[index]
    others = [len(mine & other) / max(len(mine | other), 1) for place, other in enumerate(words) if place != index]
    return sum(others) / max(len(others), 1)


def is_catch_all(option: str) -> bool:
    """True for options such as "none of the above"."""
    return _NO_OTHER.search(option[:60]) is not None


def nearest_option(value: float, sheet: OptionSheet) -> tuple[int, float]:
    """The option whose number is nearest to ``value`` and the relative distance; (-1, inf) when no option holds a number."""
    best, distance = -1, math.inf
    for index, numbers in enumerate(sheet.numbers):
        for number in numbers:
            apart = relative_distance(value, number)
            if apart < distance:
                best, distance = index, apart
    return best, distance


def relative_distance(one: float, other: float) -> float:
    """|one − other| by the larger of them, 0.0 to 2.0."""
    scale = max(abs(one), abs(other))
    return abs(one - other) / scale if scale > 0.0 else 0.0
