"""Is a free-form answer to one of the panel's own questions right? Decided by rule, with the right answer known."""

from __future__ import annotations

import ast
import re

from training.panel_questions import PanelQuestion

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_LETTER = re.compile(r"\(([A-D])\)|(?<![\w'])([A-D])(?=[\s).:,*]|$)")
_QUOTES = re.compile(r"[\"'`*“”‘’]")
_NOT_MEANT = re.compile(r"\b(?:not|isn't|instead of|rather than)\s+(?:the\s+)?$", re.IGNORECASE)


_NUMBER_WORDS = {
    word: number
    for number, words in enumerate(
        ("zero", "one once", "two twice", "three thrice", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
    for word in words.split()
}


def is_right(question: PanelQuestion, answer: str, *, cut_off: bool = False) -> bool:
    """True when ``answer`` gives one of the accepted answers as its final answer.

    An answer that was ``cut_off`` by the token limit has not come to its final number or output, whatever it mentions on the way.
    """
    if cut_off and question.kind in {"number", "literal"}:
        return False
    match question.kind:
        case "number":
            return _number_is_right(question, answer)
        case "yes_no":
            said = _YES_NO.search(answer)
            return said is not None and said.group(1).casefold() == question.accepted[0]
        case "choice":
            said = _LETTER.search(answer.strip())
            return said is not None and question.accepted[0] in said.groups()
        case "text":
            return any(_names(answer, accepted) for accepted in question.accepted)
        case "literal":
            return _prints(answer, question.accepted[0])


def _number_is_right(question: PanelQuestion, answer: str) -> bool:
    """The last number that is not in the question counts; when all are, the last number. Number words count where there are no digits."""
    numbers = [_value(text) for text in _NUMBER.findall(answer)] or _number_words(answer)
    given = {_value(text) for text in _NUMBER.findall(question.text)}
    fresh = [number for number in numbers if number not in given] or numbers
    return bool(fresh) and fresh[-1] == float(question.accepted[0])


def _number_words(answer: str) -> list[float]:
    return [float(_NUMBER_WORDS[word]) for word in re.findall(r"[a-z]+", answer.casefold()) if word in _NUMBER_WORDS]


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def _names(answer: str, accepted: str) -> bool:
    text = _QUOTES.sub("", answer).casefold()
    wanted = re.compile(rf"(?<!\w){re.escape(_QUOTES.sub('', accepted).casefold())}(?!\w)")
    return any(not _NOT_MEANT.search(text[: found.start()]) for found in wanted.finditer(text))


def _prints(answer: str, expected: str) -> bool:
    """The output stands alone on a line, in a code span, or at the end of the answer."""
    spans = re.findall(r"`([^`\n]+)`", answer)
    lines = [line.strip() for line in answer.splitlines() if line.strip() and not line.strip().startswith("```")]
    endings = [answer.rstrip(" .`*\n")]
    if any(_same_literal(piece, expected) for piece in [*spans[-1:], *lines[-1:]]):
        return True
    return any(re.search(rf"(?:^|[\s`:*\"']){re.escape(expected)}$", ending) for ending in endings)


def _same_literal(piece: str, expected: str) -> bool:
    if piece.strip("\"'. ") == expected.strip("\"'. "):
        return True
    try:
        return ast.literal_eval(piece) == ast.literal_eval(expected)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
