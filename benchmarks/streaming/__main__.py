"""``python -m benchmarks.streaming --data DIR``: the delivery modes over recorded answers of a ladder of models, in virtual time.

The cascade, the checks judge and its calibration are the real ones; whole answers are judged by what the recording says of them. No
recorded model can continue another's text, so with PREFIX_COMMIT an answer whose beginning is final is finished whatever comes of it.
Time passes only at the pace of the models and for the panel (``--panel-seconds``); judging a beginning takes none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs] - has none
from rich.console import Console
from rich.table import Table

from benchmarks.streaming.stage import Item, PerfectPanel, Setting, cascade_of, recorded_models, request_of
from benchmarks.streaming.virtual_time import VirtualTimeLoop
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.events import Committed, Completed, DeliveryMode, Delta, Retracted
from providers.recording import Recording

LADDER = ("gemma-2-2b-it", "Meta-Llama-3-8B-Instruct", "gpt-4o-2024-05-13")
SETTINGS = (
    Setting(name="buffered", delivery=DeliveryMode.BUFFERED),
    Setting(name="speculative", delivery=DeliveryMode.SPECULATIVE),
    Setting(name="prefix, never final early", delivery=DeliveryMode.PREFIX_COMMIT),
    Setting(name="prefix, hold 16", delivery=DeliveryMode.PREFIX_COMMIT, hold_tokens=16, prefix_threshold=0.4),
    Setting(name="prefix, hold 48", delivery=DeliveryMode.PREFIX_COMMIT, prefix_threshold=0.4),
    Setting(name="prefix, hold 192", delivery=DeliveryMode.PREFIX_COMMIT, hold_tokens=192, prefix_threshold=0.4),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one question: virtual seconds from its start, output tokens, and whether the answer given is right."""

    first_text_s: float
    first_final_s: float
    total_s: float
    output_tokens: int
    wasted_tokens: int
    saved_tokens: int
    aborted: int
    retractions: int
    attempts: int
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to deliver. Times in virtual seconds; tokens are means per question; shares are 0.0 to 1.0."""

    setting: str
    questions: int
    first_text_p50_s: float
    first_final_p50_s: float
    first_final_p90_s: float
    total_mean_s: float
    output_tokens: float
    wasted_tokens: float
    saved_tokens: float
    aborted_share: float
    retracted_share: float
    attempts: float
    right_share: float


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with responses.parquet and questions.parquet")
    parser.add_argument("--models", default=",".join(LADDER), help="the ladder, cheapest first")
    parser.add_argument("--questions", type=int, default=400, help="how many, drawn at random from those that all models answered")
    parser.add_argument("--tokens-per-second", type=float, default=40.0, help="pace of every model")
    parser.add_argument("--panel-seconds", type=float, default=0.5, help="time that the whole panel takes for an answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calibration", type=Path, default=Path("artifacts/calibration"))
    parser.add_argument("--output", type=Path, help="file for the rows as JSON")
    chosen = parser.parse_args()
    ladder = tuple(chosen.models.split(","))
    items = draw(read_items(chosen.data, ladder), chosen.questions, seed=chosen.seed)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        rows = runner.run(measure(items, ladder, chosen))
    show(rows)
    if chosen.output:
        chosen.output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def read_items(data: Path, ladder: Sequence[str]) -> list[Item]:
    """The questions that every model of the ladder was recorded to answer, each prompt once."""
    parquet: Any = pq
    right: dict[str, dict[str, bool]] = {}
    answers = parquet.read_table(data / "responses.parquet", columns=["question_id", "model", "correct"], filters=[("model", "in", ladder)])
    for row in answers.to_pylist():
        if row["correct"] is not None:
            right.setdefault(row["question_id"], {}).setdefault(row["model"], bool(row["correct"]))
    by_prompt: dict[str, Item] = {}
    for row in parquet.read_table(data / "questions.parquet", columns=["question_id", "prompt"]).to_pylist():
        if len(right.get(row["question_id"], {})) == len(ladder):
            by_prompt.setdefault(row["prompt"], Item(row["prompt"], right[row["question_id"]]))
    return list(by_prompt.values())


def draw(items: Sequence[Item], count: int, *, seed: int) -> list[Item]:
    """``count`` of the items, the same ones for the same seed."""
    return random.Random(seed).sample(list(items), min(count, len(items)))  # noqa: S311 - no secret


async def measure(items: Sequence[Item], ladder: Sequence[str], chosen: argparse.Namespace) -> list[Row]:
    """One row per setting."""
    recording = Recording(chosen.data / "responses.parquet")
    models = recorded_models(recording, ladder, tokens_per_second=chosen.tokens_per_second)
    await recording.find(ladder[0], ())  # reads the file in a thread, before any timer runs
    panel = PerfectPanel(chosen.calibration, {item.prompt: item for item in items}, panel_s=chosen.panel_seconds)
    cascade = cascade_of(models, panel)
    return [summed_up(setting, [await answered(cascade, item, setting, ladder) for item in items]) for setting in SETTINGS]


async def answered(cascade: Cascade, item: Item, setting: Setting, ladder: Sequence[str]) -> Outcome:
    """One question answered from beginning to end."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    moments: dict[type, float] = {}
    retractions = 0
    async with aclosing(cascade.answer(request_of(item, setting, ladder, now_s=started_s))) as events:
        async for event in events:
            moments.setdefault(type(event), loop.time() - started_s)
            retractions += isinstance(event, Retracted)
            if isinstance(event, Completed):
                completion = event.completion
                break
        else:
            raise RuntimeError("the stream ended without an answer")
    wasted = sum(attempt.usage.output_tokens for attempt in completion.attempts if not attempt.chosen)
    return Outcome(
        first_text_s=moments[Delta],
        first_final_s=moments[Committed],
        total_s=loop.time() - started_s,
        output_tokens=completion.usage.output_tokens,
        wasted_tokens=wasted,
        saved_tokens=sum(attempt.tokens_saved for attempt in completion.attempts),
        aborted=sum(attempt.aborted_early for attempt in completion.attempts),
        retractions=retractions,
        attempts=len(completion.attempts),
        right=item.right[completion.model],
    )


