"""Limits as callers meet them: refused early, told when to come back, held to the budget, and counted as tokens come."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2, decision_pb2, event_pb2, quota_pb2

from cascade_service.domain.errors import StoreUnavailable
from cascade_service.domain.quotas import Limit
from servicekit import semconv
from servicekit.access import bearer
from servicekit.errors import RemoteStatus, read_status
from servicekit.keys import hash_of, new_key
from tests.support.cascade_served import FakeJudge, World, cascade_world, question
from tests.support.spans import Recorder, record_telemetry
from tests.support.upstream import FakeUpstream, answers, answers_when, fails, stalls_after

WORST_CASE = 2_082_000
"""Nano-USD that one attempt may cost here at most: 34 tokens of the question, 1,024 of the answer."""
COST = 14_002
"""Nano-USD of an attempt and its judging."""
KEY, OTHER_KEY, OPERATOR_KEY = new_key(), new_key(), new_key()


def limits(**scopes: Any) -> dict[str, Any]:
    return {"caller_limits": scopes}


def listed(name: str, key: str, *, scopes: tuple[str, ...] = ("complete", "read"), **quota: int) -> dict[str, Any]:
    return {"id": name, "hash": hash_of(key), "scopes": scopes, "quota": quota or None}


async def refusal(world: World, *, key: str | None = None, **fields: Any) -> RemoteStatus:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stream(question(**fields), key=key)
    return read_status(caught.value)


async def quotas(world: World, *, key: str | None = None) -> dict[str, quota_pb2.Quota]:
    shown = None if key is None else (bearer(key),)
    response = await world.stub.ListQuotas(cascade_service_pb2.ListQuotasRequest(), metadata=shown)
    return {quota.scope: quota for quota in response.quotas}


def by_label(recorded: Recorder, metric: str, label: str) -> dict[str, int]:
    """Sums of a counter by a label."""
    sums: Counter[str] = Counter()
    data: Any = recorded.metrics()[metric].data
    for point in data.data_points:
        sums[point.attributes[label]] += point.value
    return dict(sums)


async def test_a_request_over_the_rate_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    upstream = FakeUpstream(answers("42"))
    async with cascade_world(tmp_path, {"small": upstream}, cascade=limits(keyless={"requests_per_minute": 1})) as world:
        await world.stream(question())
        status = await refusal(world)
        assert len(world.router.requests) == len(upstream.requests) == 1
    assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert status.retry_after_s is not None
    assert 0 < status.retry_after_s <= 60
    assert status.metadata == {"scope": "keyless", "limit": "requests_per_minute", "limit_value": "1", "used": "1"}
    (violation,) = status.quota_violations
    assert (violation.subject, violation.description) == ("keyless/requests_per_minute", "1 of 1 are used")


async def test_the_next_request_may_come_as_soon_as_completed_was_read(tmp_path: Path) -> None:
    upstream = FakeUpstream(default=answers("42"))
    async with cascade_world(tmp_path, {"small": upstream}, cascade=limits(service={"concurrent_requests": 1})) as world:
        for _ in range(5):
            await world.stream(question())


async def test_requests_at_a_time_are_limited_and_come_back_when_one_fails(tmp_path: Path) -> None:
    gate = asyncio.Event()
    upstream = FakeUpstream(answers_when(gate, "42"), fails(500), answers("42"))
    async with cascade_world(tmp_path, {"small": upstream}, cascade=limits(service={"concurrent_requests": 1})) as world:
        first = asyncio.create_task(world.stream(question()))
        await upstream.arrived.wait()
        status = await refusal(world)
        assert (status.metadata["limit"], status.metadata["used"]) == ("concurrent_requests", "1")
        gate.set()
        await first
        assert (await refusal(world)).reason == "ALL_ATTEMPTS_FAILED"
        await world.stream(question())


async def test_a_caller_who_leaves_gives_back_what_was_held(tmp_path: Path) -> None:
    upstream = FakeUpstream(stalls_after("4"))
    async with cascade_world(tmp_path, {"small": upstream}, cascade=limits(service={"concurrent_requests": 1})) as world:
        call = world.stub.StreamComplete(question(mode="DELIVERY_MODE_SPECULATIVE"))
        async for response in call:
            if response.WhichOneof("event") == "delta":
                break
        call.cancel()
        while (await quotas(world))["service"].requests_running:  # noqa: ASYNC110 - the server tells nobody when it is done
            await asyncio.sleep(0.01)
        found = (await quotas(world))["service"]
        assert (found.requests_today, found.tokens_today > 0) == (1, True)


async def test_what_is_left_of_the_budget_is_the_ceiling(tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(answers("41")), "large": FakeUpstream()}
    budget = WORST_CASE + COST - 1
    judge = FakeJudge(otherwise=0.1)
    async with cascade_world(tmp_path, upstreams, judge=judge, cascade=limits(keyless={"cost_max_nano_usd_per_day": budget})) as world:
        completion = (await world.stream(question()))[-1].completed.completion
        assert (completion.ceiling, completion.outcome) == (event_pb2.CEILING_BUDGET, event_pb2.OUTCOME_BEST_SEEN)
        assert completion.cost_nano_usd == COST
        found = (await quotas(world))["keyless"]
        assert (found.cost_nano_usd_today, found.cost_nano_usd_held) == (COST, 0)
        status = await refusal(world)
        assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED")
        assert status.metadata["ceiling"] == "budget"
        assert status.retry_after_s is not None
        assert 0 < status.retry_after_s <= 86_400


async def test_a_budget_that_is_spent_refuses_before_the_router_is_asked(tmp_path: Path) -> None:
    free = {"price": {"input_usd_per_mtok": 0.0, "output_usd_per_mtok": 0.0}}
    upstreams = {"small": FakeUpstream(answers("42"))}
    async with cascade_world(tmp_path, upstreams, model=lambda _: free, cascade=limits(keyless={"cost_max_nano_usd_per_day": 0})) as world:
        status = await refusal(world)
        assert (status.reason, status.metadata["limit"]) == ("BUDGET_EXHAUSTED", "cost_max_nano_usd_per_day")
        assert world.router.requests == []
        # Who says that the request may cost nothing may still have what costs nothing.
        await world.stream(question(ceilings={"cost_max_nano_usd": 0}))


async def test_requests_at_once_never_spend_more_than_the_budget_together(tmp_path: Path) -> None:
    gate = asyncio.Event()
    upstream = FakeUpstream(answers_when(gate, "42"), answers_when(gate, "42"))
    cascade = {**limits(keyless={"cost_max_nano_usd_per_day": 2 * WORST_CASE}), "ceilings": {"cost_max_nano_usd": WORST_CASE}}
    async with cascade_world(tmp_path, {"small": upstream}, cascade=cascade) as world:
        running: list[asyncio.Task[Any]] = []
        for _ in range(2):
            running.append(asyncio.create_task(world.stream(question())))
            await upstream.arrived.wait()
            upstream.arrived.clear()
        status = await refusal(world)
        assert (status.reason, status.retry_after_s) == ("BUDGET_EXHAUSTED", 1.0), "held by others, it may come back soon"
        gate.set()
        await asyncio.gather(*running)


async def test_tokens_are_counted_while_they_are_streamed(tmp_path: Path) -> None:
    upstream = FakeUpstream(stalls_after("x" * 4_000))
    cascade = limits(keyless={"tokens_per_minute": 800}, output_tokens_held=10)
    async with cascade_world(tmp_path, {"small": upstream}, cascade=cascade) as world:
        call = world.stub.StreamComplete(question(mode="DELIVERY_MODE_SPECULATIVE"))
        async for response in call:
            if response.WhichOneof("event") == "delta":
                break
        assert (await quotas(world))["keyless"].tokens_used < 20
        await world.service.quotas.look()
        assert (await quotas(world))["keyless"].tokens_used > 900
        assert (await refusal(world)).metadata["limit"] == Limit.TOKENS.value
        call.cancel()


async def test_each_key_has_limits_of_its_own_and_none_sees_another(tmp_path: Path) -> None:
    upstream = FakeUpstream(default=answers("42"))
    keys = [listed("web", KEY, requests_per_minute=1), listed("other", OTHER_KEY), listed("operator", OPERATOR_KEY, scopes=("usage",))]
    recorded = record_telemetry()
    async with cascade_world(
        tmp_path, {"small": upstream}, keys=keys, cascade=limits(every_key={"requests_per_minute": 2}), telemetry=recorded.telemetry
    ) as world:
        decision_id = (await world.stream(question(), key=KEY))[0].routed.decision_id
        status = await refusal(world, key=KEY)
        assert status.metadata["scope"] == "key:web"
        assert KEY not in str(status)
        for _ in range(2):
            await world.stream(question(), key=OTHER_KEY)
        assert (await refusal(world, key=OTHER_KEY)).metadata == {
            "scope": "key:other",
            "limit": "requests_per_minute",
            "limit_value": "2",
            "used": "2",
        }
        found = await quotas(world, key=OPERATOR_KEY)
        assert {name: (quota.requests_today, quota.requests_per_minute) for name, quota in found.items()} == {
            "key:web": (1, 1),
            "key:other": (2, 2),
        }
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await quotas(world, key=KEY)
        assert read_status(caught.value).reason == "SCOPE_MISSING"
        record: decision_pb2.Decision = (
            await world.stub.GetDecision(cascade_service_pb2.GetDecisionRequest(decision_id=decision_id), metadata=(bearer(KEY),))
        ).decision
        assert record.key_id == "web"
    callers = by_label(recorded, semconv.METRIC_CASCADE_REQUESTS, semconv.EMAFUSION_CALLER_KEY_ID)
    assert callers == {"web": 2, "other": 3}
    assert by_label(recorded, semconv.METRIC_QUOTA_REFUSED, semconv.EMAFUSION_QUOTA_SCOPE) == {"key:web": 1, "key:other": 1}


@pytest.mark.parametrize("when_down", ["refuse", "allow"])
async def test_accounts_that_can_not_be_reached(when_down: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = FakeUpstream(*([answers("42")] if when_down == "allow" else []))
    cascade = limits(keyless={"requests_per_minute": 10}, when_store_down=when_down)
    async with cascade_world(tmp_path, {"small": upstream}, cascade=cascade) as world:
        store = world.service.quotas._store

        async def down(*_: Any, **__: Any) -> None:
            raise StoreUnavailable("down")

        with monkeypatch.context() as patched:
            patched.setattr(store, "reserve", down)
            patched.setattr(store, "settle", down)
            if when_down == "refuse":
                status = await refusal(world)
                assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
                return
            await world.stream(question())
            assert await quotas(world) == {}
        await world.service.quotas.look()
        found = (await quotas(world))["keyless"]
        assert (found.requests_today, found.cost_nano_usd_today) == (1, COST), "what could not be counted then is counted now"
