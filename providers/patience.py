"""How long one call may wait for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from providers.errors import DeadlineReached, ProviderTimeout
from providers.port import ChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits of one call, in seconds, each above 0."""

    connect_s: float = 5.0
    first_chunk_s: float = 60.0
    idle_s: float = 30.0
    total_s: float = 300.0


def with_time_left(request: ChatRequest, deadline: float | None, clock: Callable[[], float], model: str) -> ChatRequest:
    """``request`` with the time that is left until ``deadline``, on the scale of ``clock``; unchanged without a deadline.

    Raises ``DeadlineReached`` when none is left.
    """
    if deadline is None:
        return request
    left_s = deadline - clock()
    if left_s <= 0.0:
        raise DeadlineReached(f"{model}: the time that the caller gave is over", model=model)
    return replace(request, timeout_s=left_s)


class Patience:
    """Knows the deadline that comes next in one call, and how to say that it has passed.

    ``clock`` counts seconds; ``timeout_s`` is the caller's own limit on the whole call.
    """

    def __init__(self, timeouts: Timeouts, timeout_s: float | None, *, model: str, clock: Callable[[], float]) -> None:
        self._timeouts = timeouts
        self._model = model
        self._clock = clock
        self._started = clock()
        self._caller_s = timeout_s
        self._progress = 0
        self._heard_at = self._started

    def heard(self, progress: int) -> None:
        """Notes how far the answer has come; only something new starts the idle time afresh."""
        if progress > self._progress:
            self._progress = progress
            self._heard_at = self._clock()

    def deadline(self) -> float:
        """The next deadline on the clock."""
        return min(when for when, _ in self._deadlines())

    def error(self) -> ProviderTimeout:
        """The error for the deadline that comes first."""
        _, error = min(self._deadlines(), key=lambda deadline: deadline[0])
        return error

    def _deadlines(self) -> list[tuple[float, ProviderTimeout]]:
        limits = self._timeouts
        deadlines = [(self._started + limits.total_s, self._timeout("an end", limits.total_s))]
        if self._progress == 0:
            deadlines.append((self._started + limits.first_chunk_s, self._timeout("a first chunk", limits.first_chunk_s)))
        else:
            deadlines.append((self._heard_at + limits.idle_s, self._timeout("a further chunk", limits.idle_s)))
        if self._caller_s is not None:
            text = f"{self._model}: no end within the {self._caller_s:g} s that the caller gave"
            deadlines.append((self._started + self._caller_s, DeadlineReached(text, model=self._model)))
        return deadlines

    def _timeout(self, awaited: str, limit_s: float) -> ProviderTimeout:
        return ProviderTimeout(f"{self._model}: no sign of {awaited} within {limit_s:g} s", model=self._model)
