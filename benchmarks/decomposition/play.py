"""Plays composed requests through the product's cascade with recorded answers, split or whole."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from benchmarks.decision_quality.play import PROGRESS_EVERY_S, WITHOUT_LIMIT
from benchmarks.decision_quality.pools import Floats
from benchmarks.decision_quality.recordings import Answer
from benchmarks.decision_quality.replay import OUTPUT_TOKENS_MAX, NoStore, RecordedModel, StandingClock
from benchmarks.decomposition.compose import Compound
from cascade_service.domain import ports as cascade_ports
from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.ceilings import Ceilings, TimeLimits
from cascade_service.domain.chat import GenerationParams, Message, OutputContract, Role
from cascade_service.domain.errors import AllAttemptsFailed, ModelFailed
from cascade_service.domain.events import Completed, Completion, DeliveryMode
from cascade_service.domain.model import ModelCall, ModelCard, ModelEvent
from cascade_service.domain.plan import Constraints, Plan
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.pricing import Price
from cascade_service.domain.recording import Recorder
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts, CascadeRules

PARTS_MAX = 8
ATTEMPTS_MAX = 16


@dataclass(frozen=True, slots=True)
class Played:
    """Per request: whether all of it was right, the share of its questions that was, the cost in USD; and whether it was split."""

    right: Floats
    share_right: Floats
    cost_usd: Floats
    split: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What decides. ``router`` makes a plan for one text of a request, given by its number, or for all of it with ``None``."""

    judge: cascade_ports.Judge
    router: Callable[[Compound, int | None], cascade_ports.Router]
    threshold: float
    models_max: int
    decompose: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a recorded model answers to one text, by the model's name."""

    text: str
    part: int | None
    answers: Mapping[str, Answer]
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class _PartModel:
    """A recorded model that knows the answers to all texts of one request."""

    name: str
    asked: Sequence[_Asked]

    @property
    def card(self) -> ModelCard:
        return ModelCard(name=self.name, max_output_tokens=OUTPUT_TOKENS_MAX, price=Price())

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        known = _asked(self.asked, call.messages[-1].content)
        if known is None or self.name not in known.answers:
            raise ModelFailed("nobody recorded an answer to that", kind="not_recorded")
        async with aclosing(RecordedModel(known.answers[self.name], known.prompt_tokens).stream(call)) as events:
            async for event in events:
                yield event


@dataclass(frozen=True, slots=True)
class _PartRouter:
    """The router of the text that is asked about."""

    compound: Compound
    method: Method
    asked: Sequence[_Asked]

    async def route(self, question: cascade_ports.RouteQuestion, *, timeout_s: float) -> Plan:
        known = _asked(self.asked, question.messages[-1].content)
        part = None if known is None else known.part
        return await self.method.router(self.compound, part).route(question, timeout_s=timeout_s)


def _asked(asked: Sequence[_Asked], text: str) -> _Asked | None:
    return next((one for one in asked if one.text.strip() == text.strip()), None)


def whole_answers(compound: Compound) -> dict[str, Answer]:
    """What each endpoint would have answered to all of it: its recorded answers one after the other, right when all of them are.

    They go by the endpoint's name in the first question's arena.
    """
    joined: dict[str, Answer] = {}
    for endpoint, first in enumerate(compound.answers[0]):
        answers = [row[endpoint] for row in compound.answers]
        joined[first.model] = Answer(
            model=first.model,
            text="\n\n".join(f"{number}.\n{answer.text}" for number, answer in enumerate(answers, start=1)),
            right=all(answer.right for answer in answers),
            cost_nano_usd=sum(answer.cost_nano_usd for answer in answers),
            output_tokens=sum(answer.output_tokens for answer in answers),
            truncated=any(answer.truncated for answer in answers),
        )
    return joined


def play_single(compounds: Sequence[Compound], endpoint: int) -> Played:
    """One endpoint answers everything."""
    rows = [[row[endpoint] for row in compound.answers] for compound in compounds]
    return _played([([answer.right for answer in row], sum(answer.cost_nano_usd for answer in row), False) for row in rows])


