"""The circuit breaker: when it opens, how it probes, and what does not move it."""

from __future__ import annotations

import asyncio

import pytest

from providers.breaker import BreakerPolicy, BreakingModel
from providers.errors import (
    AuthenticationFailed,
    CircuitOpen,
    ConcurrencyExceeded,
    ConnectionBroken,
    DeadlineReached,
    MalformedResponse,
    NotRecorded,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    ServerFault,
)
from providers.port import Chunk
from tests.support.chat_models import ask
from tests.support.models import Gate, ScriptedModel, collect


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fault() -> ServerFault:
    return ServerFault("down", model="m")


async def fails(model: BreakingModel, kind: type[ProviderError] = ServerFault) -> None:
    with pytest.raises(kind):
        await collect(model.stream(ask()))


async def opened(*further: str | ProviderError | tuple[Chunk | Gate, ...]) -> tuple[BreakingModel, ScriptedModel, Clock]:
    """A breaker that two failures have just opened for ten seconds."""
    clock = Clock()
    inner = ScriptedModel("m", fault(), fault(), *further)
    model = BreakingModel(inner, BreakerPolicy(failures_to_open=2, open_s=10.0), clock=clock)
    await fails(model)
    await fails(model)
    return model, inner, clock


async def test_opens_after_failures_in_a_row_and_says_when_to_come_back() -> None:
    model, inner, clock = await opened()
    clock.now = 4.0
    with pytest.raises(CircuitOpen) as caught:
        await collect(model.stream(ask()))
    assert caught.value.retry_after_s == 6.0
    assert len(inner.requests) == 2


async def test_a_success_starts_the_count_afresh() -> None:
    inner = ScriptedModel("m", fault(), "fine", fault(), "fine")
    model = BreakingModel(inner, BreakerPolicy(failures_to_open=2), clock=Clock())
    await fails(model)
    await collect(model.stream(ask()))
    await fails(model)
    await collect(model.stream(ask()))
    inner.assert_script_done()


@pytest.mark.parametrize("kind", [Overloaded, ServerFault, ProviderTimeout, ConnectionBroken, MalformedResponse])
async def test_what_counts_as_a_failure(kind: type[ProviderError]) -> None:
    model = BreakingModel(ScriptedModel("m", kind("no", model="m")), BreakerPolicy(failures_to_open=1), clock=Clock())
    await fails(model, kind)
    await fails(model, CircuitOpen)


@pytest.mark.parametrize("kind", [RateLimited, AuthenticationFailed, RequestRejected, ConcurrencyExceeded, DeadlineReached, NotRecorded])
async def test_what_does_not(kind: type[ProviderError]) -> None:
    inner = ScriptedModel("m", *(kind("no", model="m") for _ in range(3)))
    model = BreakingModel(inner, BreakerPolicy(failures_to_open=1), clock=Clock())
    for _ in range(3):
        await fails(model, kind)
    inner.assert_script_done()


async def test_a_break_in_mid_stream_counts() -> None:
    inner = ScriptedModel("m", (Chunk("half"), ConnectionBroken("gone", model="m")))
    model = BreakingModel(inner, BreakerPolicy(failures_to_open=1), clock=Clock())
    await fails(model, ConnectionBroken)
    await fails(model, CircuitOpen)


async def test_what_says_nothing_leaves_the_count_as_it_is() -> None:
    inner = ScriptedModel("m", fault(), DeadlineReached("late", model="m"), fault())
    model = BreakingModel(inner, BreakerPolicy(failures_to_open=2), clock=Clock())
    await fails(model)
    await fails(model, DeadlineReached)
    await fails(model)
    await fails(model, CircuitOpen)


async def test_half_open_lets_one_probe_through() -> None:
    gate = Gate()
    model, inner, clock = await opened((gate, Chunk("back")), "fine")
    clock.now = 10.0
    probe = model.stream(ask())
    first = asyncio.ensure_future(anext(probe))
    await gate.reached.wait()
    await fails(model, CircuitOpen)
    assert len(inner.requests) == 3
    gate.opened.set()
    assert await first == Chunk("back")
    await fails(model, CircuitOpen)
    await probe.aclose()
    assert (await collect(model.stream(ask())))[0] == "fine"


async def test_a_failed_probe_opens_for_the_whole_time_again() -> None:
    model, _, clock = await opened(fault(), "fine")
    clock.now = 10.0
    await fails(model)
    clock.now = 19.9
    await fails(model, CircuitOpen)
    clock.now = 20.0
    await collect(model.stream(ask()))


async def test_a_probe_that_is_cancelled_makes_room_for_the_next() -> None:
    gate = Gate()
    model, _, clock = await opened((gate,), "fine")
    clock.now = 10.0
    probe = asyncio.create_task(collect(model.stream(ask())))
    await gate.reached.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    await collect(model.stream(ask()))


async def test_an_old_call_does_not_close_the_circuit() -> None:
    gate = Gate()
    clock = Clock()
    inner = ScriptedModel("m", (Chunk("slow"), gate), fault())
    model = BreakingModel(inner, BreakerPolicy(failures_to_open=1), clock=clock)
    old = model.stream(ask())
    await anext(old)
    await fails(model)
    await old.aclose()
    await fails(model, CircuitOpen)
