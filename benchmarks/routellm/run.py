"""Runs the benchmark: tables in, report out."""

from __future__ import annotations

import argparse
import time

from benchmarks.routellm.features import see
from benchmarks.routellm.report import markdown, write_report
from benchmarks.routellm.rows import Bench, Row, all_rows, transfer_rows
from benchmarks.routellm.tables import FILES, LAYOUT, joined, read_table
from benchmarks.routellm.zero import predicted_gap


def run(arguments: argparse.Namespace) -> None:
    """Measures the tables asked for and writes the report. Ends the program when there is none."""
    started = time.monotonic()
    rows: list[Row] = []
    for name in arguments.table or tuple(FILES):
        rows.extend(_measure(name, arguments))
        if rows:
            write_report(arguments.output, rows)
    if not rows:
        raise SystemExit(f"{arguments.data} has none of the tables.\n{LAYOUT}")
    print(markdown(rows))
    print(f"written to {arguments.output} after {time.monotonic() - started:.0f} s")


def _measure(name: str, arguments: argparse.Namespace) -> list[Row]:
    table = read_table(arguments.data, name)
    if table is None:
        return []
    other = read_table(arguments.fit_on, name) if arguments.fit_on else None
    if arguments.fit_on and other is None:
        raise SystemExit(f"{arguments.fit_on} has no {FILES[name]}.\n{LAYOUT}")
    print(f"{name}: {len(table.prompts)} questions", flush=True)
    both = joined(other, table) if other else table
    seen = see(both, artifacts=arguments.artifacts, cache=arguments.cache, weak_model=arguments.weak)
    gap = predicted_gap(seen, arguments.artifacts, strong=arguments.strong, weak=arguments.weak)
    bench = Bench(both, seen, {"learned router, predicted gap": gap})
    return list(transfer_rows(bench, len(other.prompts)) if other else all_rows(bench))