async def play(compounds: Sequence[Compound], method: Method, *, label: str) -> Played:
    """Every request through the cascade."""
    given: list[tuple[list[bool], int, bool]] = []
    shown_at = time.monotonic()
    for number, compound in enumerate(compounds):
        given.append(await _answer(compound, method))
        if time.monotonic() - shown_at > PROGRESS_EVERY_S:
            shown_at = time.monotonic()
            print(f"  {label}: {number + 1} of {len(compounds)}", file=sys.stderr, flush=True)
    return _played(given)


def _played(given: Sequence[tuple[list[bool], int, bool]]) -> Played:
    return Played(
        right=np.array([float(all(right)) for right, _, _ in given]),
        share_right=np.array([float(np.mean(right)) for right, _, _ in given]),
        cost_usd=np.array([cost / 1e9 for _, cost, _ in given]),
        split=np.array([float(split) for _, _, split in given]),
    )


async def _answer(compound: Compound, method: Method) -> tuple[list[bool], int, bool]:
    asked = [
        _Asked(question.prompt, part, {answer.model: answer for answer in compound.answers[part]}, question.prompt_tokens)
        for part, question in enumerate(compound.questions)
    ]
    tokens = sum(question.prompt_tokens for question in compound.questions)
    asked.append(_Asked(compound.sent, None, whole_answers(compound), tokens))
    cascade, request = _cascade(compound, method, asked)
    async with aclosing(cascade.answer(request)) as events:
        try:
            async for event in events:
                if isinstance(event, Completed):
                    done = event.completion
                    return _right(compound, done), done.cost_nano_usd, bool(done.parts)
        except AllAttemptsFailed:
            return [False] * len(compound.questions), 0, False
    raise RuntimeError(f"the cascade ended without an answer to {compound.id}")


def _right(compound: Compound, done: Completion) -> list[bool]:
    if not done.parts:
        endpoint = [answer.model for answer in compound.answers[0]].index(done.model)
        return [row[endpoint].right for row in compound.answers]
    if len(done.parts) != len(compound.questions):
        return [False] * len(compound.questions)
    given = zip(done.parts, compound.answers, strict=True)
    return [any(answer.right for answer in row if answer.model == part.model) for part, row in given]


def _cascade(compound: Compound, method: Method, asked: Sequence[_Asked]) -> tuple[Cascade, CascadeRequest]:
    names = sorted({name for one in asked for name in one.answers})
    parts = CascadeParts(
        router=_PartRouter(compound, method, asked),
        judge=method.judge,
        models={name: _PartModel(name, asked) for name in names},
        catalogue={name: _configured(name) for name in names},
        clock=StandingClock(),
        rules=CascadeRules(times=TimeLimits(attempt_s=60.0, attempt_min_s=0.0, margin_s=0.0), router_timeout_s=60.0, judge_timeout_s=60.0),
    )
    request = CascadeRequest(
        decision_id=compound.id,
        messages=(Message(Role.USER, compound.sent),),
        params=GenerationParams(),
        output=OutputContract(),
        constraints=Constraints(models_max=method.models_max, suitability_min=0.0),
        ceilings=Ceilings(cost_max_nano_usd=WITHOUT_LIMIT, attempts_max=ATTEMPTS_MAX, output_tokens_max=WITHOUT_LIMIT),
        policy=ThresholdPolicy(name="benchmark", threshold=method.threshold),
        delivery=DeliveryMode.BUFFERED,
        fixed_plan=(),
        deadline_at_s=600.0,
        parts_max=PARTS_MAX if method.decompose else None,
    )
    return Cascade(parts, Recorder(NoStore(), timeout_s=60.0, record_text=False)), request


def _configured(name: str) -> ConfiguredModel:
    return ConfiguredModel(name=name, provider="recorded", price=Price(), context_tokens=1_000_000, max_output_tokens=65_536)
