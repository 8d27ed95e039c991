"""The report as JSON, Markdown and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.decision_quality.measure import Row

WIDTH, HEIGHT, MARGIN = 900, 560, 60
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94", "#d08c00", "#008b8b", "#888888", "#b0306a")
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
    methods = list(dict.fromkeys(row.method for row in shown))

    def place(row: Row) -> tuple[float, float]:
        across = row.cost_ratio_to_best_single / PLOTTED_COST_MAX
        up = (row.delta_to_best_single - low) / (high - low)
        return MARGIN + across * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    parts.extend(_axes(rows[0], low=low, high=high))
    for number, method in enumerate(methods):
        colour = COLOURS[number % len(COLOURS)]
        own = sorted((row for row in shown if row.method == method), key=lambda row: row.cost_ratio_to_best_single)
        points = [place(row) for row in own]
        if len(points) > 1 and method != "single":
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{escape(row.setting)}</title></circle>'
            for row, (x, y) in zip(own, points, strict=True)
        )
        parts.append(f'<text x="{WIDTH - MARGIN - 150}" y="{HEIGHT - MARGIN - 20 - 18 * number}" fill="{colour}">{escape(method)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(row: Row, *, low: float, high: float) -> list[str]:
    bottom, top = HEIGHT - MARGIN, MARGIN
    zero = bottom - (0.0 - low) / (high - low) * (bottom - top)
    title = f"{row.pool}, {row.split}, {row.n} questions"
    middle = f"{HEIGHT / 2:.0f}"
    parts = [
        f'<text x="{WIDTH / 2}" y="24" text-anchor="middle" font-size="15">{escape(title)}</text>',
        f'<line x1="{MARGIN}" y1="{zero:.1f}" x2="{WIDTH - MARGIN}" y2="{zero:.1f}" stroke="#bbb" stroke-dasharray="4"/>',
        f'<line x1="{MARGIN}" y1="{bottom}" x2="{WIDTH - MARGIN}" y2="{bottom}" stroke="black"/>',
        f'<line x1="{MARGIN}" y1="{top}" x2="{MARGIN}" y2="{bottom}" stroke="black"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 15}" text-anchor="middle">cost relative to the best single model</text>',
        f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">points to the best single model</text>',
    ]
    for step in range(7):
        ratio = PLOTTED_COST_MAX * step / 6
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / 6
        parts.append(f'<text x="{x:.0f}" y="{bottom + 18}" text-anchor="middle">{ratio:.2f}</text>')
    for step in range(int(low // 2) * 2, int(high) + 1, 2):
        y = bottom - (step - low) / (high - low) * (bottom - top)
        if top <= y <= bottom:
            parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.0f}" text-anchor="end">{step:+d}</text>')
    return parts
