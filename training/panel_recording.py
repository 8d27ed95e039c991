"""A recording's labelled answers as rows for the panel's calibration."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from judge_service.domain.candidates import LogprobFigures
from training.panel_questions import panel_questions
from training.panel_rows import AnswerRow
from training.tables import existing

SCORES_FILE: Final = "llm_scores.jsonl"
"""Beside the tables: what the `llm` judge gave each answer."""
Scores = dict[tuple[str, str], float | None]
"""Scores of the `llm` judge by question and model, None where it failed."""

_COLUMNS: Final = ["question_id", "model", "response", "correct", "cost_usd", "prompt_tokens", "completion_tokens", "truncated"]
_LOGPROBS: Final = ("tokens", "mean", "minimum", "share_uncertain", "first")


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """A row, and what the answer cost in USD."""

    row: AnswerRow
    cost_usd: float


def read_recording(folder: Path, splits: Collection[str]) -> list[RecordedRow]:
    """The labelled answers to the questions of ``splits`` (all splits when empty), question by question."""
    questions: dict[str, dict[str, Any]] = {
        question["question_id"]: question
        for question in pq.read_table(
            existing(folder / "questions.parquet"), columns=["question_id", "prompt", "domain", "split"]
        ).to_pylist()
        if not splits or question["split"] in splits
    }
    schema = pq.read_schema(existing(folder / "responses.parquet"))
    extra = [name for name in ("finish_reason", *(f"logprob_{figure}" for figure in _LOGPROBS)) if name in schema.names]
    answers = pq.read_table(folder / "responses.parquet", columns=[*_COLUMNS, *extra]).to_pylist()
    scores = read_scores(folder)
    complexities = {question.id: question.reasoning_complexity for question in panel_questions()}
    rows = [
        RecordedRow(_row(answer, questions[answer["question_id"]], scores, complexities), float(answer["cost_usd"] or 0.0))
        for answer in answers
        if answer["question_id"] in questions and answer["correct"] is not None
    ]
    return sorted(rows, key=lambda row: (row.row.question_id, row.row.model))


def cheapest_first(rows: Sequence[RecordedRow]) -> tuple[str, ...]:
    """The models by what their answers cost on average: the order in which a cascade meets them."""
    costs: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        costs[row.row.model].append(row.cost_usd)
    return tuple(sorted(costs, key=lambda model: (sum(costs[model]) / len(costs[model]), model)))


def read_scores(folder: Path) -> Scores:
    """What the `llm` judge gave; empty when it was not asked."""
    path = folder / SCORES_FILE
    if not path.exists():
        return {}
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {(line["question_id"], line["model"]): line["score"] for line in lines}


def _row(answer: dict[str, Any], question: dict[str, Any], scores: Scores, complexities: dict[str, str]) -> AnswerRow:
    key = answer["question_id"], answer["model"]
    row = AnswerRow(
        question_id=key[0],
        question=question["prompt"],
        domain=question["domain"] or "",
        reasoning_complexity=complexities.get(key[0], ""),
        model=key[1],
        answer=answer["response"] or "",
        finish_reason=answer.get("finish_reason") or ("length" if answer["truncated"] else "stop"),
        input_tokens=int(answer["prompt_tokens"] or 0),
        output_tokens=int(answer["completion_tokens"] or 0),
        logprobs=None,
        llm_score=scores.get(key),
        correct=bool(answer["correct"]),
    )
    return row if not answer.get("logprob_tokens") else replace(row, logprobs=_figures(answer))


def _figures(answer: dict[str, Any]) -> LogprobFigures:
    return LogprobFigures(**{figure: answer[f"logprob_{figure}"] for figure in _LOGPROBS})
