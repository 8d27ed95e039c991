"""What goes wrong around the cascade, in both delivery modes: providers, judge and router on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from emafusion.cascade.v1 import event_pb2

from servicekit.errors import read_status
from tests.support.cascade_served import FakeJudge, cascade_world, question, wire_kinds
from tests.support.upstream import (
    Behaviour,
    FakeUpstream,
    answers,
    ends_after,
    fails,
    malformed_after,
    resets_after,
    sends_raw,
    stalls_after,
)

BUFFERED, SPECULATIVE = "DELIVERY_MODE_BUFFERED", "DELIVERY_MODE_SPECULATIVE"
QUICK_TO_GIVE_UP = {"limits": {"idle_timeout_ms": 100, "first_chunk_timeout_ms": 100}}


@dataclass(frozen=True)
class Fault:
    """A provider's misbehaviour, what the cascade calls it, and whether text had been shown by then."""

    behaviour: Behaviour
    reason: str
    error: str
    shown: bool
    model: Mapping[str, Any] = field(default_factory=dict[str, Any])


FAULTS = {
    "429 with Retry-After": Fault(fails(429, retry_after="60"), "PROVIDER_ERROR", "rate_limited", shown=False),
    "500": Fault(fails(500), "PROVIDER_ERROR", "server_error", shown=False),
    "stall before the first token": Fault(stalls_after(), "TIMEOUT", "timeout", shown=False, model=QUICK_TO_GIVE_UP),
    "stall in mid-answer": Fault(stalls_after("4"), "TIMEOUT", "timeout", shown=True, model=QUICK_TO_GIVE_UP),
    "reset before the head": Fault(resets_after(), "PROVIDER_ERROR", "connection_broken", shown=False),
    "reset in mid-answer": Fault(resets_after("4"), "PROVIDER_ERROR", "connection_broken", shown=True),
    "malformed chunk": Fault(malformed_after("4"), "PROVIDER_ERROR", "malformed_response", shown=True),
    "not an event stream": Fault(sends_raw(b"<html>hello</html>"), "PROVIDER_ERROR", "malformed_response", shown=False),
    "no finish reason": Fault(ends_after("4"), "PROVIDER_ERROR", "malformed_response", shown=True),
    "empty answer": Fault(answers(), "MALFORMED", "", shown=False),
    "cut off": Fault(answers("4", finish_reason="length"), "TRUNCATED", "", shown=True),
    "withheld by the content filter": Fault(answers("4", finish_reason="content_filter"), "REFUSED", "", shown=True),
    "half a surrogate pair": Fault(answers("\ud83d"), "PROVIDER_ERROR", "malformed_response", shown=False),
}


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_first_model_escalates_to_the_second(name: str, mode: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    upstreams = {"small": FakeUpstream(fault.behaviour), "large": FakeUpstream(answers("4", "2"))}
    async with cascade_world(tmp_path, upstreams, model=lambda _: fault.model) as world:
        responses = await world.stream(question(mode=mode))
    speculative = mode == SPECULATIVE
    judged = [] if fault.error else ["judged"]
    first = (["delta"] if speculative and fault.shown else []) + judged + (["retracted"] if speculative and fault.shown else [])
    second = ["delta", "judged"] if speculative else ["judged", "delta"]
    assert wire_kinds(responses) == [
        *("routed", "attempt_started", *first, "escalated"),
        *("attempt_started", *second, "committed", "completed"),
    ]
    escalated = next(response.escalated for response in responses if response.WhichOneof("event") == "escalated")
    assert event_pb2.EscalationReason.Name(escalated.reason) == f"ESCALATION_REASON_{fault.reason}"
    assert escalated.next_model == "large"
    completion = responses[-1].completed.completion
    assert (completion.text, completion.model, completion.outcome) == ("42", "large", event_pb2.OUTCOME_ACCEPTED)
    assert completion.attempts[0].error == fault.error


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
@pytest.mark.parametrize(
    ("behaviour", "code", "reason"),
    [
        (fails(401), grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_AUTHENTICATION"),
        (fails(403), grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_AUTHENTICATION"),
        (fails(400), grpc.StatusCode.INVALID_ARGUMENT, "PROVIDER_REJECTED"),
        (fails(404), grpc.StatusCode.INVALID_ARGUMENT, "PROVIDER_REJECTED"),
        (
            fails(400, error={"message": "no", "code": "content_policy_violation"}),
            grpc.StatusCode.INVALID_ARGUMENT,
            "CONTENT_POLICY",
        ),
    ],
)
async def test_what_no_other_model_can_mend_ends_the_request(
    behaviour: Behaviour, code: grpc.StatusCode, reason: str, mode: str, tmp_path: Path
) -> None:
    upstreams = {"small": FakeUpstream(behaviour), "large": FakeUpstream()}
    async with cascade_world(tmp_path, upstreams) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(mode=mode))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (code, reason)
    assert status.metadata["model"] == "small"


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
async def test_when_every_attempt_fails_the_error_lists_model_and_cause(mode: str, tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(fails(500)), "large": FakeUpstream(resets_after("4"))}
    async with cascade_world(tmp_path, upstreams) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(mode=mode))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "ALL_ATTEMPTS_FAILED")
    assert status.metadata == {"small": "server_error", "large": "connection_broken"}


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
async def test_without_the_judge_the_strongest_models_answer_is_given_unjudged(mode: str, tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(answers("41")), "large": FakeUpstream(answers("42"))}
    async with cascade_world(tmp_path, upstreams, judge_up=False) as world:
        responses = await world.stream(question(mode=mode))
    speculative = mode == SPECULATIVE
    first = ["delta", "retracted"] if speculative else []
    assert wire_kinds(responses) == [
        *("routed", "attempt_started", *first, "escalated"),
        *("attempt_started", "delta", "committed", "completed"),
    ]
    completion = responses[-1].completed.completion
    assert (completion.text, completion.outcome) == ("42", event_pb2.OUTCOME_UNJUDGED)
    assert not completion.HasField("confidence")
    assert completion.attempts[0].escalation_reason == event_pb2.ESCALATION_REASON_UNJUDGED


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
async def test_without_the_judge_the_request_fails_where_unjudged_answers_are_refused(mode: str, tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(answers("41")), "large": FakeUpstream()}
    async with cascade_world(tmp_path, upstreams, judge_up=False, cascade={"when_judge_down": "fail"}) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(mode=mode))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "JUDGE_UNAVAILABLE")


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
async def test_a_judge_that_is_too_slow_is_no_verdict(mode: str, tmp_path: Path) -> None:
    judge = FakeJudge(gate=asyncio.Event())
    upstreams = {"small": FakeUpstream(answers("42"))}
    async with cascade_world(tmp_path, upstreams, judge=judge, cascade={"judge_timeout_ms": 100}) as world:
        responses = await world.stream(question(mode=mode))
        await judge.left.wait()
    assert responses[-1].completed.completion.outcome == event_pb2.OUTCOME_UNJUDGED


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
async def test_without_the_router_the_static_plan_is_used(mode: str, tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(), "large": FakeUpstream(answers("42"))}
    async with cascade_world(tmp_path, upstreams, router_up=False, cascade={"when_router_down": {"models": ["large"]}}) as world:
        responses = await world.stream(question(mode=mode))
    assert responses[0].routed.static_plan
    assert [model.model for model in responses[0].routed.plan.models] == ["large"]
    assert responses[-1].completed.completion.text == "42"


@pytest.mark.parametrize("mode", [BUFFERED, SPECULATIVE])
async def test_without_the_router_and_a_static_plan_the_request_fails_before_any_event(mode: str, tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}, router_up=False) as world:
        call = world.stub.StreamComplete(question(mode=mode), timeout=20.0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert not await call.initial_metadata(), "a failure before the first event comes without headers"
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "ROUTER_UNAVAILABLE")
    assert status.retry_after_s is not None
