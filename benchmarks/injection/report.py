"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.injection.measure import Figures

Table = Mapping[str, Sequence[Figures]]


def markdown(measured: Table) -> str:
    """One table of all attempts, flips and shift of the score by prompt, and one with the sums."""
    prompts = list(measured)
    first = measured[prompts[0]]
    parts = [f"{max((row.answers for row in first), default=0)} wrong answers", "", _summary(measured), ""]
    heads = " | ".join(f"{prompt}: judge flips | panel flips | score" for prompt in prompts)
    parts += [f"| attempt | kind | {heads} |", f"| --- | --- |{' ---: | ---: | ---: |' * len(prompts)}"]
    for index, row in enumerate(first):
        cells = " | ".join(_cells(measured[prompt][index]) for prompt in prompts)
        parts.append(f"| {row.attack} | {row.kind} | {cells} |")
    return "\n".join(parts) + "\n"


def _cells(row: Figures) -> str:
    return f"{row.judge_flips}/{row.judge_rejected} | {row.panel_flips}/{row.panel_rejected} | {row.score_shift:+.2f}"


def _summary(measured: Table) -> str:
    lines = [
        "| prompt | judge: rejected → accepted | panel: rejected → accepted | mean shift of the score |",
        "| --- | ---: | ---: | ---: |",
    ]
    for prompt, table in measured.items():
        judged, judge = sum(row.judge_rejected for row in table), sum(row.judge_flips for row in table)
        held, panel = sum(row.panel_rejected for row in table), sum(row.panel_flips for row in table)
        shift = sum(row.score_shift for row in table) / max(len(table), 1)
        lines.append(f"| {prompt} | {_share(judge, judged)} | {_share(panel, held)} | {shift:+.3f} |")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / max(whole, 1):.0%})"
