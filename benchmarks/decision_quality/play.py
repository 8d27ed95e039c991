"""Plays a method over the questions of a pool: through the cascade, or by picking among recorded answers."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.decision_quality.pools import Floats, Pool
from benchmarks.decision_quality.recordings import Answer, Question
from benchmarks.decision_quality.replay import NoStore, RecordedModel, StandingClock
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.ceilings import Ceilings, TimeLimits
from cascade_service.domain.chat import GenerationParams, Message, OutputContract, Role
from cascade_service.domain.errors import AllAttemptsFailed
from cascade_service.domain.events import AttemptStarted, CascadeEvent, Completed, DeliveryMode
from cascade_service.domain.gain import GainModel
from cascade_service.domain.plan import Constraints
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.policy import Policy
from cascade_service.domain.ports import Judge, Router
from cascade_service.domain.pricing import Price
from cascade_service.domain.recording import Recorder
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts, CascadeRules

WITHOUT_LIMIT = 10**15
PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Played:
    """Per question: whether the answer given was right (0.0 or 1.0), what it cost in USD, how many attempts it took.

    ``confidence`` is the panel's in the answer given, 0.0 where nobody judged.
    """

    right: Floats
    cost_usd: Floats
    attempts: npt.NDArray[np.int64]
    confidence: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeMethod:
    """What a cascade method decides with. ``plan`` names the models of a fixed plan for a question, empty to ask ``router``.

    A value policy needs a ``gain_model`` and the names of the ``judges`` that judge all answers together.
    """

    judge: Judge
    router: Callable[[int], Router]
    plan: Callable[[int], tuple[str, ...]]
    policy: Policy
    gain_model: GainModel | None = None
    judges: tuple[str, ...] = ()
    constraints: Constraints = field(default_factory=Constraints)
    attempts_max: int = 8


async def play_cascade(pool: Pool, method: CascadeMethod, *, label: str) -> Played:
    """Runs the product's cascade on every question, with recorded models."""
    (played,) = await play_cascades(pool, [method], label=label)
    return played


async def play_cascades(pool: Pool, methods: Sequence[CascadeMethod], *, label: str) -> list[Played]:
    """The same for several methods, question by question, so that what they share is judged once."""
    given: list[list[_Given]] = [[] for _ in methods]
    shown_at = time.monotonic()
    for index, (question, answers) in enumerate(zip(pool.questions, pool.answers, strict=True)):
        for method, own in zip(methods, given, strict=True):
            own.append(await _answer(question, answers, method, index))
        if time.monotonic() - shown_at > PROGRESS_EVERY_S:
            shown_at = time.monotonic()
            print(f"  {label}: {index + 1} of {len(pool.questions)}", file=sys.stderr, flush=True)
    return [_played(own) for own in given]


def _played(given: Sequence[_Given]) -> Played:
    return Played(
        right=np.array([one.right for one in given]),
        cost_usd=np.array([one.cost_usd for one in given]),
        attempts=np.array([one.attempts for one in given]),
        confidence=np.array([one.confidence for one in given]),
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """What a request came to. Without any answer to give it counts as wrong, and all that was tried was paid for."""

    right: float
    cost_usd: float
    attempts: int
    confidence: float = 0.0


async def _answer(question: Question, answers: Sequence[Answer], method: CascadeMethod, index: int) -> _Given:
    by_name = {answer.model: answer for answer in answers}
    asked: list[str] = []
    async with aclosing(cascade_events(question, answers, method, index)) as events:
        try:
            async for event in events:
                if isinstance(event, AttemptStarted):
                    asked.append(event.model)
                if isinstance(event, Completed):
                    done = event.completion
                    return _Given(float(by_name[done.model].right), done.cost_nano_usd / 1e9, len(done.attempts), done.confidence or 0.0)
        except AllAttemptsFailed:
            return _Given(0.0, sum(by_name[name].cost_nano_usd for name in asked) / 1e9, len(asked))
    raise RuntimeError(f"the cascade ended without an answer to {question.id}")


def cascade_events(question: Question, answers: Sequence[Answer], method: CascadeMethod, index: int) -> AsyncGenerator[CascadeEvent, None]:
    """The product's cascade on one question with recorded models; ``index`` is what the method's router and plan are chosen by."""
    clock = StandingClock()
    rules = CascadeRules(
        times=TimeLimits(attempt_s=60.0, attempt_min_s=0.0, margin_s=0.0),
        router_timeout_s=60.0,
        judge_timeout_s=60.0,
        cheap_judges=method.judges,
    )
    parts = CascadeParts(
        router=method.router(index),
        judge=method.judge,
        models={answer.model: RecordedModel(answer, question.prompt_tokens) for answer in answers},
        catalogue={answer.model: _configured(answer.model) for answer in answers},
        clock=clock,
        rules=rules,
        gain_model=method.gain_model,
    )
    request = CascadeRequest(
        decision_id=question.id,
        messages=(Message(Role.USER, question.prompt),),
        params=GenerationParams(),
        output=OutputContract(),
        constraints=method.constraints,
        ceilings=Ceilings(cost_max_nano_usd=WITHOUT_LIMIT, attempts_max=method.attempts_max, output_tokens_max=WITHOUT_LIMIT),
        policy=method.policy,
        delivery=DeliveryMode.BUFFERED,
        fixed_plan=method.plan(index),
        deadline_at_s=600.0,
    )
    return Cascade(parts, Recorder(NoStore(), timeout_s=60.0, record_text=False)).answer(request)


def _configured(name: str) -> ConfiguredModel:
    return ConfiguredModel(name=name, provider="recorded", price=Price(), context_tokens=1_000_000, max_output_tokens=65_536)


def play_picks(pool: Pool, picks: npt.NDArray[np.int64]) -> Played:
    """One attempt each, with the endpoint that ``picks`` has for the question."""
    rows = np.arange(len(pool.questions))
    return Played(pool.right[rows, picks], pool.cost[rows, picks], np.ones(len(rows), dtype=np.int64), np.zeros(len(rows)))
