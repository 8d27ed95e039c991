"""Deterministic checks: what is plainly wrong with an answer, without knowing the right one."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from typing import Final, assert_never

from judge_service.domain.candidates import AnswerForm, Candidate, Case, Contract, Ending
from judge_service.domain.errors import BadSchema
from judge_service.domain.ports import SchemaValidator
from judge_service.domain.verdicts import Defect, Opinion

SCORES: Final[dict[Defect, float]] = {
    Defect.EMPTY: 0.0,
    Defect.REFUSED: 0.05,
    Defect.MALFORMED: 0.1,
    Defect.DEGENERATE: 0.1,
    Defect.TRUNCATED: 0.3,
}
"""Score of an answer with a defect; the lowest counts. An answer without defects scores 1."""

REFUSAL_CHARS_MAX: Final = 400
"""A longer answer that contains a refusal also contains something else."""

SHORT_CHARS_MAX: Final = 200
"""One letter or one number does not take more."""

JSON_CHARS_MAX: Final = 1_000_000
"""Longer text is not parsed."""

PYTHON_CHARS_MAX: Final = 40_000
"""Longer source is not parsed: Python's parser takes time that grows faster than the source, and lets nothing else run meanwhile."""

_CAN_NOT = (
    r"can(?:'|’)?t|cannot|can not|could not|couldn(?:'|’)t|won(?:'|’)t|will not|(?:am |is |'m |’m )?(?:unable|not able)|"
    r"must decline|have to decline"
)
_REFUSALS = re.compile(
    r"^\W*(?:(?:(?:i(?:'|’)?m|i am) (?:very |so |really )?)?sorry|apologies|i apologi[sz]e|unfortunately|"
    r"as an? (?:ai|artificial intelligence|(?:large )?language model|assistant)|"
    rf"i (?:{_CAN_NOT}|do not|don(?:'|’)t)|(?:i(?:'|’)m|i am) (?:unable|not able))",
    re.IGNORECASE,
)
_DECLINES = re.compile(rf"(?:{_CAN_NOT}|(?:do not|don(?:'|’)t) (?:have|know))\b", re.IGNORECASE)
_CHOICE = re.compile(
    r"^\W*(?:(?:the )?(?:(?:correct|final|right) )?(?:answer|option|choice)(?: is)?\W*)?\(?([A-Za-z])(?:[).:,]|\W*$)", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+−]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
_ONLY_NUMBER = re.compile(rf"^\W*[-+−$€£]?\s*{_NUMBER.pattern}\s*(?:%|[^\W\d_]{{1,12}}\d?)?\W*$")
_FENCE = re.compile(r"^\s*```[^\n`]*\n(.*?)\n?```\s*$", re.DOTALL)
_WORD = re.compile(r"\w+")


def opinion_of(case: Case, schemas: SchemaValidator) -> Opinion:
    """What the checks say: 1.0 for an answer without defects, else the score of the worst. Never raises on any text."""
    found: list[tuple[Defect, str]] = []
    candidate = case.candidate
    if not candidate.text.strip():
        found.append((Defect.EMPTY, "the answer is empty"))
    else:
        if is_refusal(candidate):
            found.append((Defect.REFUSED, "the answer declines to answer"))
        if is_degenerate(candidate.text):
            found.append((Defect.DEGENERATE, "the answer repeats itself"))
        if problem := form_problem(candidate.text, case.contract, schemas):
            found.append((Defect.MALFORMED, problem))
    if candidate.ending is Ending.LENGTH:
        found.append((Defect.TRUNCATED, "the token limit cut the answer off"))
    if not found:
        return Opinion(score=1.0, explanation="no defect found")
    return Opinion(
        score=min(SCORES[defect] for defect, _ in found),
        explanation="; ".join(problem for _, problem in found),
        defects=tuple(defect for defect, _ in found),
    )


def is_refusal(candidate: Candidate) -> bool:
    """True when the answer is essentially a refusal: short, and it opens with one. The provider's own filter counts too."""
    if candidate.ending is Ending.CONTENT_FILTER:
        return True
    text = candidate.text.strip()
    return len(text) <= REFUSAL_CHARS_MAX and bool(_REFUSALS.match(text)) and bool(_DECLINES.search(text))


def is_degenerate(text: str) -> bool:
    """True when the answer repeats itself without end: its tail is one unit many times over, or it has hardly any distinct words."""
    words = _WORD.findall(text.casefold())
    if _tail_repeats(words):
        return True
    if len(words) >= _MANY_WORDS:
        trigrams = Counter(zip(words, words[1:], words[2:], strict=False))
        return len(trigrams) / (len(words) - 2) < _DISTINCT_MIN
    return _one_character_runs_on(text)


_MANY_WORDS = 60
_DISTINCT_MIN = 0.2
_TAIL_UNIT_MAX = 12
_TAIL_REPEATS_MIN = 6
_RUN_MIN = 40


def _tail_repeats(words: list[str]) -> bool:
    for unit in range(1, _TAIL_UNIT_MAX + 1):
        repeats = _TAIL_REPEATS_MIN + (2 if unit == 1 else 0)
        if len(words) < unit * repeats:
            return False
        tail = words[-unit * repeats :]
        if all(tail[i] == tail[i % unit] for i in range(len(tail))) and not all(word.isdigit() for word in tail[:unit]):
            return True
    return False


def _one_character_runs_on(text: str) -> bool:
    tail = text.strip()[-_RUN_MIN:]
    return len(tail) == _RUN_MIN and len(set(tail)) == 1 and tail[0] not in "-=_*~#. "


def form_problem(text: str, contract: Contract, schemas: SchemaValidator) -> str:
    """Why ``text`` does not have the required form, or an empty string."""
    match contract.form:
        case AnswerForm.ANY:
            return ""
        case AnswerForm.JSON:
            return _json_problem(text, contract.json_schema, schemas)
        case AnswerForm.PYTHON:
            return _python_problem(unfenced(text))
        case AnswerForm.CHOICE:
            return "" if _CHOICE.match(text.strip()[:SHORT_CHARS_MAX]) else "the answer is not one letter"
        case AnswerForm.NUMBER:
            number = unfenced(text).strip()
            return "" if len(number) <= SHORT_CHARS_MAX and _ONLY_NUMBER.match(number) else "the answer is not one number"
        case _:
            assert_never(contract.form)


def unfenced(text: str) -> str:
    """The inside of the Markdown code fence that makes up the whole text, or the text."""
    fenced = _FENCE.match(text)
    return fenced.group(1) if fenced else text


def parse_json(text: str) -> object:
    """The one JSON value that ``text`` is, in a code fence or not. Raises ``ValueError`` when it is none."""
    if len(text) > JSON_CHARS_MAX:
        raise ValueError("too long to be parsed")
    try:
        return json.loads(unfenced(text), parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _json_problem(text: str, schema: str, schemas: SchemaValidator) -> str:
    try:
        value = parse_json(text)
    except ValueError:
        return "the answer is not one JSON value"
    if not schema:
        return ""
    try:
        problem = schemas.problem(value, schema)
    except BadSchema:
        return "the answer can't be checked: the JSON Schema is unusable"
    return f"the JSON value does not satisfy the schema: {problem}" if problem else ""


def _python_problem(source: str) -> str:
    if len(source) > PYTHON_CHARS_MAX:
        return f"the answer is longer than the {PYTHON_CHARS_MAX:,} characters of Python that are checked"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return "the answer is not Python that parses"
    return ""
