"""The report as JSON, Markdown and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.chart import Axis, Chart, Line, Point, draw
from benchmarks.decision_quality.break_even import BreakEven, break_evens
from benchmarks.decision_quality.judging import Evidence, Risk
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured."""

    rows: tuple[Row, ...]
    judges: tuple[Evidence, ...]
    risks: tuple[Risk, ...]


def write_report(folder: Path, report: Report) -> None:
    """Writes `report.json`, `report.md` and one `frontier-POOL.svg` per pool into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    evens = [asdict(entry) for entry in break_evens(report.rows)]
    text = json.dumps({**asdict(report), "break_even": evens}, indent=1, ensure_ascii=False)
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
        parts.extend(_break_even_lines(break_evens(own)))
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


def _break_even_lines(rows: Sequence[BreakEven]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        "What judging one answer may cost before one call chosen by the learned router nets more:",
        "",
        "| setting | worth of a right answer, USD | USD per judged answer | × a call of the best single |",
        "| --- | --- | --- | --- |",
        *(f"| {row.setting} | {row.worth_usd:.4f} | {row.usd_per_judged_answer:.6f} | {row.share_of_best_call:+.3f} |" for row in rows),
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
