"""Reads a file of questions: JSON lines, or CSV with a header.

Fields: `question` or `prompt` (one is enough; the prompt is what models are sent), and, all optional, `question_id`, `reference` (a text,
or in JSON a list of spellings that count), `domain`, `dataset`, `split` (`train`, `dev` or another name). Further fields are handed to
verifier commands.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from training.record.failures import RecordingFailed

KNOWN_FIELDS: Final = frozenset({"question_id", "question", "prompt", "reference", "domain", "dataset", "split"})
TRAIN: Final = "train"
DEV: Final = "dev"
_ID_DIGITS: Final = 16
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """A question. ``text`` is what is asked, ``prompt`` what models are sent, ``references`` every spelling that is right.

    ``extra`` holds the fields of the file that have no meaning here.
    """

    id: str
    text: str
    prompt: str
    references: tuple[str, ...] = ()
    domain: str = ""
    dataset: str = ""
    split: str = TRAIN
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_questions_file(path: Path, *, dev_percent: int) -> list[AskedQuestion]:
    """The questions in the order of the file; a line that repeats an earlier one whole is left out.

    A question without a split gets one by the hash of its normalised text: ``dev_percent`` of 100 (0 to 100) are `dev`, the others
    `train`. Raises ``RecordingFailed`` naming line and field.
    """
    found: dict[str, AskedQuestion] = {}
    for line, row in _rows(path):
        question = _question(row, where=f"{path}, line {line}", dev_percent=dev_percent)
        earlier = found.setdefault(question.id, question)
        if earlier != question:
            raise RecordingFailed(f"{path}, line {line}: question_id {question.id!r} was given to another question before")
    if not found:
        raise RecordingFailed(f"{path} holds no question")
    return list(found.values())


def normalised(text: str) -> str:
    """``text`` without what two copies of a question may differ in: case and white space."""
    return " ".join(text.casefold().split())


def split_of(text: str, *, dev_percent: int) -> str:
    """The split of a question, the same for all its copies."""
    number = int.from_bytes(hashlib.sha256(normalised(text).encode()).digest()[:8])
    return DEV if number % _PERCENT < dev_percent else TRAIN


def further_fields(questions: list[AskedQuestion]) -> list[str]:
    """Names of fields that are handed on without being understood."""
    return sorted({name for question in questions for name in question.extra})


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and fields of every row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingFailed(f"{path} can't be read: {error}") from error
    if path.suffix.casefold() == ".csv":
        reader = csv.DictReader(text.splitlines(keepends=True), restkey="")
        for row in reader:
            if "" in row:
                raise RecordingFailed(f"{path}, line {reader.line_num}: more columns than the header names")
            yield reader.line_num, {name: value for name, value in row.items() if value}
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _json_object(line, where=f"{path}, line {number}")


def _json_object(line: str, *, where: str) -> dict[str, Any]:
    try:
        value: object = json.loads(line)
    except ValueError as error:
        raise RecordingFailed(f"{where} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordingFailed(f"{where} is not a JSON object")
    return {str(name): entry for name, entry in value.items() if entry is not None}


def _question(row: dict[str, Any], *, where: str, dev_percent: int) -> AskedQuestion:
    text, prompt = _text(row, "question", where), _text(row, "prompt", where)
    if not (text.strip() or prompt.strip()):
        raise RecordingFailed(f"{where}: needs `question` or `prompt`, a text that is not empty")
    text, prompt = text or prompt, prompt or text
    digest = hashlib.sha256(f"{normalised(text)}\0{prompt}".encode()).hexdigest()[:_ID_DIGITS]
    return AskedQuestion(
        id=_text(row, "question_id", where) or digest,
        text=text,
        prompt=prompt,
        references=_references(row.get("reference"), where),
        domain=_text(row, "domain", where),
        dataset=_text(row, "dataset", where),
        split=_text(row, "split", where) or split_of(text, dev_percent=dev_percent),
        extra={name: value for name, value in row.items() if name not in KNOWN_FIELDS},
    )


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name, "")
    if isinstance(value, int) and name == "question_id":
        return str(value)
    if not isinstance(value, str):
        raise RecordingFailed(f"{where}: `{name}` is {value!r}; it must be a text")
    return value


def _references(value: object, where: str) -> tuple[str, ...]:
    """Spellings that count; numbers are taken as they are written."""
    match value:
        case None:
            return ()
        case list():
            return tuple(_reference(entry, where) for entry in value)
        case _:
            return (_reference(value, where),)


def _reference(value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise RecordingFailed(f"{where}: `reference` holds {value!r}; it must be a text, a number, or a list of these")
    return str(value)
