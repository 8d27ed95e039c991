"""Do the services decide as the benchmark does? The same questions through both, compared one by one."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from emafusion_client import EmafusionClient

from benchmarks.decision_quality.deciders import CALIBRATION, Deciders, learned_decider
from benchmarks.decision_quality.fit_on import NOTHING_SHOWN, grow
from benchmarks.decision_quality.known import Known
from benchmarks.decision_quality.methods import PLAN_MODELS_MAX, VALUE_PLAN_MODELS
from benchmarks.decision_quality.play import PROGRESS_EVERY_S, CascadeMethod
from benchmarks.decision_quality.pools import Pool
from benchmarks.decision_quality.replay import PanelInProcess
from benchmarks.decision_quality.served import services_running, write_stack
from benchmarks.decision_quality.sides import Given, Sample, in_process, sample_of, through_services
from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.plan import Constraints
from cascade_service.domain.policy import Policy
from cascade_service.domain.ports import Router
from cascade_service.domain.value import ValuePolicy
from router_service.domain.models import CandidateModel
from router_service.domain.routing import Decider

SAMPLE = 50
"""Questions of each pool where the command names no number."""
TRADE_OFFS = (0.05, 0.2)
THRESHOLD = 0.7
SHOWN_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A question on which the two sides are not at one."""

    question: str
    in_process: Given
    through_grpc: Given


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """On how many of ``n`` questions of a pool the two sides are at one, with one setting."""

    pool: str
    split: str
    setting: str
    n: int
    agree: int
    attempts: float
    differ: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A method and its name; the method's policy is configured under its own name."""

    name: str
    method: CascadeMethod


def compare_pool(measured: Pool, split: str, known: Known, deciders: Deciders, *, data: Path, count: int) -> list[Agreement]:
    """``count`` questions of a pool through both sides; ``data`` is the directory that the pool was read from. Blocks."""
    sample = sample_of(measured, count, deciders.encoder)
    settings = settings_of(known, deciders, router=sample.router(_decider(measured, deciders)))
    print(f"{measured.name}: {len(sample.pool.questions)} questions through the services", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="through-grpc-") as folder:
        config = write_stack(
            Path(folder),
            data=data,
            questions=[question.id for question in sample.pool.questions],
            models=sample.models.values(),
            policies=list({setting.method.policy.name: setting.method.policy for setting in settings}.values()),
            plan_models_max=VALUE_PLAN_MODELS,
            artifacts=deciders.artifacts,
            calibration=CALIBRATION,
        )
        with services_running(config) as target:
            return asyncio.run(compare(sample, settings, target=target, split=split))


def _decider(pool: Pool, deciders: Deciders) -> Callable[[tuple[CandidateModel, ...]], Decider]:
    """The learned router, which knows models that training never saw by their cards, as the router service does."""
    grown = grow(deciders.artifacts, pool, NOTHING_SHOWN, _no_cells)
    if grown.predictor is None:
        raise SystemExit(f"{deciders.artifacts} has no learned router: run python -m training.learned_router")
    return learned_decider(deciders.artifacts, table=grown.table, predictor=grown.predictor)


def _no_cells(_texts: list[str]) -> npt.NDArray[np.float64]:
    """Nothing is placed where nothing is shown."""
    raise RuntimeError("texts are placed in the taxonomy only for labels that are shown")


def settings_of(known: Known, deciders: Deciders, *, router: Callable[[int], Router]) -> list[Setting]:
    """The value policy at two worths of a right answer, and a threshold policy."""
    judge = PanelInProcess(deciders.panel)

    def setting(name: str, policy: Policy, models_max: int) -> Setting:
        method = CascadeMethod(
            judge=judge,
            router=router,
            plan=lambda _: (),
            policy=policy,
            gain_model=deciders.gain_model,
            judges=tuple(one.name for one in deciders.panel.judges),
            constraints=Constraints(models_max=models_max, suitability_min=0.0),
            attempts_max=VALUE_PLAN_MODELS,
        )
        return Setting(name=name, method=method)

    worths = {trade_off: round(1e9 * known.cost_usd[known.best] / trade_off) for trade_off in TRADE_OFFS}
    return [
        *(
            setting(f"value λ {trade_off:g}", ValuePolicy(name="value", answer_worth_nano_usd=worth), VALUE_PLAN_MODELS)
            for trade_off, worth in worths.items()
        ),
        setting(f"threshold {THRESHOLD:g}", ThresholdPolicy(name="threshold", threshold=THRESHOLD), PLAN_MODELS_MAX),
    ]


async def compare(sample: Sample, settings: Sequence[Setting], *, target: str, split: str) -> list[Agreement]:
    """Both sides with every setting; ``target`` is the cascade service's."""
    sides: dict[str, list[tuple[Given, Given]]] = {setting.name: [] for setting in settings}
    shown_at = time.monotonic()
    async with EmafusionClient(cascade=target) as client:
        for index, question in enumerate(sample.pool.questions):
            for setting in settings:
                mine = await in_process(question, sample.pool.answers[index], setting.method, index)
                sides[setting.name].append((mine, await through_services(client, question, sample.pool.answers[index], setting.method)))
            if time.monotonic() - shown_at > PROGRESS_EVERY_S:
                shown_at = time.monotonic()
                print(f"  through gRPC: {index + 1} of {len(sample.pool.questions)}", file=sys.stderr, flush=True)
    return [_agreement(sample.pool, split, name, pairs) for name, pairs in sides.items()]


def _agreement(pool: Pool, split: str, setting: str, pairs: Sequence[tuple[Given, Given]]) -> Agreement:
    differ = tuple(
        Difference(question=question.id, in_process=mine, through_grpc=theirs)
        for question, (mine, theirs) in zip(pool.questions, pairs, strict=True)
        if not mine.agrees(theirs)
    )
    attempts = sum(len(mine.models) for mine, _ in pairs) / len(pairs)
    return Agreement(
        pool=pool.name, split=split, setting=setting, n=len(pairs), agree=len(pairs) - len(differ), attempts=attempts, differ=differ
    )


def write_agreements(folder: Path, agreements: Sequence[Agreement]) -> None:
    """Puts ``through_grpc`` into `report.json` in ``folder``, beside whatever stands there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    report["through_grpc"] = [asdict(agreement) for agreement in agreements]
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(agreements: Sequence[Agreement]) -> str:
    """The agreements as a table in Markdown, and below it the first questions that differ."""
    lines = ["| pool | setting | n | agree | attempts |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {row.pool} | {row.setting} | {row.n} | {row.agree} | {row.attempts:.2f} |" for row in agreements]
    for row in agreements:
        for difference in row.differ[:SHOWN_MAX]:
            lines += ["", f"{row.pool}, {row.setting}, {difference.question}:"]
            lines += [f"  in process    {difference.in_process}", f"  through gRPC  {difference.through_grpc}"]
    return "\n".join(lines)
