"""The final answer inside a free-form text, and whether two final answers are the same.

Every function accepts any text and never raises.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

from judge_service.domain.marked_answer import marked_answer, normal_form
from judge_service.domain.plain_text import visible_text

Form = Literal["number", "percent", "choice", "yes_no", "literal", "quoted", "exact", "text", "prose", "nothing"]

TEXT_CHARS_MAX: Final = 8_000
"""Only so much of an answer's end is looked at."""

SHORT_WORDS_MAX: Final = 12
"""Longer text is prose and compared by its words."""

_MENTIONING_WORDS_MAX = 100
"""A text with more different words mentions an answer rather than gives it."""

_SAID_MAX = 20
_CLOSING_CHARS = 200
_DIGITS_MAX = 400
_LITERAL_CHARS_MAX = 4_000

_ANNOUNCED = re.compile(
    r"(?:final answer|correct answer|answer|result|output)(?:\s+(?:is|are|would be|will be|of this code is))?\s*(?:[:=]|\bis\b)\s*(.+)",
    re.IGNORECASE,
)
_ANSWER_IS = re.compile(r"(?:answer|(?:correct|right|best|closest) (?:option|choice|match))(?:\s+(?:is|would be)\b)\s*:?\s*", re.IGNORECASE)
_OPTION = re.compile(r"^[^\S\n]{0,40}\(?([A-J])[).:]\s", re.MULTILINE)
_LETTER = re.compile(r"\(([A-J])\)|\b(?:option|choice|answer)\s+([A-J])\b")
_CHOICE = re.compile(r"^\W*\(?([A-Ja-j])\)(?:\W|$)|^\W*(?:option |choice )?([A-J])(?:[.:,)]|\W*$)")
_YES_NO = re.compile(r"^\W*(yes|no|true|false)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?:\s*/\s*\d+)?\s*%?")
_WHOLE_CHOICE = re.compile(r"\(?([A-Ja-j])[).:]?(?:[):.]\s.*)?", re.DOTALL)
_WHOLE_YES_NO = re.compile(r"(yes|no|true|false)", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(rf"(?:\w{{1,12}}\s?[=:]\s?)?[$€£]?\s?({_NUMBER.pattern})(?:\s(?!pi\b)[^\W\d_]{{2,20}}){{0,3}}")
_QUOTED = re.compile(r"([\"'])(.*)\1", re.DOTALL)
_FRACTION = re.compile(r"\\d?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(-?\d+)\s*\}")
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = frozenset({"the", "a", "an", "is", "of", "it", "to", "and", "in", "that", "this", "are", "was", "be"})


READ_MAX: Final = 64
"""Answers that are kept as read: each is compared with every other, and again when the next one comes."""


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """A final answer in normal form. ``value`` is a ``Fraction`` for numbers, a set of words for prose, text otherwise.

    ``exact`` and ``quoted`` are marked answers that nothing may be dropped from: symbols, order and spaces count, and within quotes
    the case does too.
    """

    form: Form
    value: Fraction | str | frozenset[str]


@lru_cache(READ_MAX)
def final_answer(text: str, question: str = "") -> FinalAnswer:
    """The final answer of ``text`` to ``question``.

    A marked answer (boxed, tagged, a JSON field `answer`) is read whole: as a choice, yes or no, a literal, one number with its
    unit, or else exactly as it stands. Otherwise what follows "the answer is" or the whole text is read in a more forgiving way:
    of several numbers, the last that the question does not mention counts, and what remains is prose.
    """
    text = visible_text(text)[-TEXT_CHARS_MAX:].strip()
    if not text:
        return FinalAnswer("nothing", "")
    marked = marked_answer(text)
    if marked is not None and (read := _read_marked(marked)) is not None:
        return read
    said = _said(text)
    if options_offered(question) and (letter := _option_chosen(said or "", text)):
        return FinalAnswer("choice", letter)
    return _read(said or text, question)


def same_answer(one: FinalAnswer, other: FinalAnswer) -> float:
    """How much two final answers are the same, 0.0 to 1.0; 1.0 and 0.0 except between prose. Symmetric."""
    if "nothing" in (one.form, other.form):
        return 0.0
    if isinstance(one.value, Fraction) and isinstance(other.value, Fraction):
        as_written = one.form != other.form and _same_number(_as_written(one), _as_written(other))
        return 1.0 if as_written or _same_number(one.value, other.value) else 0.0
    if one.form == other.form and one.form != "prose":
        return 1.0 if one.value == other.value else 0.0
    if {one.form, other.form} <= {"exact", "quoted", "literal", "yes_no", "choice", "number", "percent"}:
        return 1.0 if _as_text(one) == _as_text(other) else 0.0
    return _overlap(one, other)


def options_offered(question: str) -> int:
    """Number of options with letters that the question ends in; 0 when it offers none."""
    found = set(_OPTION.findall(question[-TEXT_CHARS_MAX:]))
    return len(found) if {"A", "B"} <= found else 0


def _said(text: str) -> str | None:
    """The rest of the line after the last "the answer is" that is followed by anything; it may stand on the next line."""
    tails = (text[found.end() :].partition("\n")[0].strip() for found in reversed(list(_ANSWER_IS.finditer(text))[-_SAID_MAX:]))
    said = next((tail for tail in tails if _WORD.search(tail)), None)
    announced = _ANNOUNCED.findall(text) if said is None else []
    return str(announced[-1]) if announced else said


def _option_chosen(said: str, text: str) -> str:
    """The letter that was said, or else the last one in the closing words; empty when there is none."""
    if choice := _CHOICE.match(said):
        return (choice.group(1) or choice.group(2)).upper()
    letters = [one or other for one, other in _LETTER.findall(said) or _LETTER.findall(text[-_CLOSING_CHARS:])]
    return letters[-1] if letters else ""


def _read_marked(marked: str) -> FinalAnswer | None:
    """A marked answer, nothing dropped from it; None when there is nothing in it."""
    text = normal_form(_inside_fence(marked))
    if not text:
        return None
    return _read_whole(text) or _literal(text) or _read_exactly(text)


def _read_whole(text: str) -> FinalAnswer | None:
    """A text that is nothing but a choice, yes or no, or a number with its unit."""
    if choice := _WHOLE_CHOICE.fullmatch(text):
        return FinalAnswer("choice", choice.group(1).upper())
    if said := _WHOLE_YES_NO.fullmatch(text):
        return FinalAnswer("yes_no", "yes" if said.group(1).casefold() in {"yes", "true"} else "no")
    measured = _WHOLE_NUMBER.fullmatch(_FRACTION.sub(r"\1/\2", text))
    return _number(measured.group(1)) if measured else None


def _read_exactly(text: str) -> FinalAnswer:
    if quoted := _QUOTED.fullmatch(text):
        return FinalAnswer("quoted", quoted.group(2))
    return FinalAnswer("exact", text.casefold())


def _read(text: str, question: str) -> FinalAnswer:
    text = _inside_fence(text).strip()
    if choice := _CHOICE.match(text):
        return FinalAnswer("choice", (choice.group(1) or choice.group(2)).upper())
    if said := _YES_NO.match(text):
        return FinalAnswer("yes_no", "yes" if said.group(1).casefold() in {"yes", "true"} else "no")
    if (literal := _literal(text)) is not None:
        return literal
    return _last_number(text, question) or _read_words(text)


def _read_words(text: str) -> FinalAnswer:
    words = _words(text)
    if not words:
        return FinalAnswer("text", text.casefold())
    if len(words) <= SHORT_WORDS_MAX:
        return FinalAnswer("text", " ".join(word for word in words if word not in _STOP_WORDS) or " ".join(words))
    return FinalAnswer("prose", frozenset(words) - _STOP_WORDS)


def _inside_fence(text: str) -> str:
    fenced = _FENCE.search(text)
    return fenced.group(1) if fenced and len(fenced.group(0)) > len(text) // 2 else text.strip("`")


def _literal(text: str) -> FinalAnswer | None:
    """A Python or JSON container, in a normal form."""
    line = text.strip().rstrip(".")
    if len(line) > _LITERAL_CHARS_MAX or not line.startswith(("[", "(", "{")) or not line.endswith(("]", ")", "}")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value: object = ast.literal_eval(line)
        return FinalAnswer("literal", repr(value))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _last_number(text: str, question: str) -> FinalAnswer | None:
    plain = _FRACTION.sub(r" \1/\2 ", text)
    numbers = [number for number in (_number(found) for found in _NUMBER.findall(plain)) if number is not None]
    given = {_number(found) for found in _NUMBER.findall(question[-TEXT_CHARS_MAX:])}
    fresh = [number for number in numbers if number not in given]
    return (fresh or numbers)[-1] if numbers else None


def _number(text: str) -> FinalAnswer | None:
    bare = "".join(text.split()).replace(",", "").replace("−", "-")
    if len(bare) > _DIGITS_MAX:
        return None
    try:
        value = Fraction(bare.rstrip("%"))
    except (ValueError, ZeroDivisionError):
        return None
    return FinalAnswer("percent", value / 100) if bare.endswith("%") else FinalAnswer("number", value)


def _as_written(answer: FinalAnswer) -> Fraction:
    """The number before the percent sign: people write 50 for 50 %."""
    value = answer.value if isinstance(answer.value, Fraction) else Fraction(0)
    return value * 100 if answer.form == "percent" else value


def _as_text(answer: FinalAnswer) -> str:
    """The text in which answers of different forms may still be the same: a string with and without its quotes."""
    return f"{answer.value}".casefold()


_RELATIVE_TOLERANCE = Fraction(1, 10_000)


def _same_number(one: Fraction, other: Fraction) -> bool:
    """Equal within rounding, so that 0.3333 is 1/3; whole numbers must be equal."""
    if one == other:
        return True
    if one.denominator == 1 and other.denominator == 1:
        return False
    return abs(one - other) <= _RELATIVE_TOLERANCE * max(abs(one), abs(other))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _overlap(one: FinalAnswer, other: FinalAnswer) -> float:
    """Share of common words (Jaccard), or 1 when the short answer stands whole inside the longer, unless that lists everything."""
    first, second = _word_set(one), _word_set(other)
    if not first or not second:
        return 0.0
    common = len(first & second)
    shorter = min(len(first), len(second))
    if one.form != other.form and common == shorter and max(len(first), len(second)) <= _MENTIONING_WORDS_MAX:
        return 1.0
    return math.fsum([common]) / len(first | second)


def _word_set(answer: FinalAnswer) -> frozenset[str]:
    match answer.value:
        case frozenset():
            return answer.value
        case Fraction():
            return frozenset({f"{answer.value}"})
        case str():
            return frozenset(_words(answer.value)) - _STOP_WORDS or frozenset(_words(answer.value))
