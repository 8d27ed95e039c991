"""A model's stream read in the background, with verdicts on what it has written so far coming in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from cascade_service.domain.errors import JudgeUnavailable, ModelFailed
from cascade_service.domain.model import AnswerEnd, ModelEvent, TextChunk
from cascade_service.domain.verdict import Verdict

StreamPart = TextChunk | AnswerEnd | ModelFailed | None
"""What comes of reading a model's stream: a piece, its end, its failure, or ``None`` when it stops without an end."""


@dataclass(frozen=True, slots=True)
class PrefixJudged:
    """The first ``chars`` characters of the answer have been judged; ``verdict`` is ``None`` when nobody could."""

    chars: int
    verdict: Verdict | None


async def read_part(stream: AsyncGenerator[ModelEvent, None]) -> StreamPart:
    """The next part of a model's stream."""
    try:
        return await anext(stream, None)
    except ModelFailed as failed:
        return failed


class WatchedStream:
    """Reads a model's stream in one task and judges in another; both report into one inbox with room for one.

    So judging never holds up the reading, a slow caller slows the model down, and at most one piece waits. ``aclose`` must be called.
    """

    def __init__(self, stream: AsyncGenerator[ModelEvent, None]) -> None:
        self._inbox: asyncio.Queue[StreamPart | PrefixJudged | Exception] = asyncio.Queue(maxsize=1)
        self._reader = asyncio.create_task(self._read(stream))
        self._judging: asyncio.Task[None] | None = None

    @property
    def judging(self) -> bool:
        """True while a verdict is awaited."""
        return self._judging is not None

    def judge(self, chars: int, ask: Callable[[], Awaitable[Verdict]]) -> None:
        """Asks for a verdict on the first ``chars`` characters in the background. One at a time."""
        self._judging = asyncio.create_task(self._await_verdict(chars, ask))

    async def next(self) -> StreamPart | PrefixJudged:
        """What happens next. Raises what the model's stream raises besides ``ModelFailed``."""
        happened = await self._inbox.get()
        if isinstance(happened, PrefixJudged):
            self._judging = None
        if isinstance(happened, Exception) and not isinstance(happened, ModelFailed):
            raise happened
        return happened

    async def aclose(self) -> None:
        """Ends the call to the provider and the judging, and returns when both have ended."""
        tasks = {task for task in (self._reader, self._judging) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if not self._reader.cancelled() and (error := self._reader.exception()) is not None:
            raise error

    async def _read(self, stream: AsyncGenerator[ModelEvent, None]) -> None:
        async with aclosing(stream):
            while isinstance(part := await self._guarded(stream), TextChunk):
                await self._inbox.put(part)
        await self._inbox.put(part)  # the call to the provider is over when its end is told

    async def _guarded(self, stream: AsyncGenerator[ModelEvent, None]) -> StreamPart | Exception:
        try:
            return await read_part(stream)
        except Exception as error:  # noqa: BLE001 - raised again by `next`, in the task that can tell it
            return error

    async def _await_verdict(self, chars: int, ask: Callable[[], Awaitable[Verdict]]) -> None:
        try:
            judged: PrefixJudged | Exception = PrefixJudged(chars, await ask())
        except JudgeUnavailable:
            judged = PrefixJudged(chars, None)
        except Exception as error:  # noqa: BLE001 - raised again by `next`, in the task that can tell it
            judged = error
        await self._inbox.put(judged)
