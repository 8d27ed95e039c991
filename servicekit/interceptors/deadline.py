"""Every call has a deadline, and the end of the server is one too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from servicekit.calls import CallState, current_call
from servicekit.deadline import own_remaining_s
from servicekit.errors import ShuttingDown
from servicekit.interceptors.base import IncomingCall, NamedInterceptor


class DeadlineInterceptor(NamedInterceptor):
    """Gives calls without a deadline the default, shortens those beyond the most, and cancels handlers when time is up."""

    name = "deadline"

    def __init__(self, *, default_s: float, max_s: float) -> None:
        self._default_s = default_s
        self._max_s = max_s
        self._scopes: set[asyncio.Timeout] = set()
        self._ended = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Calls between the start of their handler and its end."""
        return len(self._scopes)

    async def wait_idle(self) -> None:
        """Returns when no call is in flight."""
        await self._idle.wait()

    def end_all(self) -> None:
        """Cancels every handler in flight and refuses further calls, all with UNAVAILABLE / SHUTTING_DOWN."""
        self._ended = True
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(now)

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncGenerator[None]:
        """Runs the handler under its deadline. Raises TimeoutError, or `ShuttingDown` after `end_all`."""
        if self._ended:
            raise ShuttingDown
        own_s = own_remaining_s(call.context)
        allowed_s = min(self._default_s if own_s is None else own_s, self._max_s)
        state = current_call() or CallState(call.method)
        state.deadline_at = time.monotonic() + allowed_s
        scope = asyncio.timeout(allowed_s)
        try:
            async with scope:
                self._scopes.add(scope)
                self._idle.clear()
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise  # the handler's own, not ours
            if self._ended:
                raise ShuttingDown from error
            raise TimeoutError(f"the deadline passed after {state.duration_s:.1f} s") from error
        finally:
            self._scopes.discard(scope)
            if not self._scopes:
                self._idle.set()
