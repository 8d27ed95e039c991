"""The concurrency limit: slots, queue, waits, and slots that come back on every path."""

from __future__ import annotations

import asyncio

import pytest

from providers.errors import ConcurrencyExceeded, DeadlineReached, ServerFault
from providers.limit import ConcurrencyLimit, LimitedModel
from providers.port import Chunk
from tests.support.chat_models import ask
from tests.support.models import Gate, ScriptedModel, collect


def limited(model: ScriptedModel, slots: int = 1, queue: int = 0, wait_s: float = 10.0) -> LimitedModel:
    return LimitedModel(model, ConcurrencyLimit(concurrency_max=slots, queue_max=queue, queue_wait_max_s=wait_s))


async def test_overflow_is_refused_at_once() -> None:
    gate = Gate()
    inner = ScriptedModel("m", (gate,), "after")
    model = limited(inner)
    busy = asyncio.create_task(collect(model.stream(ask())))
    await gate.reached.wait()
    with pytest.raises(ConcurrencyExceeded, match="1 calls are in flight and 0 wait"):
        await collect(model.stream(ask()))
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
    assert (await collect(model.stream(ask())))[0] == "after"


async def test_waiting_calls_are_served_in_order() -> None:
    gate = Gate()
    inner = ScriptedModel("m", (gate,), "first", "second")
    model = limited(inner, queue=2)
    holder = model.stream(ask("holder"))
    holding = asyncio.ensure_future(anext(holder))
    await gate.reached.wait()
    waiting = [asyncio.create_task(collect(model.stream(ask(name)))) for name in ("a", "b")]
    await asyncio.sleep(0)
    with pytest.raises(ConcurrencyExceeded):
        await collect(model.stream(ask("c")))
    holding.cancel()
    assert [text for text, _ in await asyncio.gather(*waiting)] == ["first", "second"]
    assert [request.messages[0].content for request in inner.requests] == ["holder", "a", "b"]
    assert inner.in_flight_peak == 1


async def test_a_wait_is_bounded() -> None:
    gate = Gate()
    model = limited(ScriptedModel("m", (gate,), "after"), queue=1, wait_s=0.01)
    busy = model.stream(ask())
    holding = asyncio.ensure_future(anext(busy))
    await gate.reached.wait()
    with pytest.raises(ConcurrencyExceeded, match=r"within 0\.01 s"):
        await collect(model.stream(ask()))
    holding.cancel()
    await asyncio.wait([holding])
    await collect(model.stream(ask()))


async def test_the_callers_time_bounds_the_wait_too() -> None:
    gate = Gate()
    model = limited(ScriptedModel("m", (gate,)), queue=1)
    busy = model.stream(ask())
    holding = asyncio.ensure_future(anext(busy))
    await gate.reached.wait()
    with pytest.raises(DeadlineReached):
        await collect(model.stream(ask(timeout_s=0.01)))
    holding.cancel()
    await asyncio.wait([holding])


async def test_the_wait_counts_against_the_callers_time() -> None:
    gate = Gate()
    inner = ScriptedModel("m", (gate,), "after")
    model = limited(inner, queue=1)
    holding = asyncio.ensure_future(anext(model.stream(ask())))
    await gate.reached.wait()
    waiting = asyncio.create_task(collect(model.stream(ask(timeout_s=5.0))))
    await asyncio.sleep(0.01)
    holding.cancel()
    await waiting
    left_s = inner.requests[1].timeout_s
    assert left_s is not None
    assert left_s < 5.0


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    gate = Gate()
    inner = ScriptedModel("m", (gate,), "after")
    model = limited(inner, queue=1)
    holding = asyncio.ensure_future(anext(model.stream(ask())))
    await gate.reached.wait()
    gone = asyncio.create_task(collect(model.stream(ask("gone"))))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    waiting = asyncio.create_task(collect(model.stream(ask("stays"))))
    await asyncio.sleep(0)
    holding.cancel()
    assert (await waiting)[0] == "after"


async def test_a_slot_that_meets_a_cancel_goes_to_the_next() -> None:
    gate = Gate()
    inner = ScriptedModel("m", (gate,), "after")
    model = limited(inner, queue=2)
    holder = model.stream(ask())
    holding = asyncio.ensure_future(anext(holder))
    await gate.reached.wait()
    first = asyncio.create_task(collect(model.stream(ask("first"))))
    second = asyncio.create_task(collect(model.stream(ask("second"))))
    await asyncio.sleep(0)
    model._give_back()  # what ends a call hands its slot to the first in the queue ...
    first.cancel()  # ... which is cancelled before it runs
    assert (await second)[0] == "after"
    assert [request.messages[0].content for request in inner.requests][1:] == ["second"]
    holding.cancel()
    await asyncio.wait([first, holding])


async def test_a_slot_comes_back_on_every_path() -> None:
    inner = ScriptedModel("m", "whole", ServerFault("no", model="m"), (Chunk("half"), Gate()), "last")
    model = limited(inner)
    await collect(model.stream(ask()))
    with pytest.raises(ServerFault):
        await collect(model.stream(ask()))
    closed = model.stream(ask())
    await anext(closed)
    await closed.aclose()
    await collect(model.stream(ask()))
    inner.assert_script_done()
