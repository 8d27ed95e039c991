"""Admission: a bounded number of calls in flight, a bounded queue before it, and an early no to the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from servicekit.calls import CallState, current_call
from servicekit.errors import Overloaded
from servicekit.interceptors.base import IncomingCall, NamedInterceptor


class AdmissionInterceptor(NamedInterceptor):
    """Lets calls in, in order of arrival. Raises `Overloaded` when the queue is full or the wait took too long.

    ``in_flight_max`` is 1 or more, ``queue_max`` 0 or more, ``queue_wait_max_s`` in seconds.
    """

    name = "admission"

    def __init__(self, *, in_flight_max: int, queue_max: int, queue_wait_max_s: float) -> None:
        self._slots = asyncio.Semaphore(in_flight_max)
        self._in_flight_max = in_flight_max
        self._queue_max = queue_max
        self._queue_wait_max_s = queue_wait_max_s
        self._waiting = 0

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncGenerator[None]:
        """Holds one slot while the handler runs."""
        state = current_call() or CallState(call.method)
        arrived_at = time.monotonic()
        if self._slots.locked():
            await self._wait()
        else:
            await self._slots.acquire()
        state.queue_s = time.monotonic() - arrived_at
        try:
            yield
        finally:
            self._slots.release()

    async def _wait(self) -> None:
        if self._waiting >= self._queue_max:
            raise self._refusal(f"{self._in_flight_max:,} calls are in flight and {self._waiting:,} wait")
        self._waiting += 1
        scope = asyncio.timeout(self._queue_wait_max_s)
        try:
            async with scope:
                await self._slots.acquire()
        except TimeoutError:
            raise self._refusal(f"no slot came free in {self._queue_wait_max_s:g} s") from None
        finally:
            self._waiting -= 1

    def _refusal(self, message: str) -> Overloaded:
        # Whoever comes back after a whole queue wait meets a queue that has turned over once.
        return Overloaded(message, retry_after_s=self._queue_wait_max_s)
