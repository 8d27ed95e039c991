"""Decision records: written before `Completed`, on errors and on cancellation, within bounded time, without texts by default."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing

import pytest

from cascade_service.domain.decision import Decision, DecisionStatus, prompt_json
from cascade_service.domain.errors import ModelFailed, StoreUnavailable
from cascade_service.domain.events import AttemptStarted, Committed, Completed, DeliveryMode, Delta
from cascade_service.domain.model import TextChunk
from tests.support.cascade import (
    QUESTION,
    STORE_DOWN,
    Hang,
    MemoryStore,
    ScriptedJudge,
    ScriptedLlm,
    Stage,
    answer,
    ask,
    collect_until_error,
    kinds,
    verdict,
)


def stage(*, record_text: bool = False) -> Stage:
    judge = ScriptedJudge({"small": verdict(0.2), "large": verdict(0.9)})
    return Stage([ScriptedLlm("small", answer("41")), ScriptedLlm("large", answer("42"))], judge, record_text=record_text)


async def test_the_record_is_there_before_completed_is() -> None:
    it = stage()
    async with aclosing(it.cascade().answer(ask())) as events:
        async for event in events:
            assert len(it.store.saved) == (1 if isinstance(event, Completed) else 0)
    record = it.store.saved[0]
    assert record.status is DecisionStatus.COMPLETED
    assert [attempt.summary.model for attempt in record.attempts] == ["small", "large"]
    assert [attempt.verdict.confidence for attempt in record.attempts if attempt.verdict] == [0.2, 0.9]
    assert [attempt.summary.chosen for attempt in record.attempts] == [False, True]
    assert record.plan is not None
    assert record.trace_id.endswith("1")


async def test_hashes_always_and_texts_only_when_switched_on() -> None:
    it = stage()
    await it.run()
    record = it.store.saved[0]
    assert record.prompt_sha256 == hashlib.sha256(prompt_json(QUESTION).encode()).hexdigest()
    assert [attempt.text_sha256 for attempt in record.attempts] == [hashlib.sha256(text).hexdigest() for text in (b"41", b"42")]
    assert "41" not in str(record.attempts[0].text)
    assert record.prompt_json is None
    assert [attempt.text for attempt in record.attempts] == [None, None]
    assert record.completion is not None
    assert record.completion.text == ""
    it = stage(record_text=True)
    await it.run()
    record = it.store.saved[0]
    assert record.prompt_json == '[{"role":"user","content":"What is 6 times 7?"}]'
    assert [attempt.text for attempt in record.attempts] == ["41", "42"]
    assert record.completion is not None
    assert record.completion.text == "42"


async def test_a_store_that_fails_fails_the_request() -> None:
    it = stage()
    it.store.failure = STORE_DOWN
    events, error = await collect_until_error(it.cascade().answer(ask()))
    assert isinstance(error, StoreUnavailable)
    assert kinds(events)[-1] == "Committed"


async def test_a_store_that_hangs_fails_the_request_in_bounded_time() -> None:
    it = stage()
    it.store.hang, it.store_timeout_s = True, 0.01
    _, error = await collect_until_error(it.cascade().answer(ask()))
    assert isinstance(error, StoreUnavailable)


async def test_an_error_is_recorded_with_its_reason() -> None:
    it = Stage([ScriptedLlm("small", [ModelFailed("rate limited", kind="rate_limited")])])
    await collect_until_error(it.cascade().answer(ask()))
    (record,) = it.store.saved
    assert (record.status, record.error_reason) == (DecisionStatus.FAILED, "ALL_ATTEMPTS_FAILED")
    assert record.attempts[0].summary.error == "rate_limited"
    assert record.completion is None


async def test_an_unforeseen_error_is_recorded_as_internal() -> None:
    it = stage()
    it.judge.verdicts["small"] = ZeroDivisionError()
    _, error = await collect_until_error(it.cascade().answer(ask()))
    assert isinstance(error, ZeroDivisionError)
    assert it.store.saved[0].error_reason == "INTERNAL"


async def test_leaving_the_stream_closes_the_model_and_is_recorded() -> None:
    hanging = ScriptedLlm("small", [TextChunk("4"), Hang()])
    it = Stage([hanging])
    events = it.cascade().answer(ask(delivery=DeliveryMode.SPECULATIVE))
    async for event in events:
        if isinstance(event, Delta):
            break
    await events.aclose()
    assert hanging.left.is_set()
    (record,) = it.store.saved
    assert (record.status, record.error_reason) == (DecisionStatus.CANCELLED, "CANCELLED")
    assert record.attempts[0].summary.error == "cancelled"
    assert record.attempts[0].summary.usage.estimated


async def test_cancelling_the_task_closes_the_model_before_the_record_is_written() -> None:
    class WatchingStore(MemoryStore):
        async def save(self, decision: Decision) -> None:
            assert hanging.left.is_set()
            await super().save(decision)

    hanging = ScriptedLlm("small", [Hang()])
    it = Stage([hanging], store=WatchingStore())
    task = asyncio.create_task(it.run())
    await hanging.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert it.store.saved[0].status is DecisionStatus.CANCELLED


async def test_a_cancelled_request_ends_although_the_store_hangs() -> None:
    hanging = ScriptedLlm("small", [Hang()])
    it = Stage([hanging], store=MemoryStore(hang=True), store_timeout_s=0.01)
    task = asyncio.create_task(it.run())
    await hanging.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_who_leaves_after_completed_does_not_undo_the_record() -> None:
    it = stage()
    events = it.cascade().answer(ask())
    async for event in events:
        if isinstance(event, Completed):
            break
    await events.aclose()
    assert [record.status for record in it.store.saved] == [DecisionStatus.COMPLETED]


async def test_a_caller_who_leaves_while_the_record_is_written_is_recorded_as_gone() -> None:
    class SlowStore(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.entered, self.released = asyncio.Event(), asyncio.Event()

        async def save(self, decision: Decision) -> None:
            self.entered.set()
            await self.released.wait()
            await super().save(decision)

    store = SlowStore()
    it = stage()
    it.store = store
    task = asyncio.create_task(it.run())
    await store.entered.wait()
    task.cancel()
    await asyncio.sleep(0)
    store.released.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.status for record in store.saved] == [DecisionStatus.COMPLETED, DecisionStatus.CANCELLED]


async def test_cancelling_twice_does_not_lose_the_record() -> None:
    class SlowStore(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.entered, self.released, self.written = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def save(self, decision: Decision) -> None:
            self.entered.set()
            await self.released.wait()
            await super().save(decision)
            self.written.set()

    store, hanging = SlowStore(), ScriptedLlm("small", [Hang()])
    task = asyncio.create_task(Stage([hanging], store=store).run())
    await hanging.hanging.wait()
    task.cancel()
    await store.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.released.set()
    await store.written.wait()
    assert [record.status for record in store.saved] == [DecisionStatus.CANCELLED]


async def test_attempts_start_and_commits_come_in_order() -> None:
    events = await stage().run(ask(delivery=DeliveryMode.SPECULATIVE))
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == [0, 1]
    assert [event.through_sequence for event in events if isinstance(event, Committed)] == [2]
