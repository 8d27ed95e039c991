"""Measures what splitting compound requests is worth: ``python -m benchmarks.decomposition --data DIR``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.decision_quality.deciders import TOKENS_MAX, learned_decider, open_panel
from benchmarks.decision_quality.fit_on import NOTHING_SHOWN, grow
from benchmarks.decision_quality.known import known_from
from benchmarks.decision_quality.pools import DEFINED, TRAIN, Floats, Pool, build_pool
from benchmarks.decision_quality.recordings import Question, read_questions, read_recordings
from benchmarks.decision_quality.replay import PanelInProcess, RouterInProcess, SilentJudge, candidate_of, reading_of
from benchmarks.decomposition.compose import FORMS, Compound, compose
from benchmarks.decomposition.measure import Pair, Row, pair, row
from benchmarks.decomposition.play import PARTS_MAX, Method, Played, play, play_single
from benchmarks.decomposition.report import FalseSplits, Recovery, Report, markdown, write_report
from cascade_service.domain import ports as cascade_ports
from cascade_service.domain.decomposition.rule_splitter import split_by_rules
from judge_service.domain.panel import Panel
from router_service.domain.models import CandidateModel
from router_service.domain.routing import Decider
from training.embeddings import EmbeddingCache
from training.heads import TaxonomyHeads

POOLS = ("core", "rgym_easy")
TRADE_OFFS = (0.5, 0.2, 0.1, 0.05, 0.02)
"""Points of accuracy (as a fraction) that one unit of the best single model's cost is worth."""
THRESHOLDS = (0.6, 0.8)
PLAN_MODELS_MAX = 4
LABELLED = tuple(form for form in FORMS if form != "paragraphs")
BEST = "best single"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """What the methods work with. Embeddings have length 1: ``parts`` by a question's index in the pool, ``wholes`` one row per request."""

    pool: Pool
    compounds: Sequence[Compound]
    parts: Mapping[int, Floats]
    wholes: Floats
    best: int
    decider: Callable[[tuple[CandidateModel, ...]], Decider]
    panel: Panel


