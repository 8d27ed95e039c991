"""The report as JSON, Markdown and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.chart import Axis, Chart, Line, Point, draw
from benchmarks.decision_quality.measure import Row

COLUMNS = (
    "method",
    "setting",
    "accuracy (95 %)",
    "USD per 1k",
    "× best single",
    "× pool mean",
    "points to best single (95 %)",
    "attempts 1/2/3/4+",
)
PLOTTED_COST_MAX = 1.5
NOT_PLOTTED = frozenset({"oracle", "best single in hindsight"})


def write_report(folder: Path, rows: Sequence[Row], judges: Sequence[dict[str, object]]) -> None:
    """Writes `report.json`, `report.md` and one `frontier-POOL.svg` per pool into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": [asdict(row) for row in rows], "judges": list(judges)}, indent=1, ensure_ascii=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(rows), encoding="utf-8")
    for pool in dict.fromkeys(row.pool for row in rows):
        (folder / f"frontier-{pool}.svg").write_text(frontier([row for row in rows if row.pool == pool]), encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """One table per pool."""
    parts: list[str] = []
    for pool in dict.fromkeys(row.pool for row in rows):
        own = [row for row in rows if row.pool == pool]
        parts.append(f"## {pool}, split {own[0].split}, {own[0].n} questions\n")
        parts.append(f"| {' | '.join(COLUMNS)} |")
        parts.append(f"|{' --- |' * len(COLUMNS)}")
        parts.extend(_line(row) for row in own)
        parts.append("")
    return "\n".join(parts) + "\n"


def _line(row: Row) -> str:
    shares = [*row.attempts[:3], *[0.0] * (3 - len(row.attempts[:3])), sum(row.attempts[3:])]
    attempts = "/".join(f"{share:.0%}" for share in shares)
    return (
        f"| {row.method} | {row.setting} | {row.accuracy:.1%} ({row.accuracy_low:.1%} to {row.accuracy_high:.1%}) | {row.usd_per_1k:.3f} | "
        f"{row.cost_ratio_to_best_single:.3f} | {row.cost_ratio_to_pool_mean:.2f} | "
        f"{row.delta_to_best_single:+.2f} ({row.delta_low:+.2f} to {row.delta_high:+.2f}) | {attempts} |"
    )


def frontier(rows: Sequence[Row]) -> str:
    """Accuracy against cost as an SVG picture; rows of one method are joined in order of cost."""
    shown = [row for row in rows if row.method not in NOT_PLOTTED and row.cost_ratio_to_best_single <= PLOTTED_COST_MAX]
    low = max(min(row.delta_to_best_single for row in shown), -12.0)
    high = max(row.delta_to_best_single for row in shown) + 1.0
    shown = [row for row in shown if row.delta_to_best_single >= low]
    ratios = [PLOTTED_COST_MAX * step / 6 for step in range(7)]
    marks = [step for step in range(int(low // 2) * 2, int(high) + 1, 2) if low <= step <= high]
    chart = Chart(
        title=f"{rows[0].pool}, {rows[0].split}, {rows[0].n} questions",
        across=Axis(
            label="cost relative to the best single model",
            low=0.0,
            high=PLOTTED_COST_MAX,
            marks=tuple((ratio, f"{ratio:.2f}") for ratio in ratios),
        ),
        up=Axis(label="points to the best single model", low=low, high=high, marks=tuple((float(step), f"{step:+d}") for step in marks)),
        level=0.0,
        lines=[_plotted(method, shown) for method in dict.fromkeys(row.method for row in shown)],
    )
    return draw(chart)


def _plotted(method: str, rows: Sequence[Row]) -> Line:
    own = sorted((row for row in rows if row.method == method), key=lambda row: row.cost_ratio_to_best_single)
    points = [Point(x=row.cost_ratio_to_best_single, y=row.delta_to_best_single, note=row.setting) for row in own]
    return Line(name=method, points=tuple(points), joined=method != "single")
