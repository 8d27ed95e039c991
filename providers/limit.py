"""Bounds the calls in flight to one model, and the calls that wait for their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from providers.errors import ConcurrencyExceeded, DeadlineReached
from providers.port import ChatEvent, ChatModel, ChatRequest, ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """``concurrency_max`` calls in flight, ``queue_max`` waiting, each for ``queue_wait_max_s`` seconds at most."""

    concurrency_max: int = 8
    queue_max: int = 64
    queue_wait_max_s: float = 10.0


class LimitedModel:
    """Waiting calls go first come, first served. A slot is free again when its stream ends, fails, is closed or cancelled."""

    def __init__(self, inner: ChatModel, limit: ConcurrencyLimit) -> None:
        self._inner = inner
        self._limit = limit
        self._free = limit.concurrency_max
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def card(self) -> ModelCard:
        """The card of the model underneath."""
        return self._inner.card

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answers as the model underneath; raises ``ConcurrencyExceeded`` when there is no room.

        The wait counts against ``ChatRequest.timeout_s``.
        """
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        await self._take(request.timeout_s)
        try:
            if request.timeout_s is not None:
                request = replace(request, timeout_s=max(request.timeout_s - (clock() - asked_at), 0.001))
            async with aclosing(self._inner.stream(request)) as events:
                async for event in events:
                    yield event
        finally:
            self._give_back()

    async def aclose(self) -> None:
        """Closes the model underneath."""
        await self._inner.aclose()

    async def _take(self, timeout_s: float | None) -> None:
        if self._free > 0:
            self._free -= 1
            return
        name = self.card.name
        if len(self._waiting) >= self._limit.queue_max:
            text = f"{name}: {self._limit.concurrency_max} calls are in flight and {self._limit.queue_max} wait"
            raise ConcurrencyExceeded(text, model=name)
        wait_max_s = self._limit.queue_wait_max_s
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(wait_max_s if timeout_s is None else min(wait_max_s, timeout_s)):
                await turn
        except TimeoutError:
            self._leave(turn)
            if timeout_s is not None and timeout_s < wait_max_s:
                raise DeadlineReached(f"{name}: the time that the caller gave went by waiting for a slot", model=name) from None
            raise ConcurrencyExceeded(f"{name}: no slot became free within {wait_max_s:g} s", model=name) from None
        except asyncio.CancelledError:
            self._leave(turn)
            raise

    def _leave(self, turn: asyncio.Future[None]) -> None:
        """Leaves the queue; a slot that was handed over in the same moment goes on to the next."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled():
            self._give_back()

    def _give_back(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