def main() -> None:
    """Measures everything and writes the report."""
    arguments = _arguments()
    false_splits = _false_splits(read_questions(arguments.data))
    rows: list[Row] = []
    pairs: list[Pair] = []
    recovery: list[Recovery] = []
    for name in arguments.pool or POOLS:
        bench = _bench(name, arguments)
        recovery += _recovery(bench.pool, arguments.requests)
        found = asyncio.run(_measure(bench))
        rows += found[0]
        pairs += found[1]
        write_report(arguments.output, Report(rows=rows, pairs=pairs, recovery=recovery, false_splits=false_splits))
    print(markdown(Report(rows=rows, pairs=pairs, recovery=recovery, false_splits=false_splits)))
    print(f"written to {arguments.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decomposition", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--pool", action="append", choices=tuple(DEFINED), help=f"may be repeated (default: {', '.join(POOLS)})")
    parser.add_argument("--split", default="dev", help="value of the split column whose questions are used")
    parser.add_argument("--requests", type=int, default=500, help="most composed requests per pool")
    parser.add_argument("--output", type=Path, default=Path(".emafusion/decomposition"), help="folder of the report")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the published artifacts")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


def _bench(name: str, arguments: argparse.Namespace) -> _Bench:
    definition, artifacts = DEFINED[name], arguments.artifacts
    pool = build_pool(definition, read_recordings(arguments.data, definition.arenas, texts_of=arguments.split))
    measured, train = pool.part(arguments.split), pool.part(TRAIN)
    if not measured.questions:
        raise SystemExit(f"pool {name} has no questions of split {arguments.split!r}")
    compounds = compose(measured, count=arguments.requests, forms=LABELLED)
    members = [index for compound in compounds for index in compound.members]
    print(f"{name}: {len(compounds)} requests composed of {len(members)} questions", file=sys.stderr, flush=True)
    cache = EmbeddingCache(arguments.cache, encoder=artifacts / "encoder", tokens_max=TOKENS_MAX)
    grown = grow(artifacts, measured, NOTHING_SHOWN, TaxonomyHeads(artifacts / "taxonomy", cache).cells)
    if grown.predictor is None:
        raise SystemExit(f"{artifacts} has no learned router: run python -m training.learned_router")
    decider = learned_decider(artifacts, table=grown.table, predictor=grown.predictor)
    return _Bench(
        pool=measured,
        compounds=compounds,
        parts=dict(zip(members, cache.embed([measured.questions[index].text for index in members]).astype(np.float64), strict=True)),
        wholes=cache.embed([compound.asked for compound in compounds]).astype(np.float64),
        best=known_from(train, measured, grown.table).best,
        decider=decider,
        panel=open_panel(artifacts),
    )


async def _measure(bench: _Bench) -> tuple[list[Row], list[Pair]]:
    pool, best = bench.pool, play_single(bench.compounds, bench.best)
    rows = [row(pool.name, best, best, method=BEST, setting=pool.endpoints[bench.best])]
    pairs: list[Pair] = []
    for name, settings in (("learned router", _routed(bench, best)), ("learned cascade", _cascades(bench))):
        played: dict[bool, list[tuple[str, Played]]] = {True: [], False: []}
        for decompose in (True, False):
            for setting, method in settings:
                kind = "split" if decompose else "whole"
                found = await play(bench.compounds, method(decompose), label=f"{name}, {kind}, {setting}")
                played[decompose].append((setting, found))
                rows.append(row(pool.name, found, best, method=f"{name}, {kind}", setting=setting))
                print(f"  {rows[-1].method} {setting}: {rows[-1].delta:+.2f} at {rows[-1].cost_ratio:.3f}×", file=sys.stderr, flush=True)
        floors = {float(best.right.mean()), max(float(found.right.mean()) for _, found in played[False])}
        compared = [pair(pool.name, name, floor=floor, split=played[True], whole=played[False], best=best) for floor in sorted(floors)]
        pairs += [found for found in compared if found is not None]
    return rows, pairs


_Settings = list[tuple[str, Callable[[bool], Method]]]


def _routed(bench: _Bench, best: Played) -> _Settings:
    """One attempt per text with the model that the learned router puts first; the whole request is worth the sum of its questions."""
    per_question = float(best.cost_usd.sum()) / sum(len(one.members) for one in bench.compounds)

    def method(trade_off: float) -> Callable[[bool], Method]:
        router = _router(bench, worth_nano_usd=1e9 * per_question / trade_off)
        return lambda decompose: Method(judge=SilentJudge(), router=router, threshold=0.0, models_max=1, decompose=decompose)

    return [(f"λ {trade_off:g}", method(trade_off)) for trade_off in TRADE_OFFS]


def _cascades(bench: _Bench) -> _Settings:
    """The learned router's plan, climbed until the panel's confidence reaches a threshold."""
    judge, router = PanelInProcess(bench.panel), _router(bench, worth_nano_usd=None)

    def method(threshold: float) -> Callable[[bool], Method]:
        return lambda decompose: Method(judge=judge, router=router, threshold=threshold, models_max=PLAN_MODELS_MAX, decompose=decompose)

    return [(f"threshold {threshold:g}", method(threshold)) for threshold in THRESHOLDS]


def _router(bench: _Bench, *, worth_nano_usd: float | None) -> Callable[[Compound, int | None], cascade_ports.Router]:
    deciders: dict[tuple[str, ...], Decider] = {}
    places = {compound.id: place for place, compound in enumerate(bench.compounds)}

    def router(compound: Compound, part: int | None) -> cascade_ports.Router:
        names = tuple(answer.model for answer in compound.answers[part or 0])
        if names not in deciders:
            deciders[names] = bench.decider(tuple(candidate_of(bench.pool.facts[name]) for name in names))
        asked = compound.questions if part is None else (compound.questions[part],)
        vector = bench.wholes[places[compound.id]] if part is None else bench.parts[compound.members[part]]
        reading = reading_of(_together(asked), vector)
        worth = None if worth_nano_usd is None else round(worth_nano_usd * len(asked))
        return RouterInProcess(deciders[names], reading, worth)

    return router


def _together(asked: Sequence[Question]) -> Question:
    first = asked[0]
    return Question(
        id=first.id,
        arena=first.arena,
        task=first.task,
        text=first.text,
        prompt=first.prompt,
        prompt_tokens=sum(question.prompt_tokens for question in asked),
        split=first.split,
    )


def _recovery(pool: Pool, count: int) -> list[Recovery]:
    found: list[Recovery] = []
    for form in FORMS:
        compounds = compose(pool, count=count, forms=[form])
        for made_of in ("questions", "prompts"):
            counts = [_recovered(compound, made_of) for compound in compounds]
            exact, whole, wrong = (counts.count(kind) / len(counts) for kind in ("exact", "whole", "wrong"))
            found.append(Recovery(pool=pool.name, form=form, made_of=made_of, n=len(counts), exact=exact, whole=whole, wrong=wrong))
    return found


def _recovered(compound: Compound, made_of: str) -> str:
    bare = made_of == "questions"
    parts = split_by_rules(compound.asked if bare else compound.sent, parts_max=PARTS_MAX).parts
    wanted = [(question.text if bare else question.prompt).strip() for question in compound.questions]
    return "whole" if not parts else "exact" if [part.text for part in parts] == wanted else "wrong"


def _false_splits(questions: Sequence[Question]) -> list[FalseSplits]:
    texts = {"questions": [question.text for question in questions], "prompts": [question.prompt for question in questions]}
    return [
        FalseSplits(made_of=made_of, n=len(own), split=sum(bool(split_by_rules(text, parts_max=PARTS_MAX).parts) for text in own))
        for made_of, own in texts.items()
    ]


if __name__ == "__main__":
    main()
