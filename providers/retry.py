"""Asks the same model again after a failure that may pass."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from providers.errors import ProviderError
from providers.patience import with_time_left
from providers.port import ChatEvent, ChatModel, ChatRequest, ModelCard
from providers.traced import tell_retry


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """``attempts_max`` calls at most, the first included; waits of ``backoff_initial_s``, doubled each time up to ``backoff_max_s``.

    Each wait is drawn from its upper half, so that callers that failed together don't come back together.
    """

    attempts_max: int = 3
    backoff_initial_s: float = 0.2
    backoff_max_s: float = 5.0

    def wait_s(self, error: ProviderError, *, attempt: int, uniform: Callable[[float, float], float]) -> float | None:
        """Seconds to wait after call number ``attempt``, 1 for the first, failed with ``error``; None to give up.

        Retry-After is honoured: never less than it, and a longer one than ``backoff_max_s`` is a reason to give up.
        """
        if not error.retryable or attempt >= self.attempts_max:
            return None
        asked = error.retry_after_s or 0.0
        if asked > self.backoff_max_s:
            return None
        backoff = min(self.backoff_max_s, self.backoff_initial_s * 2.0 ** (attempt - 1))
        return max(asked, uniform(backoff / 2.0, backoff))


class RetryingModel:
    """Retries calls that failed before their first event; ``ChatRequest.timeout_s`` bounds all calls and waits together."""

    def __init__(
        self,
        inner: ChatModel,
        policy: RetryPolicy,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._sleep = sleep
        self._uniform = uniform
        self._clock = clock

    @property
    def card(self) -> ModelCard:
        """The card of the model underneath."""
        return self._inner.card

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answers as the model underneath; raises the error of the last call."""
        clock = self._clock or asyncio.get_running_loop().time
        deadline = None if request.timeout_s is None else clock() + request.timeout_s
        attempt = 0
        while True:
            attempt += 1
            started = False
            try:
                async with aclosing(self._inner.stream(with_time_left(request, deadline, clock, self.card.name))) as events:
                    async for event in events:
                        started = True
                        yield event
            except ProviderError as error:
                wait_s = None if started else self._policy.wait_s(error, attempt=attempt, uniform=self._uniform)
                if wait_s is None or (deadline is not None and clock() + wait_s >= deadline):
                    raise
                tell_retry(request, error, wait_s)
            else:
                return
            await self._sleep(wait_s)

    async def aclose(self) -> None:
        """Closes the model underneath."""
        await self._inner.aclose()
