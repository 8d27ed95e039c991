"""One model behind several endpoints: calls go round, past endpoints that are kept away from, and a slow one gets a rival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from providers.errors import CircuitOpen, ConcurrencyExceeded, Overloaded
from providers.first_chunk import FirstChunkTimes, HedgePolicy, HedgeShare
from providers.patience import with_time_left
from providers.port import ChatEvent, ChatModel, ChatRequest, EndpointLog, ModelCard


class Endpoint(ChatModel, Protocol):
    """A model at one endpoint, behind a circuit breaker."""

    @property
    def admits(self) -> bool:
        """False while the breaker keeps calls away."""
        ...


class HedgedModel:
    """Asks the endpoints in turn; a call without a first event in time gets a rival at another endpoint, and the first to answer wins.

    The loser is cancelled at once, and with it its call to the provider. A rival is started only when the request allows it
    (``EndpointLog.may_hedge``: somebody has made sure that both calls may be paid for), once per request, and for no greater share of
    the requests than the policy says. Without a policy there are no rivals. An endpoint that a request has been refused by or has asked
    before comes last, so a retry goes elsewhere. All endpoints have the card of the first.
    """

    def __init__(self, endpoints: Sequence[Endpoint], policy: HedgePolicy | None = None) -> None:
        self._endpoints = endpoints
        self._times = FirstChunkTimes(policy) if policy is not None else None
        self._share = HedgeShare(policy.share_max if policy is not None else 0.0)
        self._turn = -1
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def card(self) -> ModelCard:
        """The card of the model at its first endpoint."""
        return self._endpoints[0].card

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answers as one of the endpoints; raises the error of the endpoint that was asked first, when none answers."""
        log = request.endpoints or EndpointLog()
        calls: list[_Call] = []
        if not log.asked:  # a retry is no further request
            self._share.count_request()
        self._turn = (self._turn + 1) % len(self._endpoints)
        try:
            winner = await self._ask(request, log, calls)
            log.answered = winner.endpoint
            self._leave(call for call in calls if call is not winner)
            yield winner.first.result()
            async for event in winner.events:
                yield event
        finally:
            await asyncio.shield(asyncio.gather(*self._leave(calls)))

    async def aclose(self) -> None:
        """Closes the model at every endpoint."""
        for endpoint in self._endpoints:
            await endpoint.aclose()

    async def _ask(self, request: ChatRequest, log: EndpointLog, calls: list[_Call]) -> _Call:
        """The call that answers first. ``calls`` gets every call that is started."""
        clock = asyncio.get_running_loop().time
        deadline = None if request.timeout_s is None else clock() + request.timeout_s
        refusal: Overloaded | None = None
        for endpoint in self._order(log):
            calls.append(self._start(endpoint, with_time_left(request, deadline, clock, self.card.name), log))
            running = [calls[-1]]
            try:
                if (rival := await self._rival_of(running[0], log)) is not None:
                    log.rival = rival
                    running.append(self._start(rival, with_time_left(request, deadline, clock, self.card.name), log))
                    calls.append(running[-1])
                return await self._first_of(running)
            except (CircuitOpen, ConcurrencyExceeded) as error:
                if endpoint not in log.skipped:
                    log.skipped.append(endpoint)
                refusal = refusal or error
        raise refusal or CircuitOpen(f"{self.card.name}: no endpoint", model=self.card.name)

    def _order(self, log: EndpointLog) -> list[int]:
        """The endpoints in the order in which they are tried."""
        turns = range(self._turn, self._turn + len(self._endpoints))
        return sorted((turn % len(self._endpoints) for turn in turns), key=lambda endpoint: endpoint in log.asked)

    def _start(self, endpoint: int, request: ChatRequest, log: EndpointLog) -> _Call:
        if self._endpoints[endpoint].admits:
            log.asked.append(endpoint)
        return _Call(endpoint, self._endpoints[endpoint].stream(request))

    async def _rival_of(self, call: _Call, log: EndpointLog) -> int | None:
        """The endpoint of a rival, once ``call`` has been silent for too long; None when there is to be none."""
        if self._times is None or not log.may_hedge or log.rival is not None:
            return None
        await asyncio.wait({call.first}, timeout=self._times.wait_s())
        others = [index for index in self._order(log) if index != call.endpoint and self._endpoints[index].admits]
        return others[0] if others and not call.first.done() and self._share.take() else None

    async def _first_of(self, running: Sequence[_Call]) -> _Call:
        """The first call with an event; raises the first call's error when all have failed."""
        waiting = {call.first for call in running}
        while waiting:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for call in running:
                if call.first.done() and call.first.exception() is None:
                    self._learn(running)
                    return call
        raise next(error for call in running if (error := call.first.exception()) is not None)

    def _learn(self, running: Sequence[_Call]) -> None:
        """A loser's time counts as the time when it lost: it would have taken longer, and without it the estimate would sink."""
        if self._times is not None:
            now = asyncio.get_running_loop().time()
            for call in running:
                if not call.failed:
                    self._times.add(now - call.started_at)

    def _leave(self, calls: Iterable[_Call]) -> list[asyncio.Task[None]]:
        """Ends calls in the background, where a caller who is cancelled once more can't stop it."""
        tasks = [call.close() for call in calls]
        for task in tasks:
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return tasks


class _Call:
    """A call to one endpoint, whose first event is awaited in a task."""

    def __init__(self, endpoint: int, events: AsyncGenerator[ChatEvent, None]) -> None:
        self.endpoint = endpoint
        self.events = events
        self.started_at = asyncio.get_running_loop().time()
        self.first = asyncio.create_task(self._first())
        self._closed: asyncio.Task[None] | None = None

    @property
    def failed(self) -> bool:
        """True when the call ended in an error before its first event."""
        return self.first.done() and (self.first.cancelled() or self.first.exception() is not None)

    def close(self) -> asyncio.Task[None]:
        """Ends the call; the same task however often it is asked for."""
        if self._closed is None:
            self.first.cancel()
            self._closed = asyncio.create_task(self._close())
        return self._closed

    async def _first(self) -> ChatEvent:
        return await anext(self.events)

    async def _close(self) -> None:
        await asyncio.wait({self.first})
        if not self.first.cancelled():
            self.first.exception()  # told by whoever asked; asking keeps asyncio from reporting it
        await self.events.aclose()
