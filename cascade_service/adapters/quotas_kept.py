"""Quotas of this process: each request's tab written to the store, renewed while it runs, and settled even when the store was away."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import structlog
from opentelemetry.metrics import Meter

from cascade_service.adapters.quota_store import Entry, SqlQuotaStore
from cascade_service.domain.errors import StoreUnavailable
from cascade_service.domain.metering import Tab
from cascade_service.domain.ports import Clock
from cascade_service.domain.quotas import Account, LimitReached, Use, nanoseconds
from servicekit import semconv

_log = structlog.get_logger(__name__)

_UNSETTLED_MAX = 10_000
_SETTLED_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaTimes:
    """Times in seconds: one write, between two looks at the requests under way, and until a hold that is not renewed expires."""

    write_s: float
    look_every_s: float
    hold_s: float


class KeptQuotas:
    """Implements the domain's ``Quotas``. ``run`` does what must be done beside the requests."""

    def __init__(self, store: SqlQuotaStore, *, clock: Clock, times: QuotaTimes) -> None:
        self._store = store
        self._clock = clock
        self._times = times
        self._open: dict[str, Tab] = {}
        self._unsettled: deque[Entry] = deque(maxlen=_UNSETTLED_MAX)

    async def open(self, tab: Tab, need: Use) -> None:
        """Holds what ``tab`` needs. Raises ``LimitReached`` and ``StoreUnavailable``."""
        limited = [scope for scope in tab.scopes if scope.limits.any]
        if not limited:
            return
        now_ns = self._now_ns()
        try:
            async with asyncio.timeout(self._times.write_s):
                holds, cost = await self._store.reserve(tab.id, limited, need, now_ns=now_ns, expires_ns=self._expires_ns(now_ns))
        except TimeoutError as error:
            raise StoreUnavailable(f"limits could not be checked within {self._times.write_s:g} s") from error
        tab.holds, tab.cost_max_nano_usd = holds, cost
        tab.renewed_at_s = self._clock.monotonic_s()
        self._open[tab.id] = tab

    async def close(self, tab: Tab) -> None:
        """Settles ``tab`` now, or later when the store can't be reached. Never raises."""
        async with tab.lock:
            self._open.pop(tab.id, None)
            use = tab.use
            entries = [Entry(tab_id=tab.id, scope=scope, hold=tab.holds.get(scope.name), use=use) for scope in tab.scopes]
            if not await self._settled(entries):
                self._unsettled.extend(entries)

    async def accounts(self) -> list[Account]:
        """All accounts, in order of scope. Raises ``StoreUnavailable``."""
        return await self._store.accounts()

    async def run(self) -> None:
        """Renews and counts the requests under way, settles what is left over, ends those of processes that are gone; until cancelled."""
        while True:
            await asyncio.sleep(self._times.look_every_s)
            await self.look()

    async def look(self) -> None:
        """One round of ``run``. Never raises; what fails is done in the next round."""
        try:
            async with asyncio.timeout(self._times.write_s):
                await self._renew()
                await self._settle_rest()
                if expired := await self._store.expire(now_ns=self._now_ns()):
                    _log.warning("quota_holds_expired", holds=expired, effect="requests of a process that is gone hold nothing any more")
        except (StoreUnavailable, TimeoutError):
            pass  # the store has logged it

    async def aclose(self) -> None:
        """Tries once more to settle what is left over, then closes the store."""
        try:
            async with asyncio.timeout(self._times.write_s):
                await self._settle_rest()
        except (StoreUnavailable, TimeoutError):
            _log.warning("quota_use_lost", requests=len(self._unsettled), effect="their holds expire and count what was last noted")
        await self._store.aclose()

    async def _renew(self) -> None:
        now_s, now_ns = self._clock.monotonic_s(), self._now_ns()
        due = [tab for tab in self._open.values() if tab.outgrown or now_s - tab.renewed_at_s > self._times.hold_s / 3]
        for tab in due:
            async with tab.lock:
                if tab.id not in self._open:
                    continue  # closed while the one before was written
                use = tab.use
                held = [scope for scope in tab.scopes if scope.name in tab.holds]
                entries = [Entry(tab_id=tab.id, scope=scope, hold=tab.holds[scope.name], use=use) for scope in held]
                grown = await self._store.renew(entries, now_ns=now_ns, expires_ns=self._expires_ns(now_ns))
                tab.holds = {scope.name: hold for scope, hold in zip(held, grown, strict=True)}
                tab.renewed_at_s = now_s

    async def _settle_rest(self) -> None:
        while self._unsettled:
            some = [self._unsettled[index] for index in range(min(len(self._unsettled), _SETTLED_AT_ONCE))]
            await self._store.settle(some, now_ns=self._now_ns())
            for _ in some:
                self._unsettled.popleft()

    async def _settled(self, entries: list[Entry]) -> bool:
        try:
            async with asyncio.timeout(self._times.write_s):
                await self._store.settle(entries, now_ns=self._now_ns())
        except (StoreUnavailable, TimeoutError):
            return False
        return True

    def _now_ns(self) -> int:
        return nanoseconds(self._clock.now())

    def _expires_ns(self, now_ns: int) -> int:
        return now_ns + round(self._times.hold_s * 1e9)


class QuotaMeters:
    """Implements the domain's ``Telling``."""

    def __init__(self, meter: Meter) -> None:
        self._refused = meter.create_counter(
            semconv.METRIC_QUOTA_REFUSED, unit="{request}", description="Requests refused by a limit, by scope and limit."
        )
        self._uncounted = meter.create_counter(
            semconv.METRIC_QUOTA_UNCOUNTED, unit="{request}", description="Requests let through while use could not be counted."
        )

    def refused(self, error: LimitReached) -> None:
        """A request was refused."""
        labels = {semconv.EMAFUSION_QUOTA_SCOPE: error.exceeded.scope, semconv.EMAFUSION_QUOTA_LIMIT: error.exceeded.limit.value}
        self._refused.add(1, labels)

    def uncounted(self) -> None:
        """A request was let through although its use can't be counted."""
        self._uncounted.add(1)
