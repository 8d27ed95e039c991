"""The recorded answers of the local models: one JSON object per line, one line per question and model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from judge_service.domain.candidates import LogprobFigures

ROWS_PATH = Path(__file__).parent / "local_answers.jsonl"
"""Where the rows are kept."""

LADDER = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
"""The local models, cheapest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """What one model answered to one question, and what was made of it.

    ``logprobs`` are those of the answer's tokens, or None. ``llm_score`` is what the `llm` judge of the local configuration gave,
    None when it failed. ``checks_score`` and ``agreement_score`` (against the answers of all cheaper models; None when it
    abstains) are computed from the texts and can be computed again at any time; so can ``correct``.
    """

    question_id: str
    question: str
    domain: str
    reasoning_complexity: str
    model: str
    answer: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    logprobs: LogprobFigures | None
    llm_score: float | None
    correct: bool
    checks_score: float | None = None
    agreement_score: float | None = None


def read_rows(path: Path) -> list[AnswerRow]:
    """The rows of a file, in its order; empty when there is no file."""
    if not path.exists():
        return []
    return [_row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def write_rows(path: Path, rows: Iterable[AnswerRow]) -> None:
    """Writes all rows, replacing the file in one step."""
    text = "".join(f"{_line(row)}\n" for row in rows)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def cheaper_answers(row: AnswerRow, rows: Iterable[AnswerRow], order: Sequence[str] = LADDER) -> list[AnswerRow]:
    """The rows of the same question by models that come before ``row.model`` in ``order``, cheapest first."""
    below = order[: order.index(row.model)]
    return [other for other in rows if other.question_id == row.question_id and other.model in below]


def _line(row: AnswerRow) -> str:
    return json.dumps(_rounded(asdict(row)), ensure_ascii=False)


def _rounded(value: Any) -> Any:  # noqa: ANN401 any JSON value
    match value:
        case float():
            return round(value, 6)
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case _:
            return value


def _row(value: dict[str, Any]) -> AnswerRow:
    figures = value.pop("logprobs")
    row = AnswerRow(logprobs=None, **value)
    return replace(row, logprobs=LogprobFigures(**figures)) if figures else row
