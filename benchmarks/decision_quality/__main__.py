"""Measures decisions on recorded answers: ``python -m benchmarks.decision_quality --data DIR``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.decision_quality.deciders import CALIBRATION, CLEAR_RULE, TOKENS_MAX, learned_decider, open_deciders, open_panel
from benchmarks.decision_quality.fit_on import Grown, Lesson, draw, grow, is_strange
from benchmarks.decision_quality.judging import Evidence, Risk
from benchmarks.decision_quality.known import known_from
from benchmarks.decision_quality.measure import Meter, Row
from benchmarks.decision_quality.methods import Bench, all_rows
from benchmarks.decision_quality.play import play_picks
from benchmarks.decision_quality.pools import DEFINED, TRAIN, Floats, Pool, PoolDefinition, build_pool, pool_named
from benchmarks.decision_quality.recordings import read_recordings
from benchmarks.decision_quality.replay import InlineJudge
from benchmarks.decision_quality.report import Report, markdown, write_report
from benchmarks.decision_quality.through_grpc import SAMPLE, Agreement, compare_pool, table, write_agreements
from cascade_service.adapters.onnx_gain import open_gain_model
from judge_service.adapters.calibration_file import load_calibration
from judge_service.adapters.local_judges import agreement_judge
from judge_service.domain.panel import Panel
from router_service.adapters.onnx_heads import open_heads
from router_service.adapters.suitability_artifact import read_suitability
from router_service.domain.models import CandidateModel
from router_service.domain.routing import Decider, RoutingPolicy, TaxonomyDecider
from servicekit.artifacts import load_manifest
from training.embeddings import EmbeddingCache
from training.heads import TaxonomyHeads


def main() -> None:
    """Measures every method on every pool asked for, and writes the report."""
    arguments = _arguments()
    if arguments.through_grpc:
        sys.exit(_compare(arguments))
    report = Report(rows=(), judges=(), risks=())
    for name in arguments.pool or tuple(DEFINED):
        found = asyncio.run(_measure(pool_named(name), arguments))
        report = Report(
            rows=(*report.rows, *(row for row in found if isinstance(row, Row))),
            judges=(*report.judges, *(row for row in found if isinstance(row, Evidence))),
            risks=(*report.risks, *(row for row in found if isinstance(row, Risk))),
        )
        write_report(arguments.output, report)
    print(markdown(report))
    print(f"written to {arguments.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decision_quality", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument(
        "--pool", action="append", help=f"pool to measure, may be repeated: {', '.join(DEFINED)}, or a JSON file (default: all)"
    )
    parser.add_argument("--split", default="dev", help="value of the split column to measure on")
    parser.add_argument("--limit", type=int, default=0, help="measure on so many questions only, evenly spread (0: all)")
    parser.add_argument("--fit-on", type=int, default=0, help="labelled answers of each unknown model, or of unknown datasets (0: none)")
    parser.add_argument("--output", type=Path, default=Path(".emafusion/decision_quality"), help="folder of the report")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the published artifacts")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    parser.add_argument(
        "--through-grpc",
        type=int,
        nargs="?",
        const=SAMPLE,
        default=0,
        metavar="N",
        help=f"instead, ask N questions of each pool (default: {SAMPLE}) in process and through the real services, and compare",
    )
    return parser.parse_args()


def _compare(arguments: argparse.Namespace) -> int:
    """The exit code: 1 when the services decide otherwise than the benchmark on any question."""
    deciders = open_deciders(arguments.artifacts)
    found: list[Agreement] = []
    for name in arguments.pool or tuple(DEFINED):
        measured, train = _pool(pool_named(name), arguments)
        known = known_from(train, measured, read_suitability(arguments.artifacts / "suitability"))
        found += compare_pool(measured, arguments.split, known, deciders, data=arguments.data, count=arguments.through_grpc)
        write_agreements(arguments.output, found)
    print(table(found))
    return int(any(agreement.differ for agreement in found))


def _pool(definition: PoolDefinition, arguments: argparse.Namespace) -> tuple[Pool, Pool]:
    """The questions to measure on, and those of the training split."""
    pool = build_pool(definition, read_recordings(arguments.data, definition.arenas, texts_of=arguments.split))
    if not pool.part(arguments.split).questions:
        raise SystemExit(f"pool {pool.name} has no questions of split {arguments.split!r}")
    return pool.part(arguments.split), pool.part(TRAIN)


async def _measure(definition: PoolDefinition, arguments: argparse.Namespace) -> list[Row | Evidence | Risk]:
    started = time.monotonic()
    measured, train = _pool(definition, arguments)
    labelled, measured = draw(train, measured, arguments.fit_on if is_strange(arguments.artifacts, measured) else 0)
    measured = measured.first(arguments.limit) if arguments.limit else measured
    counts = f"{len(measured.questions)} questions of {arguments.split}, {len(train.questions)} of {TRAIN}"
    print(f"{measured.name}: {counts}, {len(measured.endpoints)} models", file=sys.stderr, flush=True)
    if labelled.questions:
        print(f"{measured.name}: labels of {len(labelled.questions)} further questions were shown", file=sys.stderr, flush=True)
    bench = await _bench(measured, train, labelled, arguments)
    rows: list[Row | Evidence | Risk] = []
    async for row in all_rows(bench):
        rows.append(row)
        if isinstance(row, Evidence):
            print(f"  {row.evidence}: AUROC {row.auroc:.3f}, ECE {row.ece:.3f}", flush=True)
        elif isinstance(row, Row) and row.method != "single":
            print(
                f"  {row.method} {row.setting}: {row.delta_to_best_single:+.2f} points at {row.cost_ratio_to_best_single:.3f}×", flush=True
            )
    print(f"{measured.name} took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return rows


async def _bench(measured: Pool, train: Pool, labelled: Pool, arguments: argparse.Namespace) -> Bench:
    artifacts: Path = arguments.artifacts
    cache = EmbeddingCache(arguments.cache, encoder=artifacts / "encoder", tokens_max=TOKENS_MAX)
    lesson = Lesson(tuple(zip(labelled.questions, labelled.answers, strict=True)), _embed(cache, labelled).astype(np.float32))
    grown = grow(artifacts, measured, lesson, TaxonomyHeads(artifacts / "taxonomy", cache).cells)
    known = known_from(train, measured, grown.table)
    vectors = _embed(cache, measured)
    best = play_picks(measured, np.full(len(measured.questions), known.best))
    agreement = (InlineJudge(agreement_judge("agreement")),)
    return Bench(
        measured=measured,
        train=train,
        known=known,
        meter=Meter(measured.name, arguments.split, best, float(measured.cost.mean())),
        vectors=vectors,
        train_vectors=_embed(cache, train),
        quality=await _qualities(grown, measured, vectors),
        taxonomy=_taxonomy(artifacts, grown),
        learned=None if grown.predictor is None else learned_decider(artifacts, table=grown.table, predictor=grown.predictor),
        agreement=Panel(agreement, load_calibration(artifacts / CALIBRATION), early_stop=False, clock=time.monotonic),
        panel=open_panel(artifacts),
        gain_model=open_gain_model(artifacts / "value"),
    )


def _embed(cache: EmbeddingCache, pool: Pool) -> Floats:
    if not pool.questions:
        return np.zeros((0, 0))
    return cache.embed([question.text for question in pool.questions]).astype(np.float64)


async def _qualities(grown: Grown, pool: Pool, vectors: Floats) -> Floats:
    """What the learned router predicts of every recorded answer, NaN for models that it can say nothing of."""
    rows: list[list[float]] = []
    for answers, vector in zip(pool.answers, vectors, strict=True):
        predicted = await grown.predictor.predict(vector.astype(np.float32)) if grown.predictor is not None else {}
        rows.append([predicted[answer.model].mean if answer.model in predicted else np.nan for answer in answers])
    return np.array(rows)


def _taxonomy(artifacts: Path, grown: Grown) -> Callable[[tuple[CandidateModel, ...]], Decider]:
    heads = open_heads(artifacts / "taxonomy", load_manifest(artifacts / "taxonomy"))
    policy = RoutingPolicy(clear_rule=CLEAR_RULE, slow_weight=0.0, policy_hash="")

    def decider(models: tuple[CandidateModel, ...]) -> Decider:
        return TaxonomyDecider(models=models, table=grown.table, policy=policy, fast=heads, slow=None, clock=time.monotonic)

    return decider


if __name__ == "__main__":
    main()
