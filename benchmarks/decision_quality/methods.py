"""All methods that are compared, as rows of the report."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.decision_quality.choices import best_net, cheapest_right, neighbours_quality, random_mix
from benchmarks.decision_quality.judging import Evidence, Risk, evidence_rows, risk_rows
from benchmarks.decision_quality.known import Known
from benchmarks.decision_quality.measure import Meter, Row
from benchmarks.decision_quality.play import CascadeMethod, play_cascade, play_cascades, play_picks
from benchmarks.decision_quality.pools import Floats, Pool
from benchmarks.decision_quality.replay import NoRouter, PanelInProcess, RouterInProcess, SilentJudge, candidate_of, reading_of
from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.gain import GainModel
from cascade_service.domain.plan import Constraints
from cascade_service.domain.ports import Router
from cascade_service.domain.value import ValuePolicy
from judge_service.domain.panel import Panel
from router_service.domain.models import CandidateModel
from router_service.domain.routing import Decider

TRADE_OFFS = (0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.02, 0.01, 0.0)
"""Points of accuracy (as a fraction) that one unit of the best single model's cost is worth."""
VALUE_TRADE_OFFS = (0.3, 0.2, 0.12, 0.08, 0.05, 0.03, 0.015, 0.005)
"""The same for value policies."""
SUITABILITIES = (0.6, 0.75, 0.85)
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
MIX_SHARES = (0.25, 0.5, 0.75)
AGREEMENT_THRESHOLD = 0.7
PLAN_MODELS_MAX = 4
VALUE_PLAN_MODELS = 8
"""A value policy chooses among so many models; most of them are never asked."""
VALUE_NAMES = ("value cascade", "threshold cascade")
LEARNED_NAMES = ("combined", "learned cascade")
RISK_SETTING = "λ 0.05"
"""Setting of the value policy whose answers are tried for what a stated risk comes to."""
JUDGED_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the methods work with. ``vectors`` and ``train_vectors`` are embeddings of length 1, one row per question.

    ``quality`` ``(questions, endpoints)`` is what the learned router predicts, NaN where it does not.
    ``decider`` makes the router's decision among the models that it is given.
    """

    measured: Pool
    train: Pool
    known: Known
    meter: Meter
    vectors: Floats
    train_vectors: Floats
    quality: Floats
    taxonomy: Callable[[tuple[CandidateModel, ...]], Decider]
    learned: Callable[[tuple[CandidateModel, ...]], Decider] | None
    agreement: Panel
    panel: Panel
    gain_model: GainModel | None


async def all_rows(bench: Bench) -> AsyncGenerator[Row | Evidence | Risk, None]:
    """The rows of every method and of the judges, as they are measured."""
    for row in (*_singles(bench), *_choices(bench)):
        yield row
    async for row in _routed(bench, "taxonomy only", bench.taxonomy):
        yield row
    if bench.learned is not None:
        async for row in _routed(bench, "learned only", bench.learned):
            yield row
    async for row in _cascades(bench):
        yield row


def _singles(bench: Bench) -> list[Row]:
    pool, meter, known = bench.measured, bench.meter, bench.known
    rows = [meter.row(meter.best, method="best single", setting=pool.endpoints[known.best], chosen_on=known.source)]
    hindsight = int(pool.right.mean(axis=0).argmax())
    picked = play_picks(pool, np.full(len(pool.questions), hindsight))
    rows.append(meter.row(picked, method="best single in hindsight", setting=pool.endpoints[hindsight], chosen_on="hindsight"))
    for index in sorted(range(len(pool.endpoints)), key=lambda index: -pool.right[:, index].mean()):
        played = play_picks(pool, np.full(len(pool.questions), index))
        rows.append(meter.row(played, method="single", setting=pool.endpoints[index], chosen_on="sweep"))
    return rows


def _choices(bench: Bench) -> list[Row]:
    pool, meter, known = bench.measured, bench.meter, bench.known
    rows = [meter.row(play_picks(pool, cheapest_right(pool)), method="oracle", chosen_on="hindsight")]
    if cheap := known.cheap(1, _providers(pool)):
        for share in MIX_SHARES:
            played = random_mix(pool, cheap=cheap[0], dear=known.best, share=share)
            setting = f"{share:.0%} {pool.endpoints[known.best]}, else {pool.endpoints[cheap[0]]}"
            rows.append(meter.row(played, method="random mix", setting=setting, chosen_on="sweep"))
    if bench.train.questions:
        quality = neighbours_quality(bench.vectors, bench.train_vectors, bench.train.right)
        for trade_off in TRADE_OFFS:
            picks = best_net(quality, known.cost_ratio, trade_off=trade_off)
            rows.append(meter.row(play_picks(pool, picks), method="kNN", setting=f"λ {trade_off:g}", chosen_on="sweep"))
    return rows


async def _routed(bench: Bench, name: str, decider_of: Callable[[tuple[CandidateModel, ...]], Decider]) -> AsyncGenerator[Row, None]:
    """One attempt with the model that the product's router puts first: by net worth, then as the cheapest that reaches a stated Φ."""
    for trade_off in TRADE_OFFS[:-1]:
        worth = round(1e9 * bench.known.cost_usd[bench.known.best] / trade_off)
        method = CascadeMethod(
            judge=SilentJudge(),
            router=_router(bench, decider_of, answer_worth_nano_usd=worth),
            plan=lambda _: (),
            policy=_at(0.0),
            constraints=Constraints(models_max=1),
        )
        played = await play_cascade(bench.measured, method, label=f"{name} λ {trade_off:g}")
        yield bench.meter.row(played, method=name, setting=f"λ {trade_off:g}", chosen_on="sweep")
    router = _router(bench, decider_of)
    for suitability in SUITABILITIES:
        method = CascadeMethod(
            judge=SilentJudge(),
            router=router,
            plan=lambda _: (),
            policy=_at(0.0),
            constraints=Constraints(models_max=1, suitability_min=suitability),
        )
        played = await play_cascade(bench.measured, method, label=f"{name} {suitability:g}")
        yield bench.meter.row(played, method=name, setting=f"τ {suitability:g}", chosen_on="sweep")


