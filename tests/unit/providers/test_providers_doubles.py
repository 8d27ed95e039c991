"""The scripted model double keeps to the port and complains when its script is not followed."""

from __future__ import annotations

import asyncio

import pytest

from providers.errors import ServerFault
from providers.port import ChatMessage, ChatRequest, Chunk, FinishReason, Price, Role
from tests.support.models import Gate, ScriptedModel, collect, says

REQUEST = ChatRequest(messages=(ChatMessage(Role.USER, "hello"),), max_output_tokens=16, logprobs=True)


async def test_plays_scripts_in_order_and_prices_them() -> None:
    model = ScriptedModel("m", says("a b", logprob=-0.5), "c", price=Price(output_nano_usd_per_mtok=1_000_000))
    text, finished = await collect(model.stream(REQUEST))
    assert text == "a b"
    assert finished.cost_nano_usd == 2
    assert finished.finish_reason is FinishReason.STOP
    assert (await collect(model.stream(REQUEST)))[0] == "c"
    await model.aclose()


async def test_raises_what_is_scripted() -> None:
    model = ScriptedModel("m", (Chunk("a"), ServerFault("down", model="m")))
    events = model.stream(REQUEST)
    assert await anext(events) == Chunk("a")
    with pytest.raises(ServerFault):
        await anext(events)
    model.assert_script_done()


async def test_complains_about_unused_script_and_unscripted_calls() -> None:
    model = ScriptedModel("m", "never asked")
    with pytest.raises(AssertionError, match="never asked for"):
        await model.aclose()
    empty = ScriptedModel("m")
    with pytest.raises(AssertionError, match="more often than scripted"):
        await collect(empty.stream(REQUEST))


async def test_notices_an_early_close() -> None:
    gate = Gate()
    model = ScriptedModel("m", (Chunk("a"), gate))
    task = asyncio.create_task(collect(model.stream(REQUEST)))
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.early_close.is_set()
    assert model.closed_early == 1
    assert model.in_flight == 0
