"""Writing decision records so that neither a slow store nor a cancelled request loses or delays them without bound."""

from __future__ import annotations

import asyncio

from cascade_service.domain.decision import Decision
from cascade_service.domain.errors import StoreUnavailable
from cascade_service.domain.ports import DecisionStore


class Recorder:
    """Writes records, each within ``timeout_s`` seconds. ``record_text`` says whether records may contain texts."""

    def __init__(self, store: DecisionStore, *, timeout_s: float, record_text: bool) -> None:
        self.record_text = record_text
        self._store = store
        self._timeout_s = timeout_s
        self._writing: set[asyncio.Task[None]] = set()

    async def write(self, decision: Decision) -> None:
        """Returns when the record is durable. Raises ``StoreUnavailable``. A cancelled caller does not stop the write."""
        await asyncio.shield(self._start(decision))

    async def write_last(self, decision: Decision) -> None:
        """Writes the record of a request that has already failed; a failure of the store adds nothing and is left to its log."""
        write = self._start(decision)
        await asyncio.wait({write})

    async def drain(self) -> None:
        """Waits for the writes that are still under way; each ends within its timeout."""
        while self._writing:
            await asyncio.wait(set(self._writing))

    def _start(self, decision: Decision) -> asyncio.Task[None]:
        before = {task for task in self._writing if task.get_name() == decision.decision_id}
        task = asyncio.create_task(self._save(decision, before), name=decision.decision_id)
        self._writing.add(task)
        task.add_done_callback(self._finish)
        return task

    async def _save(self, decision: Decision, before: set[asyncio.Task[None]]) -> None:
        if before:  # a request that was cancelled while its record was being written: the later record must win
            await asyncio.wait(before)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._store.save(decision)
        except TimeoutError as error:
            raise StoreUnavailable(f"the decision could not be recorded within {self._timeout_s:g} s") from error

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # the store has logged it; asking keeps asyncio from reporting it again
