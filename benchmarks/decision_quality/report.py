"""The report as JSON, Markdown and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.decision_quality.judging import Evidence, Risk
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured."""

    rows: tuple[Row, ...]
    judges: tuple[Evidence, ...]
    risks: tuple[Risk, ...]


def write_report(folder: Path, report: Report) -> None:
    """Writes `report.json`, `report.md` and one `frontier-POOL.svg` per pool into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(report), indent=1, ensure_ascii=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    for pool in dict.fromkeys(row.pool for row in report.rows):
        (folder / f"frontier-{pool}.svg").write_text(frontier([row for row in report.rows if row.pool == pool]), encoding="utf-8")


def markdown(report: Report) -> str:
    """Tables by pool: methods, judges, risks."""
    parts: list[str] = []
    for pool in dict.fromkeys(row.pool for row in report.rows):
        own = [row for row in report.rows if row.pool == pool]
        parts.append(f"## {pool}, split {own[0].split}, {own[0].n} questions\n")
        parts.append(f"| {' | '.join(COLUMNS)} |")
        parts.append(f"|{' --- |' * len(COLUMNS)}")
        parts.extend(_line(row) for row in own)
        parts.extend(_judge_lines([row for row in report.judges if row.pool == pool]))
        parts.extend(_risk_lines([row for row in report.risks if row.pool == pool]))
        parts.append("")
    return "\n".join(parts) + "\n"


def _judge_lines(rows: Sequence[Evidence]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        "| the panel on | n | right | AUROC (95 %) | ECE |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {row.evidence} | {row.n} | {row.right:.1%} "
            f"| {row.auroc:.3f} ({row.auroc_low:.3f} to {row.auroc_high:.3f}) | {row.ece:.3f} |"
            for row in rows
        ),
    ]


def _risk_lines(rows: Sequence[Risk]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        f"Thresholds certified on one half of the questions and tried on the other, {rows[0].resplits} times:",
        "",
        "| method | setting | P(wrong given accepted) ≤ | with confidence | broken | no certificate | accepted |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row.method} | {row.setting} | {row.wrong_max:g} | {row.confidence:g} | {row.violated:.1%} | {row.refused:.1%} "
            f"| {row.accepted:.1%} |"
            for row in rows
        ),
    ]


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
