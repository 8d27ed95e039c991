"""Micro-batching: texts that arrive together go through the encoder together, off the event loop, behind a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from router_service.domain.errors import EncoderOverloaded

RETRY_AFTER_MIN_S = 0.1
"""Callers are never told to come again sooner than this."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Cancellable(Protocol):
    """A timer that has been set."""

    def cancel(self) -> None:
        """Keeps it from going off."""
        ...


SetTimer = Callable[[float, Callable[[], None]], Cancellable]
"""Calls a function after so many seconds, such as ``loop.call_later``."""
RunBatch = Callable[[Sequence[ItemT]], "asyncio.Future[Sequence[ResultT]]"]
"""Starts the work on a batch off the event loop; the future brings one result per item, in order."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``batch_max`` items at once, ``wait_max_s`` seconds for a batch to fill, ``queue_max`` items that wait."""

    batch_max: int
    wait_max_s: float
    queue_max: int


@dataclass(frozen=True, slots=True)
class Batched(Generic[ResultT]):
    """A result with the seconds that its item waited, the seconds that the batch took, and the size of the batch."""

    value: ResultT
    queue_s: float
    run_s: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[ItemT, ResultT]):
    item: ItemT
    done: asyncio.Future[Batched[ResultT]]
    since: float


class MicroBatcher(Generic[ItemT, ResultT]):
    """Collects items into batches and runs one batch at a time.

    While a batch runs, the next one collects without further delay; the timer only matters when nothing runs. An item whose caller has
    gone is dropped before it is run. To be used from one event loop.
    """

    def __init__(self, run: RunBatch[ItemT, ResultT], *, limits: BatchLimits, clock: Callable[[], float], set_timer: SetTimer) -> None:
        """``clock`` gives seconds that never go back."""
        self._run = run
        self._limits = limits
        self._clock = clock
        self._set_timer = set_timer
        self._waiting: deque[_Waiting[ItemT, ResultT]] = deque()
        self._timer: Cancellable | None = None
        self._running = False
        self._last_run_s = limits.wait_max_s

    async def submit(self, item: ItemT) -> Batched[ResultT]:
        """The result for ``item``. Raises ``EncoderOverloaded`` at once when the queue is full, and whatever its batch raised."""
        self._drop_abandoned()
        if len(self._waiting) >= self._limits.queue_max:
            raise EncoderOverloaded(waiting=len(self._waiting), queue_max=self._limits.queue_max, retry_after_s=self._drained_after_s())
        entry = _Waiting(item, asyncio.get_running_loop().create_future(), self._clock())
        self._waiting.append(entry)
        if not self._running:
            if len(self._waiting) >= self._limits.batch_max:
                self._start()
            elif self._timer is None:
                self._timer = self._set_timer(self._limits.wait_max_s, self._start)
        return await entry.done

    def close(self) -> None:
        """Gives up on everything that waits; a batch that runs is left to end."""
        self._cancel_timer()
        while self._waiting:
            self._waiting.popleft().done.cancel()

    def _drained_after_s(self) -> float:
        batches_ahead = 1 + len(self._waiting) // self._limits.batch_max
        return max(RETRY_AFTER_MIN_S, batches_ahead * self._last_run_s)

    def _drop_abandoned(self) -> None:
        if any(entry.done.done() for entry in self._waiting):
            self._waiting = deque(entry for entry in self._waiting if not entry.done.done())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._cancel_timer()
        self._drop_abandoned()
        batch = [self._waiting.popleft() for _ in range(min(self._limits.batch_max, len(self._waiting)))]
        if not batch:
            return
        self._running = True
        started = self._clock()
        running = self._run([entry.item for entry in batch])
        running.add_done_callback(lambda finished: self._finish(batch, finished, started))

    def _finish(self, batch: list[_Waiting[ItemT, ResultT]], finished: asyncio.Future[Sequence[ResultT]], started: float) -> None:
        self._running = False
        self._last_run_s = self._clock() - started
        if finished.cancelled():
            for entry in batch:
                entry.done.cancel()
        elif (error := finished.exception()) is not None:
            for entry in batch:
                if not entry.done.done():
                    entry.done.set_exception(error)
        else:
            for entry, value in zip(batch, finished.result(), strict=True):
                if not entry.done.done():
                    entry.done.set_result(Batched(value, started - entry.since, self._last_run_s, len(batch)))
        if self._waiting:
            self._start()
