"""Reads the tables of a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from router_service.domain.descriptors import Descriptors

LAYOUT = """A data directory holds Parquet files:
  questions.parquet   question_id, arena, dataset, domain, question, prompt, reference, split (train, dev)
  responses.parquet   question_id, arena, model, response, correct, completion_tokens, reasoning_tokens_est
  models.parquet      model, input_usd_per_m, output_usd_per_m, context_tokens, class (optional; `reasoning` counts)"""
REASONING = "reasoning"


def read_questions(folder: Path) -> list[dict[str, Any]]:
    """All questions. Ends the program with the expected layout when the file is missing."""
    columns = ["question_id", "arena", "dataset", "domain", "subdomain", "question", "prompt", "reference", "split"]
    return pq.read_table(existing(folder / "questions.parquet"), columns=columns).to_pylist()


def read_outcomes(folder: Path) -> dict[str, list[Any]]:
    """Who answered which question rightly, with how many tokens: columns of equal length. Answers without a label are left out."""
    columns = ["question_id", "model", "correct", "completion_tokens", "reasoning_tokens_est"]
    table = pq.read_table(existing(folder / "responses.parquet"), columns=columns)
    return table.filter(pc.field("correct").is_valid()).to_pydict()


def read_cards(folder: Path) -> dict[str, Descriptors]:
    """What is known of every model beside its answers, by name."""
    rows = pq.read_table(existing(folder / "models.parquet")).to_pylist()
    return {
        row["model"]: Descriptors(
            name=row["model"],
            upstream_name=row["model"],
            input_usd_per_mtok=float(row["input_usd_per_m"]),
            output_usd_per_mtok=float(row["output_usd_per_m"]),
            context_tokens=int(row["context_tokens"]),
            reasoning=row.get("class") == REASONING,
        )
        for row in rows
    }


def existing(path: Path) -> Path:
    """``path``; ends the program with the expected layout when it is missing."""
    if not path.exists():
        raise SystemExit(f"{path} is missing.\n{LAYOUT}")
    return path
