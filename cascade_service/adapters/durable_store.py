"""The decision store as the cascade sees it: watched, and with a spool for the time when it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import structlog
from opentelemetry.metrics import Meter, Observation
from pydantic import ConfigDict, TypeAdapter

from cascade_service.adapters.spool import Spool, Spooled
from cascade_service.domain.decision import Decision, Feedback
from cascade_service.domain.errors import DecisionNotFound, StoreUnavailable
from cascade_service.domain.ports import DecisionStore
from servicekit import semconv

_log = structlog.get_logger(__name__)

_PREPARE_S = 30.0
"""Making tables takes longer than a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An entry of the spool: a record, or feedback on one. An unknown field is an error: it would be lost."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    decision: Decision | None = None
    decision_id: str = ""
    feedback: Feedback | None = None


_SAID = TypeAdapter(_Said)


class Backing(DecisionStore, Protocol):
    """A decision store that can be watched and replayed to."""

    async def prepare(self) -> None:
        """Creates the tables that are missing."""
        ...

    async def check(self) -> None:
        """Returns when records can be written."""
        ...

    async def add_feedback_once(self, decision_id: str, opinion: Feedback) -> None:
        """Adds feedback unless the very same is there. Raises ``DecisionNotFound``."""
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


class StoreMeters:
    """What the spool and the state of the store are told to."""

    def __init__(self, meter: Meter) -> None:
        self.spooled = meter.create_counter(semconv.METRIC_STORE_SPOOLED, unit="{entry}", description="Entries written to the spool.")
        self.replayed = meter.create_counter(
            semconv.METRIC_STORE_REPLAYED, unit="{entry}", description="Entries of the spool written to the store."
        )
        self.size = self.up = 0
        observe = meter.create_observable_gauge
        observe(semconv.METRIC_STORE_SPOOL_SIZE, [lambda _: [Observation(self.size)]], unit="By", description="Size of the spool.")
        observe(semconv.METRIC_STORE_UP, [lambda _: [Observation(self.up)]], unit="1", description="1 while the store takes records.")


