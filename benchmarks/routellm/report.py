"""The report as JSON, Markdown and one plot per table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.chart import Axis, Chart, Line, Point, draw
from benchmarks.routellm.published import PUBLISHED, Published
from benchmarks.routellm.rows import EVERY, Row

COLUMNS = ("method", "labels of the pair", "from", "weak call always paid", "APGR (95 %)", "CPT50", "CPT80")
PLOTTED_MAX = 8


def write_report(folder: Path, rows: Sequence[Row]) -> None:
    """Writes `report.json`, `report.md` and one `curve-TABLE.svg` per table into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"rows": [asdict(row) for row in rows], "published": [asdict(row) for row in PUBLISHED]}
    (folder / "report.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(rows), encoding="utf-8")
    for table in dict.fromkeys(row.table for row in rows):
        (folder / f"curve-{table}.svg").write_text(curves([row for row in rows if row.table == table]), encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """One table of figures per part of each table, the published row last."""
    parts: list[str] = []
    for table, split in dict.fromkeys((row.table, row.split) for row in rows):
        own = [row for row in rows if (row.table, row.split) == (table, split)]
        heading = f"## {table}, {split}: {own[0].n} questions, weak {own[0].weak_accuracy:.1%}, strong {own[0].strong_accuracy:.1%}"
        parts.extend([heading, "", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"])
        parts.extend(_line(row) for row in own)
        parts.extend(_published_line(row) for row in PUBLISHED if row.table == table)
        parts.append("")
    return "\n".join(parts) + "\n"


def _line(row: Row) -> str:
    paid = "yes" if row.weak_always_paid else ""
    apgr = f"{row.apgr:.3f} ({row.apgr_low:.3f} to {row.apgr_high:.3f})"
    return f"| {row.method} | {row.labels:,} | {row.label_source} | {paid} | {apgr} | {row.cpt50:.1%} | {row.cpt80:.1%} |"


def _published_line(row: Published) -> str:
    cpt50 = "" if row.cpt50 is None else f"{row.cpt50:.1%}"
    return f"| {row.method} (published) | {row.labels} | other data | | {row.apgr:.3f} | {cpt50} | |"


def curves(rows: Sequence[Row]) -> str:
    """Accuracy against the share of strong calls: of each method the row with most labels, on the whole table where there is one."""
    whole = [row for row in rows if row.split == EVERY] or list(rows)
    best = {row.method: row for row in sorted(whole, key=lambda row: row.labels)}
    shown = list(best.values())[-PLOTTED_MAX:]
    values = [value for row in shown for _, value in row.curve]
    low, high = min(values), max(values)
    chart = Chart(
        title=f"{shown[0].table}, {shown[0].split}, {shown[0].n} questions",
        across=Axis(label="share of strong calls", low=0.0, high=1.0, marks=tuple((step / 5, f"{step / 5:.0%}") for step in range(6))),
        up=Axis(
            label="accuracy",
            low=low,
            high=high,
            marks=tuple((low + (high - low) * step / 5, _percent(low, high, step)) for step in range(6)),
        ),
        level=shown[0].strong_accuracy,
        lines=[_plotted(row) for row in shown],
    )
    return draw(chart)


def _percent(low: float, high: float, step: int) -> str:
    return f"{low + (high - low) * step / 5:.0%}"


def _plotted(row: Row) -> Line:
    note = f"{row.method}, {row.labels:,} labels, APGR {row.apgr:.3f}"
    return Line(name=row.method, points=tuple(Point(x=share, y=value, note=note) for share, value in row.curve))
