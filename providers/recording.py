"""An index over a recording: which answers a Parquet file holds, found by the text of the prompt.

Layout: the recording itself, one row per answer, with ``question_id``, ``model``, ``response``, ``prompt_tokens``,
``completion_tokens`` and, if hidden reasoning was counted, ``reasoning_tokens_est``, and ``truncated``; beside it
``questions.parquet`` with ``question_id``, ``question`` and ``prompt``.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

QUESTIONS_FILE: Final = "questions.parquet"
_BATCH_ROWS: Final = 8_192
_ANSWER_COLUMNS: Final = ("question_id", "model", "response", "prompt_tokens", "completion_tokens")
_OPTIONAL_COLUMNS: Final = ("reasoning_tokens_est", "truncated")
_QUESTION_COLUMNS: Final = ("question_id", "question", "prompt")


class RecordingUnreadable(Exception):
    """The recording can't be used; the text names the file and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """One recorded answer. ``reasoning_tokens`` were generated, and paid for, before the text; their number is an estimate."""

    question_id: str
    text: str
    input_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Index:
    """Rows of ``answers`` (an Arrow table) by model and prompt, and by model and bare question."""

    answers: Any
    by_prompt: dict[tuple[str, bytes], int]
    by_question: dict[tuple[str, bytes], int]


class Recording:
    """A recording, read once, when first asked, in a thread.

    Only answers of the models that were announced are kept, as Arrow columns: about the size of their texts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._models: set[str] = set()
        self._index: _Index | None = None
        self._loading = asyncio.Lock()

    def announce(self, model: str) -> None:
        """Says that answers of ``model``, as the recording names it, will be asked for. Call it before the first ``find``."""
        self._models.add(model)

    async def find(self, model: str, texts: Iterable[str]) -> RecordedAnswer | None:
        """The answer of ``model`` to the first of ``texts`` that is a recorded prompt, else a recorded bare question, else None.

        White space at the ends does not count. Where a prompt was recorded more than once the first answer in the file is taken.
        Raises ``RecordingUnreadable``.
        """
        async with self._loading:
            if self._index is None:
                self._index = await asyncio.to_thread(_load, self.path, frozenset(self._models))
        keys = [(model, _digest(text)) for text in texts]
        for rows in (self._index.by_prompt, self._index.by_question):
            for key in keys:
                if key in rows:
                    return _answer(self._index.answers, rows[key])
        return None


def _digest(text: str) -> bytes:
    return blake2b(text.strip().encode(), digest_size=16).digest()


def _answer(answers: Any, row: int) -> RecordedAnswer:  # noqa: ANN401 - pyarrow has no types
    values: dict[str, Any] = answers.slice(row, 1).to_pylist()[0]
    return RecordedAnswer(
        question_id=values["question_id"],
        text=values["response"] or "",
        input_tokens=values["prompt_tokens"] or 0,
        completion_tokens=values["completion_tokens"] or 0,
        reasoning_tokens=values.get("reasoning_tokens_est") or 0,
        truncated=bool(values.get("truncated")),
    )


def _load(path: Path, models: frozenset[str]) -> _Index:
    """Reads the recording and its questions; blocks for seconds."""
    # Arrow is optional and loads for a second: only who replays recordings needs it.
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        digests = _question_digests(parquet, path.with_name(QUESTIONS_FILE))
        answers = _answers(arrow, parquet, path, models)
    except (OSError, arrow.ArrowException) as error:
        raise RecordingUnreadable(f"{path} or {QUESTIONS_FILE} beside it can't be read ({type(error).__name__})") from error
    by_prompt: dict[tuple[str, bytes], int] = {}
    by_question: dict[tuple[str, bytes], int] = {}
    identities = zip(answers.column("question_id").to_pylist(), answers.column("model").to_pylist(), strict=True)
    for row, (question_id, model) in enumerate(identities):
        for question, prompt in digests.get(question_id, ()):
            by_prompt.setdefault((model, prompt), row)
            by_question.setdefault((model, question), row)
    return _Index(answers, by_prompt, by_question)


def _question_digests(parquet: Any, path: Path) -> dict[str, list[tuple[bytes, bytes]]]:  # noqa: ANN401 - pyarrow has no types
    """Per question the digests of its bare text and of its prompt."""
    file: Any = parquet.ParquetFile(path)
    _require_columns(file, path, _QUESTION_COLUMNS)
    digests: dict[str, list[tuple[bytes, bytes]]] = {}
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(_QUESTION_COLUMNS), use_threads=False):
        for row in batch.to_pylist():
            digests.setdefault(row["question_id"], []).append((_digest(row["question"] or ""), _digest(row["prompt"] or "")))
    return digests


def _answers(arrow: Any, parquet: Any, path: Path, models: frozenset[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """The rows of the given models, as an Arrow table."""
    compute: Any = importlib.import_module("pyarrow.compute")
    file: Any = parquet.ParquetFile(path)
    _require_columns(file, path, _ANSWER_COLUMNS)
    columns = [*_ANSWER_COLUMNS, *(name for name in _OPTIONAL_COLUMNS if name in file.schema_arrow.names)]
    wanted: Any = arrow.array(sorted(models), type=file.schema_arrow.field("model").type)
    batches: list[Any] = []
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False):
        kept: Any = batch.filter(compute.is_in(batch.column("model"), value_set=wanted))
        if kept.num_rows:
            batches.append(kept)
    schema: Any = arrow.schema([file.schema_arrow.field(name) for name in columns])
    return arrow.Table.from_batches(batches, schema=schema)


def _require_columns(file: Any, path: Path, columns: Iterable[str]) -> None:  # noqa: ANN401 - pyarrow has no types
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise RecordingUnreadable(f"{path} lacks the columns {', '.join(missing)}")
