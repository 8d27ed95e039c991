"""Own short questions with exactly one right answer each, to measure small local models and the panel that judges them.

The questions are deterministic and come in a fixed, mixed order, so that any prefix of the list is a fair sample of the whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from training import panel_facts as facts

Complexity = Literal["low", "medium", "high"]
AnswerKind = Literal["number", "text", "yes_no", "choice", "literal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelQuestion:
    """A question and what is right to answer.

    ``accepted`` lists every spelling that counts, the reference first. ``kind`` says how answers are compared.
    """

    id: str
    domain: str
    reasoning_complexity: Complexity
    kind: AnswerKind
    text: str
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    family: str
    domain: str
    complexity: Complexity
    kind: AnswerKind
    text: str
    answer: str


_BRIEF: dict[AnswerKind, str] = {
    "number": "Answer with the number only.",
    "text": "Answer in as few words as possible.",
    "yes_no": "Answer yes or no.",
    "choice": "Answer with the letter only.",
    "literal": "Answer with the output only.",
}


def panel_questions() -> tuple[PanelQuestion, ...]:
    """All questions, in a fixed order that mixes the families.

    Two of three ask for a brief answer; the others leave the form to the model, as people do.
    """
    drafts = sorted(_drafts(), key=lambda draft: hashlib.sha256(f"{draft.family}/{draft.text}".encode()).digest())
    return tuple(_question(position, draft) for position, draft in enumerate(drafts))


def _question(position: int, draft: _Draft) -> PanelQuestion:
    brief = draft.kind == "choice" or position % 3 != 0
    digest = hashlib.sha256(f"{draft.family}/{draft.text}".encode()).hexdigest()[:8]
    return PanelQuestion(
        id=f"{draft.family}-{digest}",
        domain=draft.domain,
        reasoning_complexity=draft.complexity,
        kind=draft.kind,
        text=f"{draft.text} {_BRIEF[draft.kind]}" if brief else draft.text,
        accepted=tuple(draft.answer.split("|")),
    )


def _drafts() -> Iterator[_Draft]:
    yield from _arithmetic()
    yield from _advanced_arithmetic()
    yield from _knowledge()
    yield from _language()
    yield from _code()
    yield from _reasoning()


def _rows(family: str, domain: str, complexity: Complexity, kind: AnswerKind, rows: Iterable[tuple[str, str]]) -> Iterator[_Draft]:
    return (_Draft(family, domain, complexity, kind, text, answer) for text, answer in rows)


def _arithmetic() -> Iterator[_Draft]:
    for a, b in ((7, 5), (23, 48), (64, 19), (156, 277), (389, 475), (1248, 3967)):
        yield _Draft("sum", "math", "low", "number", f"What is {a} + {b}?", str(a + b))
    for a, b in ((15, 8), (73, 26), (204, 87), (1000, 364), (5021, 1748)):
        yield _Draft("difference", "math", "low", "number", f"What is {a} - {b}?", str(a - b))
    for a, b in ((6, 7), (12, 11)):
        yield _Draft("product", "math", "low", "number", f"What is {a} * {b}?", str(a * b))
    for a, b in ((14, 23), (37, 46), (125, 48), (312, 27)):
        yield _Draft("product", "math", "medium", "number", f"What is {a} * {b}?", str(a * b))
    for a, b in ((56, 8), (144, 12), (391, 17), (1110, 37)):
        yield _Draft("quotient", "math", "medium", "number", f"What is {a} divided by {b}?", str(a // b))
    for a, b, c in ((4, 5, 6), (18, 3, 7), (25, 12, 9), (48, 16, 5)):
        yield _Draft("mixed", "math", "medium", "number", f"What is {a} + {b} * {c}?", str(a + b * c))
        yield _Draft("brackets", "math", "medium", "number", f"What is ({a} + {b}) * {c} - {a}?", str((a + b) * c - a))


def _advanced_arithmetic() -> Iterator[_Draft]:
    for share, whole in ((10, 250), (15, 80), (35, 140), (12, 75)):
        yield _Draft("percent", "math", "medium", "number", f"What is {share} percent of {whole}?", f"{share * whole / 100:g}")
    for base, power in ((3, 4), (2, 10), (5, 3), (7, 3)):
        yield _Draft("power", "math", "medium", "number", f"What is {base} to the power of {power}?", str(base**power))
    for a, b, x in ((2, 3, 4), (5, -7, 6), (3, 12, -2), (7, 4, 9)):
        sign = "+" if b >= 0 else "-"
        yield _Draft("equation", "math", "medium", "number", f"Solve for x: {a}x {sign} {abs(b)} = {a * x + b}. What is x?", str(x))
    for a, b in ((48, 36), (17, 51), (84, 126)):
        yield _Draft("divisor", "math", "high", "number", f"What is the greatest common divisor of {a} and {b}?", str(_gcd(a, b)))
    for n in (13, 26, 45, 100):
        yield _Draft("binary", "math", "high", "number", f"Write the decimal number {n} in binary.", f"{n:b}")


def _gcd(a: int, b: int) -> int:
    return a if b == 0 else _gcd(b, a % b)


def _knowledge() -> Iterator[_Draft]:
    capitals = ((f"What is the capital of {country}?", city) for country, city in facts.CAPITALS)
    yield from _rows("capital", "general_knowledge", "low", "text", capitals)
    yield from _rows("science", "science", "low", "text", facts.SCIENCE)
    yield from _rows("knowledge", "general_knowledge", "low", "text", facts.KNOWLEDGE)
    yield from _rows("year", "humanities", "low", "number", facts.YEARS)
    yield from _rows("count", "general_knowledge", "low", "number", facts.COUNTS)
    yield from _rows("unit", "math", "medium", "number", facts.UNITS)


def _language() -> Iterator[_Draft]:
    opposites = ((f'What is the opposite of "{word}"?', answer) for word, answer in facts.OPPOSITES)
    plurals = ((f'What is the plural of "{word}"?', answer) for word, answer in facts.PLURALS)
    tenses = ((f'What is the simple past of the verb "{word}"?', answer) for word, answer in facts.PAST_TENSES)
    translations = ((f'What is the {language} word for "{word}"?', answer) for word, language, answer in facts.TRANSLATIONS)
    backwards = ((f'Spell the word "{word}" backwards.', word[::-1]) for word in facts.SPELLING_WORDS)
    letters = ((f'How often does the letter "{c}" occur in "{word}"?', str(word.count(c))) for word, c in facts.LETTER_COUNTS)
    yield from _rows("opposite", "language", "low", "text", opposites)
    yield from _rows("plural", "language", "low", "text", plurals)
    yield from _rows("tense", "language", "low", "text", tenses)
    yield from _rows("translation", "language", "low", "text", translations)
    yield from _rows("backwards", "language", "high", "text", backwards)
    yield from _rows("letters", "language", "medium", "number", letters)


def _code() -> Iterator[_Draft]:
    outputs = ((f"What does this Python code print?\n\n{code}\n\n", answer) for code, answer in facts.CODE_OUTPUTS)
    return _rows("output", "code", "medium", "literal", outputs)


def _reasoning() -> Iterator[_Draft]:
    sequences = ((f"What number comes next: {numbers}, ...?", answer) for numbers, answer in facts.SEQUENCES)
    yield from _rows("story", "math", "high", "number", facts.STORIES)
    yield from _rows("sequence", "logic", "medium", "number", sequences)
    yield from _rows("yes-no", "logic", "medium", "yes_no", facts.YES_NO)
    for text, options, letter in facts.CHOICES:
        listed = "\n".join(f"({label}) {option}" for label, option in zip("ABCD", options, strict=True))
        yield _Draft("choice", "general_knowledge", "medium", "choice", f"{text}\n{listed}\n", letter)
