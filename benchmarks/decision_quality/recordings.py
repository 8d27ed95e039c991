"""Reads a data directory: questions, and what recorded models answered to them at which cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

BATCH_ROWS = 8_000
NANO_PER_USD = 1_000_000_000

LAYOUT = """A data directory holds Parquet files:
  questions.parquet   question_id, arena, dataset, domain, question, prompt, split
  responses.parquet   question_id, arena, model, response, correct, cost_usd, prompt_tokens, completion_tokens, truncated
  models.parquet      model, input_usd_per_m, output_usd_per_m, context_tokens; alias_core, class (optional)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question. ``text`` is what was asked, ``prompt`` what the models were sent, ``task`` names its kind in reports only."""

    id: str
    arena: str
    task: str
    text: str
    prompt: str
    prompt_tokens: int
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A recorded answer. ``model`` is the recorded model's own name."""

    model: str
    text: str
    right: bool
    cost_nano_usd: int
    output_tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Prices in nano-USD per million tokens, and the window in tokens.

    ``alias`` joins neighbouring versions, empty for none; ``reasoning`` is true for a model that thinks before it answers.
    """

    name: str
    provider: str
    input_nano_usd_per_mtok: int
    output_nano_usd_per_mtok: int
    context_tokens: int
    alias: str
    reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Recordings:
    """Everything of some arenas: questions by id, answers by question and model, and the models."""

    questions: Mapping[str, Question]
    answers: Mapping[str, Mapping[str, Answer]]
    models: Mapping[str, ModelFacts]


def read_recordings(folder: Path, arenas: Iterable[str], *, texts_of: str) -> Recordings:
    """The recordings of ``arenas``; only answers to questions of the split ``texts_of`` keep their texts.

    Answers without a label are left out.

    Ends the program with the expected layout when a file is missing.
    """
    wanted = set(arenas)
    questions = {question.id: question for question in read_questions(folder) if question.arena in wanted}
    models = {row["model"]: _facts(row) for row in pq.read_table(_existing(folder / "models.parquet")).to_pylist()}
    return Recordings(questions, _read_answers(_existing(folder / "responses.parquet"), questions, texts_of), models)


def read_questions(folder: Path) -> list[Question]:
    """All questions. Ends the program with the expected layout when the file is missing."""
    columns = ["question_id", "arena", "dataset", "domain", "question", "prompt", "prompt_tokens", "split"]
    return [_question(row) for row in pq.read_table(_existing(folder / "questions.parquet"), columns=columns).to_pylist()]


def _read_answers(path: Path, questions: Mapping[str, Question], texts_of: str) -> dict[str, dict[str, Answer]]:
    columns = ["question_id", "arena", "model", "response", "correct", "cost_usd", "completion_tokens", "reasoning_tokens_est", "truncated"]
    answers: dict[str, dict[str, Answer]] = {}
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=columns):
        for row in batch.to_pylist():
            asked = questions.get(row["question_id"])
            if asked is not None and asked.arena == row["arena"] and row["correct"] is not None:
                answers.setdefault(asked.id, {})[row["model"]] = _answer(row, with_text=asked.split == texts_of)
    return answers


def _question(row: Mapping[str, Any]) -> Question:
    return Question(
        id=row["question_id"],
        arena=row["arena"],
        task=f"{row['dataset']}/{row['domain']}",
        text=row["question"],
        prompt=row["prompt"],
        prompt_tokens=int(row["prompt_tokens"] or 1),
        split=row["split"],
    )


def _answer(row: Mapping[str, Any], *, with_text: bool) -> Answer:
    return Answer(
        model=row["model"],
        text=(row["response"] or "") if with_text else "",
        right=bool(row["correct"]),
        cost_nano_usd=round(float(row["cost_usd"] or 0.0) * NANO_PER_USD),
        output_tokens=int(row["completion_tokens"] or 0) + int(row["reasoning_tokens_est"] or 0),
        truncated=bool(row["truncated"]),
    )


def _facts(row: Mapping[str, Any]) -> ModelFacts:
    return ModelFacts(
        name=row["model"],
        provider=row.get("provider") or "",
        input_nano_usd_per_mtok=round(float(row["input_usd_per_m"]) * NANO_PER_USD),
        output_nano_usd_per_mtok=round(float(row["output_usd_per_m"]) * NANO_PER_USD),
        context_tokens=int(row["context_tokens"]),
        alias=row.get("alias_core") or "",
        reasoning=row.get("class") == "reasoning",
    )


def _existing(path: Path) -> Path:
    if not path.exists():
        raise SystemExit(f"{path} is missing.\n{LAYOUT}")
    return path
