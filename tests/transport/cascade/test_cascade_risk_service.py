"""Bounds on risk through the real service: certificates on the wire, the wrong calibration as a status, and who may set a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2, event_pb2

from servicekit.errors import read_status
from servicekit.settings.load import ConfigurationError
from tests.support.cascade_served import FakeJudge, FakeRouter, cascade_world, question
from tests.support.upstream import FakeUpstream, answers
from tests.unit.cascade.test_cascade_risk import ENTRY, artifact, replace_entry

RISK: Mapping[str, Any] = {"wrong_max": 0.1, "confidence": 0.9}
POLICIES: dict[str, Any] = {"policies": [{"name": "bounded", "risk": RISK}, {"name": "plain"}], "default_policy": "bounded"}
CERTIFICATE = event_pb2.RiskCertificate(wrong_max=0.1, confidence=0.9, threshold=0.8, calibration="cal-1", questions=500)


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Written before the event loop runs: files block."""
    return artifact(tmp_path / "artifacts" / "risk", ENTRY).parent


@pytest.fixture
def other_artifacts(tmp_path: Path) -> Path:
    """Certificates for a calibration that the judge does not have."""
    return artifact(tmp_path / "other" / "risk", replace_entry(calibration="cal-0")).parent


def world(folder: Path, artifacts: Path, *, cascade: Mapping[str, Any] = POLICIES, confidence: float = 0.85, asked: int = 2) -> Any:
    upstreams = {"cheap": FakeUpstream(*[answers("42")] * asked)}
    judge = FakeJudge({"42": confidence})
    return cascade_world(folder, upstreams, router=FakeRouter(("cheap",)), judge=judge, cascade=cascade, artifacts=artifacts)


async def test_plan_answer_and_record_carry_the_certificate(tmp_path: Path, artifacts: Path) -> None:
    async with world(tmp_path, artifacts) as served:
        events = await served.stream(question())
        request = cascade_service_pb2.GetDecisionRequest(decision_id=events[0].routed.decision_id)
        decision = (await served.stub.GetDecision(request)).decision
        plain = await served.stream(question(policy="plain"))
    assert (events[0].routed.risk, events[0].routed.threshold) == (CERTIFICATE, 0.8)
    assert events[-1].completed.completion.risk == CERTIFICATE
    assert (decision.risk, decision.completion.risk) == (CERTIFICATE, CERTIFICATE)
    assert not plain[0].routed.HasField("risk")
    assert not plain[-1].completed.completion.HasField("risk")


async def test_the_wrong_calibration_is_a_failed_precondition_with_both_names(tmp_path: Path, other_artifacts: Path) -> None:
    async with world(tmp_path, other_artifacts) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stream(question())
        assert (await served.stream(question(policy="plain")))[-1].HasField("completed"), "other policies go on"
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "POLICY_NOT_CALIBRATED")
    assert status.metadata == {"policy": "bounded", "certified_calibration": "cal-0", "calibration": "cal-1"}


async def test_the_operator_can_override_by_name(tmp_path: Path, other_artifacts: Path) -> None:
    allowed = {
        "policies": [{"name": "bounded", "risk": {**RISK, "fallback_threshold": 0.6}}],
        "default_policy": "bounded",
        "uncalibrated_policies": ["bounded"],
    }
    async with world(tmp_path, other_artifacts, cascade=allowed, asked=1) as served:
        completion = (await served.stream(question()))[-1].completed.completion
    assert completion.outcome == event_pb2.OUTCOME_ACCEPTED
    assert not completion.HasField("risk")


async def test_a_caller_can_not_move_a_certified_threshold(tmp_path: Path, artifacts: Path) -> None:
    async with world(tmp_path, artifacts, asked=0) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stream(question(accept_threshold=0.5))
    (violation,) = read_status(caught.value).field_violations
    assert violation.field == "request.accept_threshold"
    assert "the threshold of the policy `bounded` is certified" in violation.description


async def test_without_a_certificate_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cascade\.policies\.bounded\.risk: .*training\.risk|manifest\.json is missing"):
        async with world(tmp_path, tmp_path / "nowhere"):
            pass