async def _judged(bench: Bench) -> list[Evidence]:
    """The panel on one, two and three cheap answers, best model first."""
    cheap = bench.known.cheap(JUDGED_MAX, _providers(bench.measured))
    order = sorted(cheap, key=lambda endpoint: -bench.known.accuracy[endpoint])
    return await evidence_rows(bench.measured, bench.meter.split, PanelInProcess(bench.panel), order, bench.quality) if order else []


async def _cascades(bench: Bench) -> AsyncGenerator[Row | Evidence | Risk, None]:
    """Two cheap models that agree, else the best; then everything that the whole panel judges."""
    pool, known = bench.measured, bench.known
    if cheap := known.cheap(2, _providers(pool)):
        order = (*cheap, known.best)
        method = CascadeMethod(
            judge=PanelInProcess(bench.agreement),
            router=lambda _: NoRouter(),
            plan=lambda index: tuple(pool.answers[index][endpoint].model for endpoint in order),
            policy=_at(AGREEMENT_THRESHOLD),
        )
        played = await play_cascade(pool, method, label="agreement cascade")
        setting = " → ".join(pool.endpoints[endpoint] for endpoint in order)
        yield bench.meter.row(played, method="agreement cascade", setting=setting, chosen_on=known.source)
    async for row in _judged_cascades(bench):
        yield row
    for evidence in await _judged(bench):
        yield evidence


async def _judged_cascades(bench: Bench) -> AsyncGenerator[Row | Risk, None]:
    """The value policy and the threshold policy, over the taxonomy's predictions and over those of the learned router."""
    methods = _judged_methods(bench)
    played = await play_cascades(bench.measured, [one.method for one in methods], label="judged cascades")
    for one, result in zip(methods, played, strict=True):
        yield bench.meter.row(result, method=one.name, setting=one.setting, chosen_on="sweep")
        if one.setting == RISK_SETTING:
            for risk in risk_rows(bench.measured.name, bench.meter.split, one.name, one.setting, result):
                yield risk


@dataclass(frozen=True, slots=True)
class _Named:
    """A method with its name and setting in the report."""

    name: str
    setting: str
    method: CascadeMethod


def _judged_methods(bench: Bench) -> list[_Named]:
    judge = PanelInProcess(bench.panel)
    found: list[_Named] = []
    for names, decider_of in ((VALUE_NAMES, bench.taxonomy), *([] if bench.learned is None else [(LEARNED_NAMES, bench.learned)])):
        router = _router(bench, decider_of)
        if bench.gain_model is not None:
            for trade_off in VALUE_TRADE_OFFS:
                worth = round(1e9 * bench.known.cost_usd[bench.known.best] / trade_off)
                found.append(_Named(names[0], f"λ {trade_off:g}", _value_method(bench, judge, router, worth)))
        for threshold in THRESHOLDS:
            constraints = Constraints(models_max=PLAN_MODELS_MAX, suitability_min=0.0)
            method = CascadeMethod(judge=judge, router=router, plan=lambda _: (), policy=_at(threshold), constraints=constraints)
            found.append(_Named(names[1], f"threshold {threshold:g}", method))
    return found


def _value_method(bench: Bench, judge: PanelInProcess, router: Callable[[int], Router], worth: int) -> CascadeMethod:
    return CascadeMethod(
        judge=judge,
        router=router,
        plan=lambda _: (),
        policy=ValuePolicy(name="benchmark", answer_worth_nano_usd=worth),
        gain_model=bench.gain_model,
        judges=tuple(one.name for one in bench.panel.judges),
        constraints=Constraints(models_max=VALUE_PLAN_MODELS),
        attempts_max=VALUE_PLAN_MODELS,
    )


def _at(threshold: float) -> ThresholdPolicy:
    return ThresholdPolicy(name="benchmark", threshold=threshold)


def _router(
    bench: Bench, decider_of: Callable[[tuple[CandidateModel, ...]], Decider], *, answer_worth_nano_usd: int | None = None
) -> Callable[[int], Router]:
    """A router per question; questions whose endpoints are the same recorded models share a decider."""
    pool = bench.measured
    deciders: dict[tuple[str, ...], Decider] = {}

    def router(index: int) -> Router:
        names = tuple(answer.model for answer in pool.answers[index])
        if names not in deciders:
            deciders[names] = decider_of(tuple(candidate_of(pool.facts[name]) for name in names))
        return RouterInProcess(deciders[names], reading_of(pool.questions[index], bench.vectors[index]), answer_worth_nano_usd)

    return router


def _providers(pool: Pool) -> tuple[str, ...]:
    return tuple(pool.facts[answer.model].provider for answer in pool.answers[0])
