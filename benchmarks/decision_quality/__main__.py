"""Measures decisions on recorded answers: ``python -m benchmarks.decision_quality --data DIR``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

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
from cascade_service.adapters.onnx_gain import open_gain_model
from judge_service.adapters.calibration_file import load_calibration
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.adapters.local_judges import agreement_judge, checks_judge
from judge_service.adapters.onnx_verifier import verifier_judge
from judge_service.domain.panel import Panel
from router_service.adapters.onnx_heads import open_heads
from router_service.domain.learned import Blend, LearnedDecider
from router_service.domain.models import CandidateModel
from router_service.domain.routing import Decider, RoutingPolicy, TaxonomyDecider
from router_service.domain.taxonomy import Axis, ClearRule
from servicekit.artifacts import load_manifest
from training.embeddings import EmbeddingCache
from training.heads import TaxonomyHeads

CLEAR_RULE = ClearRule((Axis.DOMAIN, Axis.REASONING_COMPLEXITY), 0.5)
"""The default of the router's configuration."""
CHECKS, AGREEMENT, VERIFIER = "checks", "agreement", "verifier"
TOKENS_MAX = 256
"""Tokens of a question that the encoder reads: the default of the router's configuration."""


def main() -> None:
    """Measures every method on every pool asked for, and writes the report."""
    arguments = _arguments()
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
    return parser.parse_args()


async def _measure(definition: PoolDefinition, arguments: argparse.Namespace) -> list[Row | Evidence | Risk]:
    started = time.monotonic()
    pool = build_pool(definition, read_recordings(arguments.data, definition.arenas, texts_of=arguments.split))
    measured, train = pool.part(arguments.split), pool.part(TRAIN)
    if not measured.questions:
        raise SystemExit(f"pool {pool.name} has no questions of split {arguments.split!r}")
    labelled, measured = draw(train, measured, arguments.fit_on if is_strange(arguments.artifacts, pool) else 0)
    measured = measured.first(arguments.limit) if arguments.limit else measured
    counts = f"{len(measured.questions)} questions of {arguments.split}, {len(train.questions)} of {TRAIN}"
    print(f"{pool.name}: {counts}, {len(pool.endpoints)} models", file=sys.stderr, flush=True)
    if labelled.questions:
        print(f"{pool.name}: labels of {len(labelled.questions)} further questions were shown", file=sys.stderr, flush=True)
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
    print(f"{pool.name} took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return rows


async def _bench(measured: Pool, train: Pool, labelled: Pool, arguments: argparse.Namespace) -> Bench:
    artifacts: Path = arguments.artifacts
    cache = EmbeddingCache(arguments.cache, encoder=artifacts / "encoder", tokens_max=TOKENS_MAX)
    lesson = Lesson(tuple(zip(labelled.questions, labelled.answers, strict=True)), _embed(cache, labelled).astype(np.float32))
    grown = grow(artifacts, measured, lesson, TaxonomyHeads(artifacts / "taxonomy", cache).cells)
    known = known_from(train, measured, grown.table)
    vectors = _embed(cache, measured)
    best = play_picks(measured, np.full(len(measured.questions), known.best))
    return Bench(
        measured=measured,
        train=train,
        known=known,
        meter=Meter(measured.name, arguments.split, best, float(measured.cost.mean())),
        vectors=vectors,
        train_vectors=_embed(cache, train),
        quality=await _qualities(grown, measured, vectors),
        taxonomy=_taxonomy(artifacts, grown),
        learned=learned_decider(artifacts, grown),
        agreement=recorded_panel(artifacts, AGREEMENT),
        panel=recorded_panel(artifacts),
        gain_model=open_gain_model(artifacts / "value"),
    )


def recorded_panel(artifacts: Path, *names: str) -> Panel:
    """The judges that ask no model, or those with these ``names``, calibrated on the recorded answers."""
    judges = {
        CHECKS: lambda: checks_judge(CHECKS, JsonSchemaValidator()),
        AGREEMENT: lambda: agreement_judge(AGREEMENT),
        VERIFIER: lambda: verifier_judge(VERIFIER, artifacts / "verifier"),
    }
    members = tuple(InlineJudge(judges[name]()) for name in names or judges)
    return Panel(members, load_calibration(artifacts / "calibration-recorded"), early_stop=False, clock=time.monotonic)


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


def learned_decider(artifacts: Path, grown: Grown) -> Callable[[tuple[CandidateModel, ...]], Decider] | None:
    """The learned router of ``artifacts`` for any models, with what ``grown`` knows of new ones; None when nothing was learned."""
    if (predictor := grown.predictor) is None:
        return None
    heads = open_heads(artifacts / "taxonomy", load_manifest(artifacts / "taxonomy"))
    policy = RoutingPolicy(clear_rule=CLEAR_RULE, slow_weight=0.0, policy_hash="")

    def decider(models: tuple[CandidateModel, ...]) -> Decider:
        return LearnedDecider(
            models=models,
            predictor=predictor,
            blend=Blend(1.0),
            table=grown.table,
            policy=policy,
            fast=heads,
            slow=None,
            clock=time.monotonic,
        )

    return decider


if __name__ == "__main__":
    main()
