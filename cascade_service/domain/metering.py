"""Requests under limits: held before anything is asked, counted while they run, settled when they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from cascade_service.domain.chat import input_tokens_estimate
from cascade_service.domain.errors import CeilingTooLow, StoreUnavailable
from cascade_service.domain.events import CascadeEvent, Ceiling, Completed
from cascade_service.domain.ports import Answering, Clock
from cascade_service.domain.quotas import NO_LIMITS, Account, Hold, LimitReached, Limits, Scope, Use, nanoseconds, until_next_day_s
from cascade_service.domain.request import Caller, CascadeRequest, Using


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRules:
    """The operator's limits.

    ``every_key`` holds for each key without limits of its own, ``keyless`` for all callers without a key together, ``service`` for
    everybody together. ``output_tokens_held`` is what a request without a limit on its answer holds at first, in tokens.
    ``refuse_uncounted`` refuses requests while their use can't be counted.
    """

    every_key: Limits = NO_LIMITS
    keyless: Limits = NO_LIMITS
    service: Limits = NO_LIMITS
    output_tokens_held: int = 512
    refuse_uncounted: bool = True

    def scopes(self, caller: Caller) -> tuple[Scope, ...]:
        """Where the use of ``caller`` is counted, in order of name. A key's use is counted with and without limits."""
        found: list[Scope] = []
        if caller.key_id:
            found.append(Scope(f"key:{caller.key_id}", self.every_key if caller.limits is None else caller.limits))
        elif self.keyless.any:
            found.append(Scope("keyless", self.keyless))
        if self.service.any:
            found.append(Scope("service", self.service))
        return tuple(found)


@dataclass(slots=True, kw_only=True, eq=False)
class Tab:
    """What one request holds and uses. ``id`` is that of its decision; ``holds`` is by scope, without those that have no limit.

    ``run`` is the request under way, None before it begins. ``lock`` is held by whoever writes the tab to the store.
    """

    id: str
    scopes: tuple[Scope, ...]
    cost_max_nano_usd: int
    holds: dict[str, Hold] = field(default_factory=dict[str, Hold])
    run: Using | None = None
    renewed_at_s: float = 0.0
    settled: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def follow(self, run: Using) -> None:
        """Takes the run whose use is counted."""
        self.run = run

    @property
    def use(self) -> Use:
        """What is used so far."""
        return Use() if self.run is None else self.run.use

    @property
    def outgrown(self) -> bool:
        """True when more tokens are used than held."""
        return any(self.use.tokens > hold.use.tokens for hold in self.holds.values())


class Quotas(Protocol):
    """Keeps accounts, over all replicas."""

    async def open(self, tab: Tab, need: Use) -> None:
        """Holds ``need`` in all scopes that have limits, or in none; fills in ``holds`` and lowers ``cost_max_nano_usd``.

        Raises ``LimitReached``, and ``StoreUnavailable`` when the accounts can't be reached.
        """
        ...

    async def close(self, tab: Tab) -> None:
        """Settles the tab with what was used. Never raises: what can't be written now is written later."""
        ...


class Accounts(Protocol):
    """Tells what was used."""

    async def accounts(self) -> list[Account]:
        """All accounts, in order of scope. Raises ``StoreUnavailable``."""
        ...


class Telling(Protocol):
    """Is told what limits do."""

    def refused(self, error: LimitReached) -> None:
        """A request was refused."""
        ...

    def uncounted(self) -> None:
        """A request was let through although its use can't be counted."""
        ...


class MeteredCascade:
    """Lets through what the limits allow, within the budget that is left, and counts what it uses."""

    def __init__(self, inner: Answering, quotas: Quotas, rules: QuotaRules, *, clock: Clock, telling: Telling) -> None:
        self._inner = inner
        self._quotas = quotas
        self._rules = rules
        self._clock = clock
        self._telling = telling
        self._closing: set[asyncio.Task[None]] = set()

    async def answer(self, request: CascadeRequest) -> AsyncGenerator[CascadeEvent, None]:
        """The events of ``inner``. Raises ``LimitReached`` before any of them; the accounts are settled before ``Completed``."""
        tab = await self._open(request)
        if tab is None:
            admitted = request
        else:
            admitted = replace(request, ceilings=request.ceilings.within_budget(tab.cost_max_nano_usd), on_run=tab.follow)
        try:
            async with aclosing(self._inner.answer(admitted)) as events:
                async for event in events:
                    if isinstance(event, Completed):
                        await self._close(tab)
                    yield event
        except CeilingTooLow as error:
            if error.ceiling is Ceiling.BUDGET:
                error.retry_after_s = until_next_day_s(nanoseconds(self._clock.now()))
            raise
        finally:
            await self._close(tab)

    async def drain(self) -> None:
        """Returns when all requests that have ended are settled, or kept for later."""
        while self._closing:
            await asyncio.wait(set(self._closing))

    async def _open(self, request: CascadeRequest) -> Tab | None:
        scopes = self._rules.scopes(request.caller)
        if not scopes:
            return None
        tab = Tab(id=request.decision_id, scopes=scopes, cost_max_nano_usd=request.ceilings.cost_max_nano_usd)
        try:
            await self._quotas.open(tab, self._need(request))
        except LimitReached as error:
            self._telling.refused(error)
            raise
        except StoreUnavailable:
            if self._rules.refuse_uncounted:
                raise
            self._telling.uncounted()
        return tab

    def _need(self, request: CascadeRequest) -> Use:
        output_tokens = min(request.params.max_output_tokens or self._rules.output_tokens_held, request.ceilings.output_tokens_max)
        return Use(
            tokens=input_tokens_estimate(request.messages) + output_tokens,
            cost_nano_usd=request.ceilings.cost_max_nano_usd,
        )

    async def _close(self, tab: Tab | None) -> None:
        """Settles in a task of its own, which a cancelled caller does not stop."""
        if tab is None or tab.settled:
            return
        tab.settled = True
        task = asyncio.create_task(self._quotas.close(tab))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        await asyncio.shield(task)
