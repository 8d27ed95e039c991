"""The value policy through the real service: the artifact, the dial in requests, the record, the trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2, event_pb2

from servicekit import semconv
from servicekit.errors import read_status
from servicekit.settings.load import ConfigurationError
from tests.support.cascade_served import FakeJudge, FakeRouter, cascade_world, question, wire_kinds
from tests.support.gain_graph import write_gain_model
from tests.support.spans import record_telemetry
from tests.support.upstream import FakeUpstream, answers

METHOD = "emafusion.cascade.v1.CascadeService/StreamComplete"
POLICIES: dict[str, Any] = {
    "policies": [{"name": "dial", "kind": "value", "answer_worth_usd": 0.001}, {"name": "balanced"}],
    "default_policy": "dial",
}
CHEAP, DEAR = 100_000, 400_000
"""Predicted costs: 0.1 and 0.4 right answers at a worth of 0.001 USD."""


def router() -> FakeRouter:
    return FakeRouter(("cheap", "dear"), qualities={"cheap": 0.5, "dear": 0.7}, costs={"cheap": CHEAP, "dear": DEAR})


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Written before the event loop runs: files block."""
    return write_gain_model(tmp_path / "artifacts" / "value").parent


def silent() -> dict[str, FakeUpstream]:
    return {"cheap": FakeUpstream(), "dear": FakeUpstream()}


async def test_the_dial_of_a_request_decides_how_far_it_goes(tmp_path: Path, artifacts: Path) -> None:
    upstreams = {"cheap": FakeUpstream(answers("42"), answers("42")), "dear": FakeUpstream(answers("42"))}
    judge = FakeJudge({"42": 0.6})
    settings: dict[str, Any] = {"router": router(), "judge": judge, "cascade": POLICIES, "artifacts": artifacts}
    recorder = record_telemetry("cascade_service")
    async with cascade_world(tmp_path, upstreams, **settings, telemetry=recorder.telemetry) as world:
        thrifty = (await world.stream(question()))[-1].completed.completion
        spent = await world.stream(question(answer_worth_nano_usd=10_000_000))
        request = cascade_service_pb2.GetDecisionRequest(decision_id=spent[0].routed.decision_id)
        decision = (await world.stub.GetDecision(request)).decision
    assert [summary.model for summary in thrifty.attempts] == ["cheap"]
    assert thrifty.stop_detail == "gain 0.280 of asking dear does not exceed its price 0.400"
    assert (thrifty.policy_kind, thrifty.answer_worth_nano_usd) == (event_pb2.POLICY_KIND_VALUE, 1_000_000)
    assert [request.constraints.answer_worth_nano_usd for request in world.router.requests] == [1_000_000, 10_000_000]
    completion = spent[-1].completed.completion
    assert [summary.model for summary in completion.attempts] == ["dear", "cheap"]
    assert list(completion.supporting_attempts) == [1 - completion.attempt]
    escalated = next(response.escalated for response in spent if response.HasField("escalated"))
    assert escalated.detail == "gain 0.200 of asking cheap exceeds its price 0.010"
    assert (round(completion.attempts[1].expected_gain, 6), completion.attempts[1].price) == (0.2, 0.01)
    assert wire_kinds(spent).count("judged") == 3, "the first verdict is told again once another answer says the same"
    assert (decision.policy_kind, decision.answer_worth_nano_usd) == (event_pb2.POLICY_KIND_VALUE, 10_000_000)
    assert decision.attempts[0].verdict.outcomes[0].same_answer_as == ["attempt-1"]
    joint = world.judge.requests[-1]
    assert [candidate.predicted_quality for candidate in joint.candidates] == [0.7, 0.5]
    assert list(joint.panel.judges) == ["checks", "agreement", "confidence"]
    servers = [span for span in recorder.spans if span.name == METHOD and span.kind.name == "SERVER"]
    first, second = (dict(span.attributes or {}) for span in servers)
    assert (first[semconv.EMAFUSION_CASCADE_POLICY_KIND], first[semconv.EMAFUSION_CASCADE_ANSWER_WORTH_NANO_USD]) == ("value", 1_000_000)
    assert first[semconv.EMAFUSION_CASCADE_STOP_DETAIL] == thrifty.stop_detail
    assert second[semconv.EMAFUSION_CASCADE_SUPPORTING_ATTEMPTS] == 1
    step = next(event for event in servers[1].events if event.name == semconv.EVENT_CASCADE_ESCALATED).attributes or {}
    assert step[semconv.EMAFUSION_CASCADE_EXPECTED_GAIN] == pytest.approx(0.2)
    assert step[semconv.EMAFUSION_CASCADE_PRICE] == 0.01


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"policy": "balanced", "answer_worth_nano_usd": 1}, "answer_worth_nano_usd", "only with policy: dial"),
        ({"answer_worth_nano_usd": 0}, "answer_worth_nano_usd", "1 up to"),
        ({"answer_worth_nano_usd": 10**15 + 1}, "answer_worth_nano_usd", "1 up to"),
        ({"constraints": {"answer_worth_nano_usd": 5}}, "constraints.answer_worth_nano_usd", "not set"),
    ],
)
async def test_a_worth_that_can_not_be_is_named(fields: dict[str, Any], field: str, told: str, tmp_path: Path, artifacts: Path) -> None:
    async with cascade_world(tmp_path, silent(), cascade=POLICIES, artifacts=artifacts) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(**fields))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    (violation,) = status.field_violations
    assert violation.field == f"request.{field}"
    assert told in violation.description


async def test_without_value_policies_no_worth_is_taken_and_no_artifact_is_needed(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, silent(), artifacts=tmp_path / "nowhere") as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(answer_worth_nano_usd=5))
    (violation,) = read_status(caught.value).field_violations
    assert "none is configured" in violation.description


async def test_a_value_policy_without_its_artifact_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cascade\.policies\.dial: .*needs its gain model: .*manifest\.json is missing"):
        async with cascade_world(tmp_path, silent(), cascade=POLICIES, artifacts=tmp_path / "nowhere"):
            pass
