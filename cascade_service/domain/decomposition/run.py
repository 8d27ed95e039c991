"""A request that may be compound: split, its parts run as cascades of their own, side by side where they can, and joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from cascade_service.domain.attempt import Attempt, spent
from cascade_service.domain.ceilings import Ceilings
from cascade_service.domain.chat import Message, OutputKind, Role
from cascade_service.domain.decomposition.joining import Joiner
from cascade_service.domain.decomposition.numbering import Numbering, numbered_models
from cascade_service.domain.decomposition.outcome import EndedPart, joined_completion
from cascade_service.domain.decomposition.shares import Shares, part_deadline_s, rounds
from cascade_service.domain.decomposition.splitting import Part, Split, SplitLimits
from cascade_service.domain.errors import CascadeError
from cascade_service.domain.events import CascadeEvent, Committed, Completed, Completion, Decomposed, Delta, Retracted
from cascade_service.domain.quotas import Use
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts
from cascade_service.domain.run import Run


@dataclass(frozen=True, slots=True)
class _Ended:
    """A part's cascade is over. ``error`` is what it raised."""

    error: Exception | None


@dataclass(slots=True)
class _Running:
    """A part under way."""

    run: Run
    task: asyncio.Task[None]
    completion: Completion | None = None
    ended: EndedPart | None = None


