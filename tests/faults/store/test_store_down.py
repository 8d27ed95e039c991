"""A store that goes away and comes back: records are spooled and replayed, or nothing is answered, as configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2, decision_pb2
from opentelemetry.metrics import NoOpMeterProvider

from cascade_service.adapters.decision_store import SqlDecisionStore, open_store
from cascade_service.adapters.durable_store import DurableStore, StoreMeters
from cascade_service.adapters.spool import open_spool
from cascade_service.domain.decision import Decision, DecisionStatus, Feedback
from cascade_service.domain.errors import DecisionNotFound, StoreUnavailable
from servicekit.errors import read_status
from tests.support.cascade import NOW, STORE_DOWN, ScriptedJudge, ScriptedLlm, Stage, answer, ask, verdict
from tests.support.cascade_served import World, cascade_world, question
from tests.support.upstream import FakeUpstream, answers, answers_when

OPINION = Feedback(correct=True, rating=None, source="user", create_time=NOW)


class FlakyStore(SqlDecisionStore):
    """The real store, which fails while ``down`` and after so many writes of a replay."""

    down = False
    writes_left: int | None = None
    refused_id = ""
    hangs = False

    async def save(self, decision: Decision) -> None:
        await self._fail()
        if decision.decision_id == self.refused_id:
            raise STORE_DOWN
        await super().save(decision)

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        await self._fail()
        await super().add_feedback(decision_id, opinion)

    async def check(self) -> None:
        if self.down:
            raise STORE_DOWN
        await super().check()

    async def get(self, decision_id: str) -> Decision:
        if self.down:
            raise STORE_DOWN
        return await super().get(decision_id)

    async def _fail(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.writes_left is not None:
            self.writes_left -= 1
            self.down = self.down or self.writes_left < 0
        if self.down:
            raise STORE_DOWN


@asynccontextmanager
async def durable(
    folder: Path, *, spools: bool = True, bytes_max: int = 1 << 20, write_s: float = 20.0
) -> AsyncGenerator[tuple[DurableStore, FlakyStore]]:
    engine = (await asyncio.to_thread(open_store, f"sqlite+aiosqlite:///{folder}/d.sqlite3", timeout_s=5.0))._engine
    store = FlakyStore(engine)
    kept = await asyncio.to_thread(open_spool, folder / "spool", bytes_max=bytes_max)
    meters = StoreMeters(NoOpMeterProvider().get_meter("test"))
    both = DurableStore(store, kept, spools=spools, write_s=write_s, meters=meters)
    await both.prepare()
    try:
        yield both, store
    finally:
        await both.aclose()


async def decision(number: int) -> Decision:
    stage = Stage([ScriptedLlm("small", answer("42"))], ScriptedJudge({"small": verdict(0.9)}))
    await stage.run(replace(ask(), decision_id=f"id-{number}"))
    return stage.store.saved[0]


async def in_store(store: FlakyStore, *numbers: int) -> list[Decision]:
    return [await SqlDecisionStore.get(store, f"id-{number}") for number in numbers]


async def test_what_the_store_does_not_take_is_spooled_and_replayed_when_it_is_back(tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        store.down = True
        records = [await decision(number) for number in range(5)]
        for record in records:
            await both.save(record)
        await both.look()
        assert (both.up, both.ready) == (False, True)
        assert await both.get("id-3") == records[3], "read from the spool meanwhile"
        store.down = False
        await both.look()
        assert both.up
        assert await in_store(store, *range(5)) == records
        assert await both.get("id-3") == records[3]
        store.down = True
        with pytest.raises(StoreUnavailable):
            await both.get("id-3")


@pytest.mark.parametrize("writes", [0, 1, 3, 4])
async def test_a_crash_in_the_middle_of_a_replay_loses_nothing_and_doubles_nothing(writes: int, tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        store.down = True
        records = [await decision(number) for number in range(3)]
        for record in records:
            await both.save(record)
        await both.add_feedback("id-1", OPINION)
        await both.add_feedback("id-1", replace(OPINION, correct=False))
        store.down, store.writes_left = False, writes
        await both.look()
    # The next process begins anew with the whole file.
    async with durable(tmp_path) as (both, store):
        await both.look()
        assert await in_store(store, 0, 2) == [records[0], records[2]]
        (found,) = await in_store(store, 1)
        assert found == replace(records[1], feedback=(OPINION, replace(OPINION, correct=False)))


async def test_a_later_record_wins_although_the_earlier_one_is_spooled(tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        store.down = True
        record = await decision(1)
        await both.save(record)
        store.down = False
        cancelled = replace(record, status=DecisionStatus.CANCELLED, completion=None)
        await both.save(cancelled)
        assert await both.get("id-1") == cancelled
        await both.look()
        assert await in_store(store, 1) == [cancelled]


async def test_feedback_on_a_spooled_decision_is_kept_with_it(tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        store.down = True
        await both.save(await decision(1))
        await both.add_feedback("id-1", OPINION)
        assert (await both.get("id-1")).feedback == (OPINION,)
        with pytest.raises(StoreUnavailable):
            await both.add_feedback("id-2", OPINION)  # nobody can say whether there is such a decision
        store.down = False
        with pytest.raises(DecisionNotFound):
            await both.add_feedback("id-2", OPINION)


async def test_a_store_that_hangs_is_one_that_is_down(tmp_path: Path) -> None:
    async with durable(tmp_path, write_s=0.2) as (both, store):
        store.hangs = True
        await both.save(await decision(1))
        store.hangs = False
        assert await both.get("id-1") == await decision(1)


async def test_an_entry_that_the_store_will_not_have_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        store.down = True
        for number in range(3):
            await both.save(await decision(number))
        store.down, store.refused_id = False, "id-1"
        await both.look()
        assert len(await in_store(store, 0, 2)) == 2
        assert b"id-1" in await asyncio.to_thread((tmp_path / "spool" / "decisions.damaged").read_bytes)


async def test_an_entry_that_nobody_understands_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        store.down = True
        await both.save(await decision(0))
        assert both._spool is not None
        await both._spool.append("id-1", '{"of": "another version"}')
        await both._spool.append("id-1", "no JSON")
        await both.save(await decision(2))
        store.down = False
        await both.look()
        assert len(await in_store(store, 0, 2)) == 2
        assert not both._spool.size
        assert b"no JSON" in await asyncio.to_thread((tmp_path / "spool" / "decisions.damaged").read_bytes)


async def test_what_an_earlier_process_spooled_is_replayed_although_nothing_is_spooled_any_more(tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        store.down = True
        await both.save(await decision(1))
    async with durable(tmp_path, spools=False) as (both, store):
        await both.look()
        assert len(await in_store(store, 1)) == 1
        store.down = True
        with pytest.raises(StoreUnavailable):
            await both.save(await decision(2))


async def test_a_spool_that_is_full_refuses_before_anything_is_paid(tmp_path: Path) -> None:
    async with durable(tmp_path, bytes_max=20_000) as (both, store):
        store.down = True
        await both.look()
        number = 0
        while both.ready:
            await both.save(await decision(number))
            number += 1
        with pytest.raises(StoreUnavailable, match="full"):
            both.check_ready()
        store.down = False
        await both.look()
        both.check_ready()
        assert len(await in_store(store, *range(number))) == number


@asynccontextmanager
async def world_with_flaky_store(folder: Path, upstream: FakeUpstream, *, when_down: str) -> AsyncGenerator[tuple[World, FlakyStore]]:
    settings = {
        "url": f"sqlite+aiosqlite:///{folder}/decisions.sqlite3",
        "when_down": when_down,
        "spool_directory": f"{folder}/spool",
        "write_timeout_ms": 20_000,
    }
    async with cascade_world(folder, {"small": upstream}, cascade={"store": settings}) as world:
        inner: Any = world.service.store._store
        flaky = FlakyStore(inner._engine)
        world.service.store._store = flaky
        yield world, flaky


async def recorded(world: World, decision_id: str) -> decision_pb2.Decision:
    return (await world.stub.GetDecision(cascade_service_pb2.GetDecisionRequest(decision_id=decision_id))).decision


async def test_refusing_no_request_is_paid_for_that_could_not_be_recorded(tmp_path: Path) -> None:
    gate, upstream = asyncio.Event(), FakeUpstream()
    upstream.will(answers_when(gate, "42"))
    async with world_with_flaky_store(tmp_path, upstream, when_down="refuse") as (world, store):
        under_way = asyncio.create_task(world.stream(question()))
        await upstream.arrived.wait()
        store.down = True
        gate.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await under_way
        assert read_status(caught.value).reason == "STORE_UNAVAILABLE", "an answer without a record is not given out as complete"
        await world.service.store.look()
        assert not await world.service.ready()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question())
        status = read_status(caught.value)
        assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert status.retry_after_s is not None
        assert len(upstream.requests) == len(world.router.requests) == 1, "refused before router and model were asked"
        store.down = False
        await world.service.store.look()
        assert await world.service.ready()
        upstream.will(answers("42"))
        decision_id = (await world.stream(question()))[0].routed.decision_id
        assert (await recorded(world, decision_id)).status == decision_pb2.DECISION_STATUS_COMPLETED


async def test_spooling_requests_are_answered_as_if_nothing_were_wrong(tmp_path: Path) -> None:
    upstream = FakeUpstream(answers("42"), answers("43"))
    async with world_with_flaky_store(tmp_path, upstream, when_down="spool") as (world, store):
        store.down = True
        first = (await world.stream(question()))[-1].completed.completion.decision_id
        await world.service.store.look()
        assert await world.service.ready()
        second = (await world.stream(question()))[-1].completed.completion.decision_id
        request = cascade_service_pb2.SubmitFeedbackRequest(decision_id=first, feedback=decision_pb2.Feedback(correct=True))
        await world.stub.SubmitFeedback(request)
        assert (await recorded(world, first)).feedback[0].correct
        store.down = False
        await world.service.store.look()
        assert not world.service.store._spool.size  # pyright: ignore[reportOptionalMemberAccess]
        assert (await recorded(world, first)).feedback[0].correct
        assert (await recorded(world, second)).status == decision_pb2.DECISION_STATUS_COMPLETED


async def test_a_database_of_an_earlier_version_gets_the_columns_that_it_lacks(tmp_path: Path) -> None:
    async with durable(tmp_path) as (both, store):
        await both.save(await decision(1))
        async with store._engine.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE decisions DROP COLUMN key_id")
        await both.prepare()
        assert await in_store(store, 1) == [await decision(1)]
