"""Asks what is still open: every model side by side, within its own limit, the common limit and the cost ceiling."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from providers.errors import AuthenticationFailed, ContentPolicyViolation, ContextTooLong, NotRecorded, ProviderError
from providers.port import ChatModel, ChatRequest
from training.record.asking import ask, request_of
from training.record.ceiling import CostCeiling, worst_case_nano_usd
from training.record.entries import AnswerKey, FailedCall, GivenAnswer, Terms
from training.record.journal import Journal
from training.record.questions import AskedQuestion

FAILURES_TO_GIVE_UP: Final = 5
"""After so many failures in a row a model is left alone until the next run."""
OF_ONE_QUESTION: Final = (ContextTooLong, ContentPolicyViolation, NotRecorded)
"""Failures that say nothing about the next question."""


class Watcher(Protocol):
    """Sees what comes of the calls."""

    def answered(self, answer: GivenAnswer) -> None:
        """An answer came and is on disk."""
        ...

    def failed(self, failure: FailedCall) -> None:
        """A call failed, after all retries."""
        ...


@dataclass(frozen=True, slots=True)
class NotAsked:
    """An answer that was not asked for, and why."""

    key: AnswerKey
    why: str


@dataclass(slots=True)
class _Lane:
    """What is still open for one model."""

    model: ChatModel
    waiting: deque[tuple[AnswerKey, str]]
    failures_in_a_row: int = 0
    given_up: str = ""
    left_out: list[NotAsked] = field(default_factory=list[NotAsked])


def open_keys(questions: Iterable[AskedQuestion], models: Iterable[str], *, samples: int, journal: Journal) -> list[AnswerKey]:
    """The answers that the journal lacks, question by question. ``samples`` is the number of answers per model, 1 or more."""
    names = list(models)
    wanted = (AnswerKey(question.id, name, sample) for question in questions for name in names for sample in range(samples))
    return [key for key in wanted if key not in journal.answers]


class Session:
    """One run over open answers. ``stop``, once set, ends it after the calls in flight."""

    def __init__(
        self, journal: Journal, terms: Terms, *, ceiling: CostCeiling, concurrency_max: int, watcher: Watcher, stop: asyncio.Event
    ) -> None:
        self._stop = stop
        self._journal = journal
        self._terms = terms
        self._ceiling = ceiling
        self._slots = asyncio.Semaphore(concurrency_max)
        self._writing = asyncio.Lock()
        self._watcher = watcher

    async def ask_all(self, keys: Iterable[AnswerKey], models: Mapping[str, ChatModel], *, lanes_max: Mapping[str, int]) -> list[NotAsked]:
        """Asks for ``keys``, at most ``lanes_max[model]`` calls to a model at a time; what was not asked for, and why.

        Answers and failures are in the journal before the next call takes their place.
        """
        lanes = {name: _Lane(model, deque()) for name, model in models.items()}
        for key in keys:
            lanes[key.model].waiting.append((key, self._journal.questions[key.question_id].prompt))
        async with asyncio.TaskGroup() as tasks:
            for name, lane in lanes.items():
                for _ in range(min(lanes_max[name], len(lane.waiting))):
                    tasks.create_task(self._work(lane))
        return [entry for lane in lanes.values() for entry in (*lane.left_out, *_rest(lane))]

    async def _work(self, lane: _Lane) -> None:
        while lane.waiting and not lane.given_up and not self._stop.is_set():
            async with self._slots:
                if lane.waiting and not lane.given_up and not self._stop.is_set():
                    await self._ask_next(lane)

    async def _ask_next(self, lane: _Lane) -> None:
        key, prompt = lane.waiting.popleft()
        request = request_of(prompt, self._terms, sample=key.sample)
        request = replace(request, max_output_tokens=min(request.max_output_tokens, lane.model.card.max_output_tokens))
        worst = worst_case_nano_usd(lane.model.card, request)
        if not await self._ceiling.hold(worst):
            lane.left_out.append(NotAsked(key, "cost ceiling"))
            return
        cost = worst
        try:
            cost = await self._ask(lane, request, key)
        finally:
            await self._ceiling.settle(worst, cost_nano_usd=cost)

    async def _ask(self, lane: _Lane, request: ChatRequest, key: AnswerKey) -> int:
        """Asks and writes down what came of it; its cost in nano-USD."""
        outcome = await ask(lane.model, request, key)
        match outcome:
            case GivenAnswer():
                await self._write(outcome)
                lane.failures_in_a_row = 0
                self._watcher.answered(outcome)
                return outcome.cost_nano_usd
            case (failure, error):
                await self._write(failure)
                _count(lane, error)
                self._watcher.failed(failure)
                return failure.cost_nano_usd

    async def _write(self, entry: GivenAnswer | FailedCall) -> None:
        async with self._writing:
            await asyncio.to_thread(self._journal.add, [entry])


def _count(lane: _Lane, error: ProviderError) -> None:
    if isinstance(error, OF_ONE_QUESTION):
        return
    lane.failures_in_a_row += 1
    if isinstance(error, AuthenticationFailed):
        lane.given_up = "the provider refuses the key"
    elif lane.failures_in_a_row >= FAILURES_TO_GIVE_UP:
        lane.given_up = f"given up after {FAILURES_TO_GIVE_UP} failures in a row, the last one {error.kind}"


def _rest(lane: _Lane) -> list[NotAsked]:
    return [NotAsked(key, lane.given_up or "stopped") for key, _ in lane.waiting]