class DecomposedRun:
    """Runs one request that may be split. ``attempts`` stays readable after the stream has ended, however it ended."""

    def __init__(self, request: CascadeRequest, parts: CascadeParts) -> None:
        self._request = request
        self._parts = parts
        self._options = parts.decomposition
        self._started_at_s = parts.clock.monotonic_s()
        self._split_use = Use()
        self._whole: Run | None = None
        self._plan: tuple[Part, ...] = ()
        self._running: list[_Running] = []
        self._numbering = Numbering()
        self._inbox: asyncio.Queue[tuple[int, CascadeEvent | _Ended]] = asyncio.Queue(maxsize=1)

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts so far, by their numbers in the whole request."""
        if self._whole is not None:
            return self._whole.attempts
        found = [attempt for index in range(len(self._running)) for attempt in self._attempts_of(index)]
        return sorted(found, key=lambda attempt: attempt.number)

    @property
    def use(self) -> Use:
        """What splitting and all parts together have used so far."""
        uses = [self._split_use, *(run.use for run in self._runs())]
        return Use(tokens=sum(use.tokens for use in uses), cost_nano_usd=sum(use.cost_nano_usd for use in uses))

    async def events(self) -> AsyncGenerator[CascadeEvent, None]:
        """The events of the request. Raises ``CascadeError``: the first part's, when no part has an answer."""
        split = await self._split()
        self._split_use = Use(tokens=split.tokens, cost_nano_usd=split.cost_nano_usd)
        yield Decomposed(
            decision_id=self._request.decision_id,
            parts=split.parts,
            splitter=self._options.splitter.name,
            reason=split.reason,
            cost_nano_usd=split.cost_nano_usd,
        )
        ceilings = self._request.ceilings
        ceilings = replace(ceilings, cost_max_nano_usd=max(0, ceilings.cost_max_nano_usd - split.cost_nano_usd))
        running = self._run_parts(split, ceilings) if split.parts else self._run_whole(split, ceilings)
        async with aclosing(running) as events:
            async for event in events:
                yield event

    def abandon(self) -> None:
        """Closes the books on attempts that were left in the middle because the caller went away."""
        for run in self._runs():
            run.abandon()

    def _runs(self) -> list[Run]:
        return [running.run for running in self._running] if self._whole is None else [self._whole]

    async def _split(self) -> Split:
        request, clock = self._request, self._parts.clock
        ceilings = request.ceilings
        parts_max = min(request.parts_max or 0, ceilings.attempts_max, ceilings.output_tokens_max)
        if parts_max < 2:  # noqa: PLR2004 - the least that is several
            return Split(reason="the ceilings leave no room for two parts")
        if request.output.kind is not OutputKind.UNSPECIFIED:
            return Split(reason="the answer must have one form as a whole")
        time_left_s = request.deadline_at_s - clock.monotonic_s() - self._parts.rules.times.margin_s
        limits = SplitLimits(
            parts_max=parts_max,
            cost_max_nano_usd=ceilings.cost_max_nano_usd,
            timeout_s=max(0.0, min(self._options.timeout_s, time_left_s)),
        )
        return await self._options.splitter.split(request.messages[-1].content, limits)

    async def _run_whole(self, split: Split, ceilings: Ceilings) -> AsyncGenerator[CascadeEvent, None]:
        self._whole = Run(replace(self._request, ceilings=ceilings), self._parts)
        async with aclosing(self._whole.events()) as events:
            async for event in events:
                if isinstance(event, Completed):
                    cost = event.completion.cost_nano_usd + split.cost_nano_usd
                    total_s = self._parts.clock.monotonic_s() - self._started_at_s
                    timing = replace(event.completion.timing, total_s=total_s)
                    yield Completed(completion=replace(event.completion, cost_nano_usd=cost, timing=timing))
                else:
                    yield event

    async def _run_parts(self, split: Split, ceilings: Ceilings) -> AsyncGenerator[CascadeEvent, None]:
        self._plan = split.parts
        shares, joiner = Shares(ceilings, len(split.parts)), Joiner([part.label for part in split.parts])
        try:
            self._start_what_can(shares)
            while not all(running.ended for running in self._running) or len(self._running) < len(self._plan):
                index, event = await self._inbox.get()
                for told in self._take(index, event, shares, joiner):
                    yield told
        finally:
            await self._stop()
        yield Completed(completion=self._join(split, joiner))

    def _take(self, index: int, event: CascadeEvent | _Ended, shares: Shares, joiner: Joiner) -> Iterator[CascadeEvent]:
        match event:
            case Delta() | Committed() | Retracted():
                yield from joiner.take(index, event)
            case Completed():
                self._running[index].completion = event.completion
            case _Ended(error):
                self._end(index, error, shares)
                yield from joiner.end(index)
            case _:
                yield event

    def _start_what_can(self, shares: Shares) -> None:
        """Starts parts in their order: one that needs the earlier waits for all of them, and the others for a free place."""
        placed = rounds(self._plan, parallel_max=self._options.parallel_max)
        while (index := len(self._running)) < len(self._plan):
            busy = sum(running.ended is None for running in self._running)
            if busy >= self._options.parallel_max or (busy and self._plan[index].needs_earlier):
                return
            self._start(index, shares.of(index), rounds_left=placed[-1] - placed[index] + 1)

    def _start(self, index: int, ceilings: Ceilings, *, rounds_left: int) -> None:
        deadline_at_s = part_deadline_s(
            now_s=self._parts.clock.monotonic_s(), deadline_at_s=self._request.deadline_at_s, rounds_left=rounds_left
        )
        request = replace(self._request, messages=self._messages_of(index), ceilings=ceilings, deadline_at_s=deadline_at_s)
        models = numbered_models(self._parts.models, number=lambda attempt: self._numbering.of(index, attempt))
        run = Run(request, replace(self._parts, models=models))
        self._running.append(_Running(run, asyncio.create_task(self._pump(index, run))))

    def _messages_of(self, index: int) -> tuple[Message, ...]:
        """What was said before, what came of the earlier parts where they are needed, and the part itself in place of the last turn."""
        part, before = self._plan[index], list(self._request.messages[:-1])
        if part.needs_earlier:
            for earlier, running in zip(self._plan, self._running, strict=False):
                if running.completion is not None:
                    before += [Message(Role.USER, earlier.text), Message(Role.ASSISTANT, running.completion.text)]
        return (*before, Message(Role.USER, part.text))

    async def _pump(self, index: int, run: Run) -> None:
        error: Exception | None = None
        try:
            async with aclosing(self._options.watch.watch(index, self._numbering.events(index, run.events()))) as events:
                async for event in events:
                    await self._inbox.put((index, event))
        except Exception as raised:  # noqa: BLE001 - raised again or reported by the task that reads the inbox
            error = raised
        await self._inbox.put((index, _Ended(error)))

    def _end(self, index: int, error: Exception | None, shares: Shares) -> None:
        if error is not None and not isinstance(error, CascadeError):
            raise error
        running = self._running[index]
        running.ended = EndedPart(self._plan[index], running.completion, error, tuple(self._attempts_of(index)))
        for heir in shares.settle(index, spent(running.run.attempts)):
            if heir < len(self._running):
                self._running[heir].run.allow(shares.of(heir))
        self._start_what_can(shares)

    def _join(self, split: Split, joiner: Joiner) -> Completion:
        ended = [running.ended for running in self._running if running.ended is not None]
        failed = [(one.error, joiner.range_of(index)) for index, one in enumerate(ended) if one.error is not None]
        for error, (start, end) in failed:
            if end > start or len(failed) == len(ended):  # text that is final and must not be given ends the request, as it does alone
                raise error
        total_s = self._parts.clock.monotonic_s() - self._started_at_s
        return joined_completion(self._request, ended, joiner, split_cost_nano_usd=split.cost_nano_usd, total_s=total_s)

    def _attempts_of(self, index: int) -> Iterator[Attempt]:
        for attempt in self._running[index].run.attempts:
            yield self._numbering.attempt(index, attempt)

    async def _stop(self) -> None:
        tasks = {running.task for running in self._running}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
