"""The report as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.decomposition.measure import Pair, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What the splitter made of requests composed in one form: shares that were split exactly, not at all, or otherwise."""

    pool: str
    form: str
    made_of: str
    n: int
    exact: float
    whole: float
    wrong: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseSplits:
    """Recorded single questions that were split."""

    made_of: str
    n: int
    split: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured."""

    rows: Sequence[Row]
    pairs: Sequence[Pair]
    recovery: Sequence[Recovery]
    false_splits: Sequence[FalseSplits]


def write_report(folder: Path, report: Report) -> None:
    """Writes `report.json` and `report.md` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")


def markdown(report: Report) -> str:
    """The tables."""
    lines = ["## Splitter", "", *_table("pool", "form", "made of", "requests", "exact", "left whole", "wrong")]
    lines += [
        f"| {one.pool} | {one.form} | {one.made_of} | {one.n} | {one.exact:.1%} | {one.whole:.1%} | {one.wrong:.1%} |"
        for one in report.recovery
    ]
    lines += ["", *_table("single questions as", "questions", "split by mistake")]
    lines += [f"| {one.made_of} | {one.n} | {one.split} ({one.split / one.n:.2%}) |" for one in report.false_splits]
    for pool in dict.fromkeys(one.pool for one in report.rows):
        own = [one for one in report.rows if one.pool == pool]
        lines += ["", f"## {pool}, {own[0].n} requests", "", *_table(*_COLUMNS), *map(_line, own)]
        lines += ["", *_table("method", "all right ≥", "split × best", "whole × best", "saved by splitting (95 %)")]
        lines += [_pair_line(one) for one in report.pairs if one.pool == pool]
    return "\n".join(lines) + "\n"


_COLUMNS = (
    "method",
    "setting",
    "split",
    "all right",
    "points to best single (95 %)",
    "questions right",
    "× best single (95 %)",
    "USD per 1k",
)


def _table(*columns: str) -> tuple[str, str]:
    return f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"


def _line(row: Row) -> str:
    return (
        f"| {row.method} | {row.setting} | {row.split:.0%} | {row.accuracy:.1%} | "
        f"{row.delta:+.2f} ({row.delta_low:+.2f} to {row.delta_high:+.2f}) | {row.share_right:.1%} | "
        f"{row.cost_ratio:.3f} ({row.cost_low:.3f} to {row.cost_high:.3f}) | {row.usd_per_1k:.3f} |"
    )


def _pair_line(pair: Pair) -> str:
    split = f"{pair.split_cost:.3f} ({pair.split_setting})"
    whole = f"{pair.whole_cost:.3f} ({pair.whole_setting})"
    saved = f"{pair.saving:.0%} ({pair.saving_low:.0%} to {pair.saving_high:.0%})"
    return f"| {pair.method} | {pair.floor:.1%} | {split} | {whole} | {saved} |"