def summed_up(setting: Setting, outcomes: Sequence[Outcome]) -> Row:
    """The row of a setting."""
    final = quantiles((outcome.first_final_s for outcome in outcomes), n=10, method="inclusive")
    return Row(
        setting=setting.name,
        questions=len(outcomes),
        first_text_p50_s=quantiles((outcome.first_text_s for outcome in outcomes), n=2, method="inclusive")[0],
        first_final_p50_s=final[4],
        first_final_p90_s=final[8],
        total_mean_s=fmean(outcome.total_s for outcome in outcomes),
        output_tokens=fmean(outcome.output_tokens for outcome in outcomes),
        wasted_tokens=fmean(outcome.wasted_tokens for outcome in outcomes),
        saved_tokens=fmean(outcome.saved_tokens for outcome in outcomes),
        aborted_share=fmean(outcome.aborted > 0 for outcome in outcomes),
        retracted_share=fmean(outcome.retractions > 0 for outcome in outcomes),
        attempts=fmean(outcome.attempts for outcome in outcomes),
        right_share=fmean(outcome.right for outcome in outcomes),
    )


def show(rows: Sequence[Row]) -> None:
    """The rows as a table."""
    table = Table("delivery", "first text p50", "first final p50", "p90", "total", "tokens", "wasted", "aborted", "retracted", "right")
    for row in rows:
        table.add_row(
            row.setting,
            f"{row.first_text_p50_s:.2f} s",
            f"{row.first_final_p50_s:.2f} s",
            f"{row.first_final_p90_s:.2f} s",
            f"{row.total_mean_s:.2f} s",
            f"{row.output_tokens:.0f}",
            f"{row.wasted_tokens:.0f}",
            f"{row.aborted_share:.1%}",
            f"{row.retracted_share:.1%}",
            f"{row.right_share:.1%}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
