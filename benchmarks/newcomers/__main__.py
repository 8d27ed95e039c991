"""Measures how well unseen models are known: ``python -m benchmarks.newcomers --data DIR``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.newcomers.leave_out import Score, guesses, score
from benchmarks.newcomers.material import Material, read_material
from benchmarks.newcomers.routing import read_stage
from router_service.domain.descriptors import family_of

POOLS = ("core", "rgym_easy", "zeroeval")


def main() -> None:
    """Leaves out every model, or every family, in turn; prints a table and writes it as JSON."""
    arguments = _arguments()
    material = read_material(arguments.data, arguments.artifacts, arguments.cache)
    stages = [read_stage(name, arguments.data, material) for name in arguments.pool or POOLS]
    scores: list[Score] = []
    lost: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    started = time.monotonic()
    groups = _groups(material, families=arguments.families)[:: arguments.every]
    for index, group in enumerate(groups, start=1):
        for guess in guesses(material, group):
            scores.append(score(guess, material))
            for stage in stages:
                if (points := stage.regret(guess, material)) is not None:
                    lost[stage.pool.name, guess.method, guess.labels].append(points)
        print(f"left out {index} of {len(groups)} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    left_out, known, points_lost = "family" if arguments.families else "model", _known(scores), _lost(lost)
    report = {"left_out": left_out, "known": known, "lost_points": points_lost}
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"newcomers-{left_out}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(_markdown(known) + "\n" + _markdown(points_lost))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.newcomers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--families", action="store_true", help="leave out whole families instead of single models")
    parser.add_argument("--pool", action="append", help=f"pool in which routing is measured, may be repeated (default: {', '.join(POOLS)})")
    parser.add_argument("--every", type=int, default=1, help="leave out every so many-th model or family only (default: 1, all)")
    parser.add_argument("--output", type=Path, default=Path(".emafusion/newcomers"), help="folder of the report")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the published artifacts")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


def _groups(material: Material, *, families: bool) -> list[tuple[int, ...]]:
    if not families:
        return [(model,) for model in range(len(material.cards))]
    found: dict[str, list[int]] = defaultdict(list)
    for model, card in enumerate(material.cards):
        found[family_of(card.upstream_name)].append(model)
    return [tuple(models) for models in found.values()]


def _known(scores: Sequence[Score]) -> list[dict[str, str | int | float]]:
    """Means over models and draws by method and number of labels; the error of ability and its ratio to the deviation as RMS."""
    found: dict[tuple[str, int], list[Score]] = defaultdict(list)
    for entry in scores:
        found[entry.method, entry.labels].append(entry)
    return [
        {
            "method": method,
            "labels": labels,
            "models": len({entry.model for entry in entries}),
            "auroc": round(float(np.nanmean([entry.auroc for entry in entries])), 4),
            "ece": round(float(np.mean([entry.ece for entry in entries])), 4),
            "brier": round(float(np.mean([entry.brier for entry in entries])), 4),
            "ability_rmse": round(float(np.sqrt(np.mean([entry.ability_error**2 for entry in entries]))), 4),
            "error_in_deviations": round(float(np.sqrt(np.mean([entry.deviations**2 for entry in entries]))), 2),
        }
        for (method, labels), entries in sorted(found.items())
    ]


def _lost(lost: dict[tuple[str, str, int], list[float]]) -> list[dict[str, str | int | float]]:
    """Mean points lost, and the most that any model cost, its draws averaged over."""
    return [
        {
            "pool": pool,
            "method": method,
            "labels": labels,
            "cases": len(points),
            "mean": round(float(np.mean(points)), 3),
            "worst": round(max(points), 2),
        }
        for (pool, method, labels), points in sorted(lost.items())
    ]


def _markdown(rows: Sequence[dict[str, str | int | float]]) -> str:
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(str(value) for value in row.values())} |" for row in rows)]) + "\n"


if __name__ == "__main__":
    main()
