"""Reads RouteLLM's tables: who of two models was right on which question."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs] - has none

from benchmarks.routellm.metric import Floats

FILES = {"mmlu": "routellm_mmlu.parquet", "gsm8k": "routellm_gsm8k.parquet"}
LAYOUT = """A data directory holds Parquet files, one or both:
  routellm_mmlu.parquet    prompt, strong_correct, weak_correct, contaminated, split
  routellm_gsm8k.parquet   the same, and weak_response (text of the weak model's answer)"""
NEEDED = ("prompt", "strong_correct", "weak_correct", "contaminated", "split")
WEAK_ANSWER = "weak_response"

_FIRST_OPTION = re.compile(r"\n\(?A\)?[.:)] ")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Questions in the table's order; ``strong`` and ``weak`` are 1.0 where that model is right.

    ``keys`` are equal for questions that differ in nothing but case, spaces, signs and options. ``weak_answers`` is empty when the
    table has no texts.
    """

    name: str
    prompts: tuple[str, ...]
    strong: Floats
    weak: Floats
    splits: npt.NDArray[np.str_]
    keys: npt.NDArray[np.int64]
    weak_answers: tuple[str, ...]


def read_table(folder: Path, name: str) -> Table | None:
    """The table without rows that RouteLLM calls contaminated; None when its file is missing. Ends the program on a wrong layout."""
    path = folder / FILES[name]
    if not path.exists():
        return None
    there = set(pq.read_schema(path).names)
    missing = [column for column in NEEDED if column not in there]
    if missing:
        raise SystemExit(f"{path} has no column {missing[0]!r}.\n{LAYOUT}")
    columns = [*NEEDED, *([WEAK_ANSWER] if WEAK_ANSWER in there else [])]
    rows: list[dict[str, Any]] = [row for row in pq.read_table(path, columns=columns).to_pylist() if not row["contaminated"]]
    return Table(
        name=name,
        prompts=tuple(row["prompt"] for row in rows),
        strong=np.array([float(row["strong_correct"]) for row in rows]),
        weak=np.array([float(row["weak_correct"]) for row in rows]),
        splits=np.array([row["split"] for row in rows], dtype=np.str_),
        keys=np.array([key_of(row["prompt"]) for row in rows], dtype=np.int64),
        weak_answers=tuple(row[WEAK_ANSWER] or "" for row in rows) if WEAK_ANSWER in there else (),
    )


def joined(first: Table, second: Table) -> Table:
    """The questions of ``first``, then those of ``second``; answers only when both have them."""
    answers = (*first.weak_answers, *second.weak_answers) if first.weak_answers and second.weak_answers else ()
    return Table(
        name=second.name,
        prompts=(*first.prompts, *second.prompts),
        strong=np.concatenate([first.strong, second.strong]),
        weak=np.concatenate([first.weak, second.weak]),
        splits=np.concatenate([first.splits, second.splits]),
        keys=np.concatenate([first.keys, second.keys]),
        weak_answers=answers,
    )


def stem_of(prompt: str) -> str:
    """The question without its options."""
    found = _FIRST_OPTION.search(prompt)
    return prompt[: found.start()] if found else prompt


def key_of(prompt: str) -> int:
    """A number that equal questions share, whatever their case, spaces, signs and options."""
    return zlib.crc32(_NOT_PLAIN.sub(" ", stem_of(prompt).lower()).strip().encode())
