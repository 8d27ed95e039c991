"""A model behind two endpoints, through the served cascade: rivals of slow calls, what they may cost, and breakers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from emafusion.cascade.v1 import cascade_service_pb2, event_pb2

from servicekit import semconv
from tests.support.cascade_served import FakeJudge, World, cascade_world, question
from tests.support.spans import record_telemetry
from tests.support.upstream import FakeUpstream, answers, fails, hangs
from tests.support.upstream_faults import late

WORST_CALL = (18 + 16) * 1_000 + 1_024 * 2_000
"""Bound of one call in nano-USD: bytes of the question and its frame at 1, and the token limit at 2 USD per million tokens."""
WASTED = (18 + 16) // 4 * 1_000
"""What a call that lost is reckoned at: its input, four bytes to a token."""
ANSWERED = 12 * 1_000 + 1 * 2_000
VERDICT = 2


def replicated(replica: FakeUpstream, **more: Any) -> Mapping[str, Any]:
    hedge = {"after_ms": 1, "share_max": 1.0}
    return {"replicas": [replica.base_url], "hedge": hedge, "price": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}, **more}


async def recorded(world: World, decision_id: str) -> event_pb2.AttemptSummary:
    response = await world.stub.GetDecision(cascade_service_pb2.GetDecisionRequest(decision_id=decision_id), timeout=5.0)
    return response.decision.attempts[0].summary


@pytest.mark.parametrize("mode", ["BUFFERED", "SPECULATIVE", "PREFIX_COMMIT"])
async def test_a_slow_call_gets_a_rival_and_is_closed_when_that_answers(mode: str, tmp_path: Path) -> None:
    recorder = record_telemetry("cascade_service")
    slow = FakeUpstream(hangs())
    async with (
        FakeUpstream(answers("42")) as replica,
        cascade_world(tmp_path, {"small": slow}, model=lambda _: replicated(replica), telemetry=recorder.telemetry) as world,
    ):
        responses = await world.stream(question(mode=f"DELIVERY_MODE_{mode}"))
        await slow.disconnected.wait()
        completion = responses[-1].completed.completion
        assert await recorded(world, completion.decision_id) == completion.attempts[0]
    assert completion.text == "42"
    assert completion.attempts[0].hedge == event_pb2.Hedge(endpoint=1, hedged=True, wasted_cost_nano_usd=WASTED)
    assert completion.attempts[0].cost_nano_usd == ANSWERED + WASTED
    assert completion.cost_nano_usd == ANSWERED + WASTED + VERDICT
    (chat,) = [span for span in recorder.spans if span.name.startswith(f"{semconv.OPERATION_CHAT} ")]
    assert (chat.attributes or {})[semconv.EMAFUSION_PROVIDER_ENDPOINT] == 1
    assert (chat.attributes or {})[semconv.EMAFUSION_PROVIDER_HEDGED]
    (hedges,) = recorder.metrics()[semconv.METRIC_PROVIDER_HEDGES].data.data_points
    assert dict(hedges.attributes or {}) == {
        semconv.EMAFUSION_PROVIDER_MODEL: "small",
        semconv.EMAFUSION_PROVIDER_HEDGE_WINNER: "rival",
    }


@pytest.mark.parametrize(
    "ceilings",
    [{"cost_max_nano_usd": 2 * WORST_CALL - 1}, {"output_tokens_max": 2 * 1_024 - 1}],
    ids=["cost", "output tokens"],
)
async def test_no_rival_that_could_break_a_ceiling(ceilings: Mapping[str, int], tmp_path: Path) -> None:
    async with (
        FakeUpstream() as replica,
        cascade_world(tmp_path, {"small": FakeUpstream(late(0.1, "4", "2"))}, model=lambda _: replicated(replica)) as world,
    ):
        completion = (await world.stream(question(ceilings=ceilings)))[-1].completed.completion
    assert completion.attempts[0].hedge == event_pb2.Hedge(endpoint=0)


@pytest.mark.parametrize("endpoint", ["slow", "quick"])
async def test_what_a_rival_may_have_cost_counts_against_the_ceiling(endpoint: str, tmp_path: Path) -> None:
    """Two calls and a third fit, but not when the loser of the first two may have cost as much as it could."""
    slow = endpoint == "slow"
    first = FakeUpstream(hangs() if slow else answers("41"))
    cost_max = 2 * WORST_CALL + ANSWERED + VERDICT - 1
    settings: dict[str, Mapping[str, Any]] = {"large": {}}
    async with FakeUpstream(*([answers("41")] if slow else [])) as replica:
        settings["small"] = {**replicated(replica), **({} if slow else {"hedge": None})}
        upstreams = {"small": first, "large": FakeUpstream(*([] if slow else [answers("42")]))}
        judge = FakeJudge({"41": 0.2})
        async with cascade_world(tmp_path, upstreams, judge=judge, model=lambda name: settings[name]) as world:
            completion = (await world.stream(question(ceilings={"cost_max_nano_usd": cost_max})))[-1].completed.completion
    assert completion.text == ("41" if slow else "42")
    assert (completion.ceiling == event_pb2.CEILING_COST) == slow
    assert completion.cost_nano_usd <= cost_max


async def test_an_open_breaker_sends_attempts_to_the_other_endpoint(tmp_path: Path) -> None:
    recorder = record_telemetry("cascade_service")
    small = FakeUpstream(fails(500))
    more = {"breaker": {"failures_to_open": 1}, "retry": {"attempts_max": 2, "backoff_initial_ms": 1}, "hedge": None}
    async with (
        FakeUpstream(answers("42"), answers("42")) as replica,
        cascade_world(tmp_path, {"small": small}, model=lambda _: replicated(replica, **more), telemetry=recorder.telemetry) as world,
    ):
        summaries = [(await world.stream(question()))[-1].completed.completion.attempts[0] for _ in range(2)]
    assert summaries[0].hedge == event_pb2.Hedge(endpoint=1)
    assert summaries[1].hedge == event_pb2.Hedge(endpoint=1, skipped_endpoints=[0])
    (opened,) = recorder.metrics()[semconv.METRIC_PROVIDER_BREAKER_CHANGES].data.data_points
    assert dict(opened.attributes or {}) == {
        semconv.EMAFUSION_PROVIDER_MODEL: "small",
        semconv.EMAFUSION_PROVIDER_ENDPOINT: 0,
        semconv.EMAFUSION_PROVIDER_BREAKER_STATE: "open",
    }
