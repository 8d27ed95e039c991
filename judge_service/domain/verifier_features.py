"""What the verifier sees of one answer: numbers computed from the question's and the answer's text alone.

Training and serving use this very code. Every function accepts any text, never raises, and its work is bounded by ``ANSWER_CHARS_MAX``
and ``QUESTION_CHARS_MAX``. A figure that does not apply is NaN, which the trees handle.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from judge_service.domain.final_answer import FinalAnswer, final_answer
from judge_service.domain.plain_text import visible_text
from judge_service.domain.verifier_arithmetic import recompute
from judge_service.domain.verifier_choice import CHOICE_FEATURES, NUMBER_FEATURES, choice_fit, final_number
from judge_service.domain.verifier_options import OptionSheet, numbers_in, read_options
from judge_service.domain.verifier_words import slots_of, words_of

ANSWER_CHARS_MAX: Final = 12_000
QUESTION_CHARS_MAX: Final = 8_000

NAN: Final = math.nan
FRESH_NUMBERS_MAX: Final = 40
"""Last numbers of an answer that are compared with those of other answers."""

LEXICON: Final[dict[str, frozenset[str]]] = {
    "contrast": frozenset({"however", "but", "although", "though", "while", "whereas", "yet"}),
    "closest": frozenset({"closest", "nearest", "close", "closely", "best"}),
    "approximate": frozenset({"approximately", "approx", "about", "roughly", "around", "nearly", "≈", "estimate", "estimated"}),
    "not": frozenset({"not", "no", "isn", "doesn", "don", "never", "cannot", "can"}),
    "assume": frozenset({"assume", "assuming", "assumed", "assumption", "suppose", "given"}),
    "none": frozenset({"none", "neither", "nor", "any"}),
    "hedge": frozenset(
        {"might", "may", "could", "likely", "probably", "perhaps", "possibly", "seems", "appears", "generally", "typically"}
    ),
    "repair": frozenset(
        {"mistake", "error", "incorrect", "reconsider", "reevaluate", "re", "recheck", "correction", "wait", "apologize", "actually"}
    ),
    "missing": frozenset({"unclear", "insufficient", "provided", "ambiguous", "unknown", "without", "missing", "information", "specified"}),
    "therefore": frozenset({"therefore", "thus", "hence", "so", "consequently"}),
    "because": frozenset({"because", "since", "due", "as"}),
    "options": frozenset({"option", "options", "choice", "choices", "answers", "listed"}),
    "first_person": frozenset({"i", "we", "let", "us", "my"}),
    "steps": frozenset({"step", "first", "next", "then", "finally", "now"}),
    "refers": frozenset({"refers", "known", "defined", "definition", "called", "theory", "according", "concept"}),
    "formula": frozenset({"formula", "equation", "equations", "law", "using", "substituting", "substitute", "solve", "calculate"}),
    "most": frozenset({"most", "only", "always", "all", "must", "exactly"}),
    "correct": frozenset({"correct", "correctly", "true", "right", "false"}),
}
_LEXEME: Final = {word: name for name, words in LEXICON.items() for word in words}

FORMS: Final = ("number", "percent", "choice", "yes_no", "literal", "text", "prose", "nothing")
"""Forms of a final answer as the trees know them; a form that is younger than the committed trees counts as the nearest of these."""
_YOUNGER_FORMS: Final = {"quoted": "text", "exact": "text"}

_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_LETTER = re.compile(r"\(([A-J])\)|\b(?:option|choice|answer)s? (?:is )?\(?([A-J])\b|^[ \t]{0,4}[-*]{0,2} ?([A-J])[).:]", re.MULTILINE)
_ANNOUNCE = re.compile(r"answer\W{1,4}(?:is|:)|\\boxed|<answer>|\"answer\"|final answer", re.IGNORECASE)
_LATEX_COMMAND = re.compile(r"\\[a-zA-Z]{2,20}")
_BULLET = re.compile(r"^[ \t]{0,8}(?:[-*•]|\d{1,2}[.)])[ \t]", re.MULTILINE)
_CODE = re.compile(r"```|\bdef \w|\breturn\b|[{};]\s*$|\bassert\b", re.MULTILINE)
_NEGATED = re.compile(r"\b(?:NOT|EXCEPT|LEAST|FALSE|INCORRECT)\b|\bexcept\b|\bnot true\b|\bincorrect\b")


def shorten(text: str, chars_max: int) -> str:
    """The first third and the last two thirds of ``chars_max`` characters of ``text``."""
    if len(text) <= chars_max:
        return text
    head = chars_max // 3
    return text[:head] + text[-(chars_max - head) :]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuestionSheet:
    """A question, read once for all its answers."""

    text: str
    words: frozenset[str]
    slots: npt.NDArray[np.uint16]
    numbers: frozenset[float]
    options: OptionSheet
    features: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnswerSheet:
    """An answer, read once: its final answer, the option it chose (-1 for none), its slots, its last numbers, and its features.

    ``numbers`` are those that the question does not mention.
    """

    final: FinalAnswer
    choice: int
    numbers: frozenset[float]
    slots: npt.NDArray[np.uint16]
    log_chars: float
    features: tuple[float, ...]


QUESTION_FEATURES: Final = (
    "q_log_chars",
    "q_words",
    "q_digit_share",
    "q_numbers",
    "q_latex",
    "q_code",
    "q_negated",
    "q_lines",
    "q_options",
    "q_option_chars",
    "q_option_spread",
    "q_option_numeric",
    "q_option_overlap",
    "q_blank",
    "q_question_marks",
)

ANSWER_FEATURES: Final = (
    "a_log_chars",
    "a_words",
    "a_lines",
    "a_sentences",
    "a_word_chars",
    "a_distinct_share",
    "a_digit_share",
    "a_equations",
    "a_numbers",
    "a_latex",
    "a_bullets",
    "a_code",
    "a_bold",
    "a_capitals",
    "a_parentheses",
    "a_question_marks",
    "a_announced",
    "a_announced_at",
    "a_after_announced",
    "a_ends_closed",
    "a_repeated_lines",
    "a_question_overlap",
    "a_new_words",
    *(f"a_lex_{name}" for name in LEXICON),
    "a_contrast_late",
    "a_arith_right",
    "a_arith_wrong",
    "a_arith_share",
    "a_form",
    "a_letters",
    "a_letter_share",
    "a_letter_first",
    "a_letter_others",
    *CHOICE_FEATURES,
    *NUMBER_FEATURES,
)


def read_question(question: str) -> QuestionSheet:
    """Reads ``question``."""
    text = shorten(question, QUESTION_CHARS_MAX)
    words = words_of(text)
    sheet = read_options(text)
    numbers = numbers_in(text)
    chars = max(len(text), 1)
    lengths = [len(option) for option in sheet.texts]
    features = (
        math.log1p(chars),
        float(len(words)),
        sum(map(str.isdigit, text)) / chars,
        float(len(numbers)),
        float(len(_LATEX_COMMAND.findall(text)) + text.count("$")),
        float(len(_CODE.findall(text))),
        float(len(_NEGATED.findall(text))),
        float(text.count("\n")),
        float(len(lengths)),
        math.log1p(sum(lengths) / len(lengths)) if lengths else NAN,
        (max(lengths) - min(lengths)) / max(*lengths, 1) if lengths else NAN,
        sheet.numeric_share if lengths else NAN,
        sum(sheet.centrality) / len(lengths) if lengths else NAN,
        float(text.count("__")),
        float(text.count("?")),
    )
    return QuestionSheet(
        text=text, words=frozenset(words), slots=slots_of(words), numbers=frozenset(numbers), options=sheet, features=features
    )


def read_answer(answer: str, question: QuestionSheet) -> AnswerSheet:
    """Reads ``answer`` to ``question``."""
    text = shorten(visible_text(answer), ANSWER_CHARS_MAX)
    final = final_answer(text, question.text)
    choice = _chosen(final, question.options)
    words = words_of(text)
    numbers = numbers_in(text)
    features = (
        *_shape(text, words, numbers),
        *_announcement(text),
        *_relation(words, question),
        *_lexical(words),
        *_arithmetic(text),
        float(FORMS.index(_YOUNGER_FORMS.get(final.form, final.form))),
        *_letters(text, choice),
        *choice_fit(frozenset(words), numbers, choice=choice, options=question.options, question_words=question.words),
        *final_number(final, question.numbers),
    )
    fresh = frozenset(numbers[-FRESH_NUMBERS_MAX:]) - question.numbers
    return AnswerSheet(final=final, choice=choice, numbers=fresh, slots=slots_of(words), log_chars=features[0], features=features)


def _chosen(final: FinalAnswer, options: OptionSheet) -> int:
    if final.form == "choice" and isinstance(final.value, str):
        index = ord(final.value) - ord("A")
        return index if index < max(len(options.texts), 1) or not options.texts else -1
    return -1


def _shape(text: str, words: Sequence[str], numbers: Sequence[float]) -> tuple[float, ...]:
    chars, count = max(len(text), 1), max(len(words), 1)
    return (
        math.log1p(len(text)),
        float(len(words)),
        float(text.count("\n")),
        float(len(_SENTENCE.findall(text))),
        sum(map(len, words)) / count,
        len(set(words)) / count,
        sum(map(str.isdigit, text)) / chars,
        float(text.count("=")),
        float(len(numbers)),
        float(len(_LATEX_COMMAND.findall(text))),
        float(len(_BULLET.findall(text))),
        float(len(_CODE.findall(text))),
        float(text.count("**")),
        sum(map(str.isupper, text)) / chars,
        text.count("(") / count,
        float(text.count("?")),
    )


def _announcement(text: str) -> tuple[float, ...]:
    places = [found.start() for found in _ANNOUNCE.finditer(text)]
    chars = max(len(text), 1)
    lines = [line for line in (line.strip() for line in text.split("\n")) if line]
    return (
        float(len(places)),
        places[0] / chars if places else NAN,
        float(chars - places[-1]) if places else NAN,
        float(text.rstrip()[-1:] in '.)]}>!$`"'),
        1.0 - len(set(lines)) / len(lines) if lines else 0.0,
    )


def _relation(words: Sequence[str], question: QuestionSheet) -> tuple[float, ...]:
    mine = frozenset(words)
    return (
        len(mine & question.words) / max(len(question.words), 1),
        len(mine - question.words) / max(len(mine), 1),
    )


def _lexical(words: Sequence[str]) -> tuple[float, ...]:
    counts = Counter(_LEXEME[word] for word in words if word in _LEXEME)
    late = words[-max(len(words) // 3, 30) :]
    contrast_late = sum(1 for word in late if _LEXEME.get(word) in {"contrast", "closest", "repair", "none"})
    return (*(float(counts[name]) for name in LEXICON), float(contrast_late))


def _arithmetic(text: str) -> tuple[float, ...]:
    found = recompute(text)
    total = found.right + found.wrong
    return (float(found.right), float(found.wrong), found.right / total if total else NAN)


def _letters(text: str, choice: int) -> tuple[float, ...]:
    letters = ["".join(groups) for groups in _LETTER.findall(text)]
    if choice < 0 or not letters:
        return (float(len(letters)), NAN, NAN, float(len(set(letters))))
    mine = chr(ord("A") + choice)
    return (
        float(len(letters)),
        letters.count(mine) / len(letters),
        float(letters[0] == mine),
        float(len(set(letters) - {mine})),
    )
