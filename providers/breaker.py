"""Keeps calls away from an endpoint that keeps failing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

from providers.errors import (
    CircuitOpen,
    ConcurrencyExceeded,
    ConnectionBroken,
    DeadlineReached,
    MalformedResponse,
    NotRecorded,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    ServerFault,
)
from providers.port import ChatEvent, ChatModel, ChatRequest, ModelCard

_ENDPOINT_FAILS = (Overloaded, ServerFault, ProviderTimeout, ConnectionBroken, MalformedResponse)
_SAYS_NOTHING = (ConcurrencyExceeded, CircuitOpen, DeadlineReached, NotRecorded)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """Opens after ``failures_to_open`` failures in a row; after ``open_s`` seconds one call probes the endpoint."""

    failures_to_open: int = 5
    open_s: float = 10.0


class BreakerState(Enum):
    """Closed: calls pass. Open: calls are refused. Half open: one call passes and decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def _nobody(state: BreakerState) -> None:
    """Listens to nothing."""


class BreakingModel:
    """A circuit breaker: closed (calls pass), open (calls are refused), half open (one call passes and decides).

    Only what says something about the endpoint moves it. Failures are faults of the server, broken connections, timeouts of ours and
    garbage. Refusals (429, 4xx) show an endpoint that works and count as success. Our own limits, the caller's deadline and a cancel
    before the first event say nothing. ``clock`` counts seconds; ``on_change`` is told each new state.
    """

    def __init__(
        self, inner: ChatModel, policy: BreakerPolicy, *, clock: Callable[[], float], on_change: Callable[[BreakerState], None] = _nobody
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def card(self) -> ModelCard:
        """The card of the model underneath."""
        return self._inner.card

    @property
    def admits(self) -> bool:
        """False while calls are kept away; a probe may pass."""
        return self._opened_at is None or (self._left_s(self._opened_at) <= 0.0 and not self._probing)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answers as the model underneath; raises ``CircuitOpen`` while calls are kept away."""
        probe = self._admit()
        alive: bool | None = None
        try:
            async with aclosing(self._inner.stream(request)) as events:
                async for event in events:
                    alive = True
                    yield event
        except ProviderError as error:
            alive = _verdict(error)
            raise
        finally:
            self._settle(alive=alive, probe=probe)

    async def aclose(self) -> None:
        """Closes the model underneath."""
        await self._inner.aclose()

    def _admit(self) -> bool:
        """Lets a call pass or raises; true when the call is the probe."""
        if self._opened_at is None:
            return False
        if not self.admits:
            left_s = self._left_s(self._opened_at)
            text = f"{self.card.name}: kept away from the endpoint after {self._failures} failures in a row"
            raise CircuitOpen(text, model=self.card.name, retry_after_s=max(left_s, 0.0))
        self._probing = True
        self._on_change(BreakerState.HALF_OPEN)
        return True

    def _left_s(self, opened_at: float) -> float:
        """Seconds until a probe may pass."""
        return opened_at + self._policy.open_s - self._clock()

    def _settle(self, *, alive: bool | None, probe: bool) -> None:
        if probe:
            self._probing = False
        if alive is None:
            return
        if alive:
            # Of the calls that began before the circuit opened none may close it: only the probe asked after that.
            if probe or self._opened_at is None:
                self._failures, self._opened_at = 0, None
            if probe:
                self._on_change(BreakerState.CLOSED)
            return
        self._failures += 1
        if probe or (self._opened_at is None and self._failures >= self._policy.failures_to_open):
            self._opened_at = self._clock()
            self._on_change(BreakerState.OPEN)


def _verdict(error: ProviderError) -> bool | None:
    """What ``error`` says about the endpoint: it lives, it fails, or nothing."""
    if isinstance(error, _SAYS_NOTHING):
        return None
    return not isinstance(error, _ENDPOINT_FAILS)