class DurableStore:
    """Implements the domain's ``DecisionStore`` over ``store``. ``run`` watches it, and replays the spool when it is back.

    With ``spools``, what the store does not take within ``write_s`` seconds goes to ``spool``. A spool that is there is replayed
    with and without.
    """

    def __init__(self, store: Backing, spool: Spool | None, *, spools: bool, write_s: float, meters: StoreMeters) -> None:
        self._store = store
        self._spool = spool
        self._spools = spools and spool is not None
        self._write_s = write_s
        self._meters = meters
        self._doubt = asyncio.Event()
        self._prepared = False
        self.up = True

    @property
    def ready(self) -> bool:
        """True while the record of one more request can be kept."""
        return self.up or (self._spools and self._spool is not None and self._spool.has_room)

    def check_ready(self) -> None:
        """Raises ``StoreUnavailable`` unless the record of one more request can be kept. Asks nobody."""
        if not self.ready:
            more = " and the spool is full" if self._spools else ""
            raise StoreUnavailable(f"the decision store can't be reached{more}: nothing is answered without a record")

    async def prepare(self) -> None:
        """Creates the tables that are missing. Raises ``StoreUnavailable``."""
        await self._in_time(self._store.prepare(), seconds=_PREPARE_S)
        self._prepared = True
        self._set_up(up=True)

    async def save(self, decision: Decision) -> None:
        """Returns when the record is durable, in the store or in the spool."""
        spooled_before = self._spool is not None and decision.decision_id in self._spool
        if spooled_before or (self._spools and not self.up):
            await self._append(_Said(decision=decision))
            return
        try:
            await self._in_time(self._store.save(decision))
        except StoreUnavailable:
            self._doubt.set()
            if not self._spools:
                raise
            await self._append(_Said(decision=decision))

    async def get(self, decision_id: str) -> Decision:
        """The record, from the spool while it is there. Raises ``DecisionNotFound``."""
        if self._spool is None or decision_id not in self._spool:
            return await self._store.get(decision_id)
        found: Decision | None = None
        opinions: list[Feedback] = []
        for text in await self._spool.of(decision_id):
            said = _SAID.validate_json(text)
            found = said.decision or found
            if said.feedback is not None:
                opinions.append(said.feedback)
        if found is None:  # replayed between the two looks
            return await self._store.get(decision_id)
        return replace(found, feedback=tuple(opinions))

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        """Adds feedback, to the spool while the record is there. Raises ``DecisionNotFound``."""
        if self._spool is not None and decision_id in self._spool:
            await self._append(_Said(decision_id=decision_id, feedback=opinion))
            return
        try:
            await self._store.add_feedback(decision_id, opinion)
        except StoreUnavailable:
            self._doubt.set()
            raise

    async def run(self, *, look_every_s: float) -> None:
        """Watches the store and replays the spool, until cancelled."""
        while True:
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(look_every_s):
                    await self._doubt.wait()
            self._doubt.clear()

    async def look(self) -> None:
        """Asks the store whether it takes records; if so, replays the spool. Never raises."""
        try:
            if self._prepared:
                await self._in_time(self._store.check())
                self._set_up(up=True)
            else:
                await self.prepare()
        except StoreUnavailable:
            self._set_up(up=False)
            return
        if self._spool is not None and self._spool.size:
            try:
                await self._replay(self._spool)
            except StoreUnavailable as error:
                _log.warning("replay_stopped", cause=str(error))
            self._meters.size = self._spool.size

    async def aclose(self) -> None:
        """Closes store and spool; what is in the spool stays for the next start."""
        if self._spool is not None:
            await self._spool.aclose()
        await self._store.aclose()

    async def _append(self, said: _Said) -> None:
        spool = self._spool
        if spool is None:
            raise StoreUnavailable("the decision store can't be reached")
        decision_id = said.decision_id or (said.decision.decision_id if said.decision is not None else "")
        await spool.append(decision_id, _SAID.dump_json(said).decode())
        self._meters.spooled.add(1)
        self._meters.size = spool.size

    async def _replay(self, spool: Spool) -> None:
        """Writes all entries to the store, in their order. Writing one twice changes nothing, so a crash here costs only time."""
        start = count = 0
        while True:
            batch, start = await spool.batch(start)
            for entry in batch:
                await self._replay_one(spool, entry)
            count += len(batch)
            if await spool.clear(start):
                break
        self._meters.replayed.add(count)
        _log.info("spool_replayed", entries=count)

    async def _replay_one(self, spool: Spool, entry: Spooled) -> None:
        try:
            said = _SAID.validate_json(entry.text)
        except ValueError:
            _log.error("spooled_entry_not_understood", decision_id=entry.decision_id)  # the error may quote texts
            await asyncio.to_thread(spool.set_aside, entry)
            return
        try:
            await self._in_time(self._write(said))
        except StoreUnavailable:
            await self._in_time(self._store.check())
            try:
                await self._in_time(self._write(said))
            except StoreUnavailable:
                # The store is there and will not have it: the others must not wait for it.
                _log.error("spooled_entry_set_aside", decision_id=entry.decision_id)
                await asyncio.to_thread(spool.set_aside, entry)

    async def _write(self, said: _Said) -> None:
        if said.decision is not None:
            await self._store.save(said.decision)
        if said.feedback is not None:
            with suppress(DecisionNotFound):
                await self._store.add_feedback_once(said.decision_id, said.feedback)

    async def _in_time(self, work: Awaitable[None], *, seconds: float | None = None) -> None:
        limit_s = seconds or self._write_s
        try:
            async with asyncio.timeout(limit_s):
                await work
        except TimeoutError as error:
            raise StoreUnavailable(f"the decision store did not answer within {limit_s:g} s") from error

    def _set_up(self, *, up: bool) -> None:
        self._meters.up = int(up)
        if up != self.up:
            self.up = up
            (_log.info if up else _log.warning)("store_up" if up else "store_down", spools=self._spools)
