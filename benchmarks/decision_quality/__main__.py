"""Measures decisions on recorded answers: ``python -m benchmarks.decision_quality --data DIR``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.decision_quality.known import known_from
from benchmarks.decision_quality.measure import Meter, Row
from benchmarks.decision_quality.methods import Bench, all_rows
from benchmarks.decision_quality.play import play_picks
from benchmarks.decision_quality.pools import DEFINED, TRAIN, Floats, Pool, PoolDefinition, build_pool, pool_named
from benchmarks.decision_quality.recordings import read_recordings
from benchmarks.decision_quality.report import markdown, write_report
from judge_service.adapters.calibration_file import load_calibration
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.adapters.local_judges import agreement_judge, checks_judge
from judge_service.domain.panel import Panel
from router_service.adapters.onnx_heads import open_heads
from router_service.adapters.onnx_quality import open_quality
from router_service.adapters.suitability_artifact import read_suitability
from router_service.domain.learned import Blend, LearnedDecider
from router_service.domain.models import CandidateModel
from router_service.domain.routing import Decider, RoutingPolicy, TaxonomyDecider
from router_service.domain.taxonomy import Axis, ClearRule
from servicekit.artifacts import load_manifest
from training.embeddings import EmbeddingCache

CLEAR_RULE = ClearRule((Axis.DOMAIN, Axis.REASONING_COMPLEXITY), 0.5)
"""The default of the router's configuration."""
TOKENS_MAX = 256
"""Tokens of a question that the encoder reads: the default of the router's configuration."""


def main() -> None:
    """Measures every method on every pool asked for, and writes the report."""
    arguments = _arguments()
    rows: list[Row] = []
    for name in arguments.pool or tuple(DEFINED):
        rows.extend(asyncio.run(_measure(pool_named(name), arguments)))
        write_report(arguments.output, rows, [])
    print(markdown(rows))
    print(f"written to {arguments.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decision_quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument(
        "--pool", action="append", help=f"pool to measure, may be repeated: {', '.join(DEFINED)}, or a JSON file (default: all)"
    )
    parser.add_argument("--split", default="dev", help="value of the split column to measure on")
    parser.add_argument("--limit", type=int, default=0, help="measure on so many questions only, evenly spread (0: all)")
    parser.add_argument("--output", type=Path, default=Path(".emafusion/decision_quality"), help="folder of the report")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the published artifacts")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


async def _measure(definition: PoolDefinition, arguments: argparse.Namespace) -> list[Row]:
    started = time.monotonic()
    pool = build_pool(definition, read_recordings(arguments.data, definition.arenas, texts_of=arguments.split))
    measured, train = pool.part(arguments.split), pool.part(TRAIN)
    if not measured.questions:
        raise SystemExit(f"pool {pool.name} has no questions of split {arguments.split!r}")
    measured = measured.first(arguments.limit) if arguments.limit else measured
    counts = f"{len(measured.questions)} questions of {arguments.split}, {len(train.questions)} of {TRAIN}"
    print(f"{pool.name}: {counts}, {len(pool.endpoints)} models", file=sys.stderr, flush=True)
    bench = _bench(measured, train, arguments)
    rows: list[Row] = []
    async for row in all_rows(bench):
        rows.append(row)
        if row.method != "single":
            print(
                f"  {row.method} {row.setting}: {row.delta_to_best_single:+.2f} points at {row.cost_ratio_to_best_single:.3f}×", flush=True
            )
    print(f"{pool.name} took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return rows


def _bench(measured: Pool, train: Pool, arguments: argparse.Namespace) -> Bench:
    artifacts: Path = arguments.artifacts
    cache = EmbeddingCache(arguments.cache, encoder=artifacts / "encoder", tokens_max=TOKENS_MAX)
    known = known_from(train, measured, read_suitability(artifacts / "suitability"))
    best = play_picks(measured, np.full(len(measured.questions), known.best))
    calibration = load_calibration(artifacts / "calibration")
    checks, agreement = checks_judge("checks", JsonSchemaValidator()), agreement_judge("agreement")
    return Bench(
        measured=measured,
        train=train,
        known=known,
        meter=Meter(measured.name, arguments.split, best, float(measured.cost.mean())),
        vectors=_embed(cache, measured),
        train_vectors=_embed(cache, train),
        taxonomy=_taxonomy(artifacts),
        learned=learned_decider(artifacts) if (artifacts / "learned").exists() else None,
        agreement=Panel((agreement,), calibration, early_stop=False, clock=time.monotonic),
        panel=Panel((checks, agreement), calibration, early_stop=False, clock=time.monotonic),
    )


def _embed(cache: EmbeddingCache, pool: Pool) -> Floats:
    if not pool.questions:
        return np.zeros((0, 0))
    return cache.embed([question.text for question in pool.questions]).astype(np.float64)


def _taxonomy(artifacts: Path) -> Callable[[tuple[CandidateModel, ...]], Decider]:
    heads = open_heads(artifacts / "taxonomy", load_manifest(artifacts / "taxonomy"))
    table = read_suitability(artifacts / "suitability")
    policy = RoutingPolicy(clear_rule=CLEAR_RULE, slow_weight=0.0, policy_hash="")

    def decider(models: tuple[CandidateModel, ...]) -> Decider:
        return TaxonomyDecider(models=models, table=table, policy=policy, fast=heads, slow=None, clock=time.monotonic)

    return decider


def learned_decider(artifacts: Path) -> Callable[[tuple[CandidateModel, ...]], Decider]:
    """The learned router of ``artifacts``, for any models."""
    heads = open_heads(artifacts / "taxonomy", load_manifest(artifacts / "taxonomy"))
    table = read_suitability(artifacts / "suitability")
    predictor = open_quality(artifacts / "learned", load_manifest(artifacts / "learned"))
    policy = RoutingPolicy(clear_rule=CLEAR_RULE, slow_weight=0.0, policy_hash="")

    def decider(models: tuple[CandidateModel, ...]) -> Decider:
        return LearnedDecider(
            models=models, predictor=predictor, blend=Blend(1.0), table=table, policy=policy, fast=heads, slow=None, clock=time.monotonic
        )

    return decider


if __name__ == "__main__":
    main()
