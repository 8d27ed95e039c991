"""What the table of faults does not say: what is in the statuses, and what comes before any event."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from servicekit.errors import read_status
from tests.support.cascade_served import cascade_world, question
from tests.support.upstream import FakeUpstream, answers, fails, resets_after

MODES = [f"DELIVERY_MODE_{mode}" for mode in ("BUFFERED", "SPECULATIVE", "PREFIX_COMMIT")]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_no_other_model_can_mend_names_the_model(status: int, tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(fails(status)), "large": FakeUpstream()}
    async with cascade_world(tmp_path, upstreams) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question())
    assert read_status(caught.value).metadata["model"] == "small"


@pytest.mark.parametrize("mode", MODES)
async def test_when_every_attempt_fails_the_error_lists_model_and_cause(mode: str, tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(fails(500)), "large": FakeUpstream(resets_after("4"))}
    async with cascade_world(tmp_path, upstreams) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(mode=mode))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "ALL_ATTEMPTS_FAILED")
    assert status.metadata == {"small": "server_error", "large": "connection_broken"}


@pytest.mark.parametrize("mode", MODES)
async def test_without_the_router_the_static_plan_is_used(mode: str, tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(), "large": FakeUpstream(answers("42"))}
    async with cascade_world(tmp_path, upstreams, router_up=False, cascade={"when_router_down": {"models": ["large"]}}) as world:
        responses = await world.stream(question(mode=mode))
    assert responses[0].routed.static_plan
    assert [model.model for model in responses[0].routed.plan.models] == ["large"]
    assert responses[-1].completed.completion.text == "42"


@pytest.mark.parametrize("mode", MODES)
async def test_without_the_router_and_a_static_plan_the_request_fails_before_any_event(mode: str, tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}, router_up=False) as world:
        call = world.stub.StreamComplete(question(mode=mode), timeout=20.0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert not await call.initial_metadata(), "a failure before the first event comes without headers"
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "ROUTER_UNAVAILABLE")
    assert status.retry_after_s is not None
