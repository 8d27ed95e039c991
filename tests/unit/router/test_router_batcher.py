from __future__ import annotations

import asyncio

import pytest

from router_service.adapters.batcher import Batched, BatchLimits, MicroBatcher
from router_service.domain.errors import EncoderOverloaded
from tests.support.router import FakeWorker

LIMITS = BatchLimits(batch_max=3, wait_max_s=0.002, queue_max=5)


def make(worker: FakeWorker) -> MicroBatcher[str, str]:
    return MicroBatcher[str, str](worker.run, limits=LIMITS, clock=worker.clock, set_timer=worker.set_timer)


async def submit(batcher: MicroBatcher[str, str], *items: str) -> list[asyncio.Task[Batched[str]]]:
    """Submits each item in a task of its own and lets all of them reach the queue."""
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_batch_starts_when_the_timer_goes_off_and_each_gets_its_own_result() -> None:
    worker = FakeWorker()
    tasks = await submit(make(worker), "a", "b")
    assert worker.batches == []
    assert [timer.delay_s for timer in worker.timers] == [0.002]
    worker.now_s = 0.5
    worker.timers[0].go_off()
    worker.now_s = 0.75
    worker.finish(0)
    assert [await task for task in tasks] == [Batched("A", 0.5, 0.25, 2), Batched("B", 0.5, 0.25, 2)]


async def test_full_batch_starts_at_once() -> None:
    worker = FakeWorker()
    tasks = await submit(make(worker), "a", "b", "c")
    assert worker.batches == [["a", "b", "c"]]
    assert worker.timers[0].cancelled
    worker.finish(0)
    assert [(await task).value for task in tasks] == ["A", "B", "C"]


async def test_one_batch_at_a_time_and_the_next_starts_when_it_ends() -> None:
    worker = FakeWorker()
    tasks = await submit(make(worker), "a", "b", "c", "d", "e", "f", "g")
    assert worker.batches == [["a", "b", "c"]]
    worker.finish(0)
    await tasks[0]
    assert worker.batches == [["a", "b", "c"], ["d", "e", "f"]]
    worker.finish(1)
    await tasks[3]
    worker.finish(2)
    assert (await tasks[6]).value == "G"


async def test_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    worker = FakeWorker()
    batcher = make(worker)
    tasks = await submit(batcher, *"abcdefgh")
    with pytest.raises(EncoderOverloaded, match="5 texts wait") as caught:
        await batcher.submit("i")
    assert caught.value.retry_after_s >= 0.1
    for index in range(3):
        worker.finish(index)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert [(await task).value for task in tasks] == list("ABCDEFGH")


async def test_text_whose_caller_has_gone_is_not_run() -> None:
    worker = FakeWorker()
    tasks = await submit(make(worker), "a", "b")
    tasks[0].cancel()
    await asyncio.sleep(0)
    worker.timers[0].go_off()
    assert worker.batches == [["b"]]
    worker.finish(0)
    assert (await tasks[1]).value == "B"


async def test_callers_who_have_gone_leave_room_in_the_queue() -> None:
    worker = FakeWorker()
    batcher = make(worker)
    tasks = await submit(batcher, *"abcdefgh")
    for task in tasks[3:]:
        task.cancel()
    await asyncio.sleep(0)
    (late,) = await submit(batcher, "z")
    worker.finish(0)
    await tasks[0]
    assert worker.batches[1] == ["z"]
    worker.finish(1)
    assert (await late).value == "Z"


async def test_failure_of_a_batch_reaches_each_of_its_callers_and_the_next_batch_runs() -> None:
    worker = FakeWorker()
    tasks = await submit(make(worker), "a", "b", "c", "d")
    worker.fail(0, ValueError("broken model"))
    for task in tasks[:3]:
        with pytest.raises(ValueError, match="broken model"):
            await task
    worker.finish(1)
    assert (await tasks[3]).value == "D"


async def test_close_gives_up_on_what_waits() -> None:
    worker = FakeWorker()
    batcher = make(worker)
    tasks = await submit(batcher, "a")
    batcher.close()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert worker.timers[0].cancelled
