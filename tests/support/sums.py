"""A small data directory of recorded answers to sums, whose results are known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pa: Any = pytest.importorskip("pyarrow", reason="needs the extra `recorded`")
pq: Any = pytest.importorskip("pyarrow.parquet")

QUESTIONS = 40
PROMPT_TOKENS = 9


def write_sums(folder: Path, *, wrong_anyway: frozenset[str] = frozenset()) -> Path:
    """Every third question is hard: `small` and `tiny` fail it, each in its own way. `large` is always right at 100 times the cost.

    `mute` answers nothing. Of the questions in ``wrong_anyway`` (ids) all answers have another text.
    """
    questions = [
        {
            "question_id": f"q{index:02}",
            "arena": "sums",
            "dataset": "sums",
            "domain": "math",
            "question": f"What is {index} + 1?",
            "prompt": f"Answer: what is {index} + 1?",
            "prompt_tokens": PROMPT_TOKENS,
            "split": "train" if index % 2 else "dev",
        }
        for index in range(QUESTIONS)
    ]
    rows = [
        {
            "question_id": f"q{index:02}",
            "arena": "sums",
            "model": model,
            "response": ""
            if model == "mute"
            else f"<answer>{(index + 1 if right else wrong) + 7 * (f'q{index:02}' in wrong_anyway)}</answer>",
            "correct": right,
            "cost_usd": cost,
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": 5,
            "reasoning_tokens_est": 0,
            "truncated": False,
        }
        for index in range(QUESTIONS)
        for model, right, wrong, cost in (
            ("tiny", index % 3 > 0, 1000, 1e-6),
            ("small", index % 3 > 0, 2000, 2e-6),
            ("large", True, 0, 1e-4),
            ("mute", False, 0, 1e-6),
        )
        if not (model == "large" and index == 0)
    ]
    models = [
        {"model": name, "provider": name, "input_usd_per_m": 1.0, "output_usd_per_m": 1.0, "context_tokens": 8192, "alias_core": None}
        for name in ("tiny", "small", "large", "mute")
    ]
    for name, table in (("questions", questions), ("responses", rows), ("models", models)):
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    return folder
