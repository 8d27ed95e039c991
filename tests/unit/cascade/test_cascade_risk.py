"""Policies with a bound on risk: the certificate in events and records, the wrong calibration, and how a policy finds its certificate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cascade_service.adapters.risk_file import FILE_NAME, CertifiedThreshold, certificates_of, format_certificates, load_certificates
from cascade_service.config import request_defaults
from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.decision import DecisionStatus
from cascade_service.domain.errors import PolicyNotCalibrated
from cascade_service.domain.events import DeliveryMode, Outcome, Routed
from cascade_service.domain.policy import Policy
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.value import NextAnswerGain, ValuePolicy
from servicekit.artifacts import ArtifactError, write_manifest
from servicekit.settings.load import ConfigurationError
from servicekit.settings.root import Settings
from tests.support.cascade import (
    ScriptedJudge,
    ScriptedLlm,
    ScriptedRouter,
    Stage,
    answer,
    ask,
    collect_until_error,
    completion_of,
    plan_of,
    verdict,
)

CERTIFICATE = RiskCertificate(wrong_max=0.1, confidence=0.9, threshold=0.8, calibration="cal-1", questions=500)
ELSEWHERE = replace(CERTIFICATE, calibration="cal-0")
ENTRY = CertifiedThreshold(
    policy_kind="threshold",
    source="a test",
    calibration="cal-1",
    wrong_max=0.1,
    confidence=0.9,
    threshold=0.8,
    questions=500,
    accepted=300,
    wrong=9,
)


def threshold(certificate: RiskCertificate | None = CERTIFICATE, *, allowed: bool = False) -> ThresholdPolicy:
    return ThresholdPolicy(name="bounded", threshold=0.8, certificate=certificate, uncalibrated_allowed=allowed)


DEAR = 1
"""As much as a right answer is worth to `value`: after the first answer nothing pays any more."""


def value(certificate: RiskCertificate | None = CERTIFICATE, *, allowed: bool = False) -> ValuePolicy:
    return ValuePolicy(name="bounded", answer_worth_nano_usd=DEAR, threshold=0.8, certificate=certificate, uncalibrated_allowed=allowed)


def stage(**confidences: float) -> Stage:
    models = [ScriptedLlm(name, answer(f"from {name}")) for name in confidences]
    judge = ScriptedJudge({name: verdict(confidence) for name, confidence in confidences.items()})
    plan = plan_of(*confidences)
    dear = tuple(replace(planned, predicted_cost_nano_usd=DEAR) for planned in plan.models)
    return Stage(models, judge, ScriptedRouter(replace(plan, models=dear)), gain_model=NextAnswerGain())


@pytest.mark.parametrize("policy", [threshold(), value()])
async def test_the_certificate_is_told_with_the_plan_the_answer_and_the_record(policy: Policy) -> None:
    scene = stage(small=0.85, large=0.9)
    events = await scene.run(ask(policy=policy))
    (routed,) = [event for event in events if isinstance(event, Routed)]
    completion = completion_of(events)
    assert (routed.risk, routed.threshold) == (CERTIFICATE, 0.8)
    assert (completion.outcome, completion.risk) == (Outcome.ACCEPTED, CERTIFICATE)
    assert scene.store.saved[0].risk == CERTIFICATE


@pytest.mark.parametrize("policy", [threshold(), value()])
async def test_nothing_is_promised_of_an_answer_that_was_not_accepted(policy: Policy) -> None:
    scene = stage(small=0.7, large=0.75)
    completion = completion_of(await scene.run(ask(policy=policy)))
    assert (completion.outcome, completion.risk) == (Outcome.BEST_SEEN, None)
    assert len(completion.attempts) == 2, "below the certified threshold it does not stop while another model may be asked"
    assert scene.store.saved[0].risk == CERTIFICATE, "the record says what the policy worked under"


async def test_the_policy_hash_tells_certificates_apart() -> None:
    found = [completion_of(await stage(small=0.9).run(ask(policy=threshold(one)))).policy_hash for one in (CERTIFICATE, None)]
    assert found[0] != found[1]


@pytest.mark.parametrize("delivery", DeliveryMode)
@pytest.mark.parametrize("policy", [threshold(ELSEWHERE), value(ELSEWHERE)])
async def test_a_verdict_under_another_calibration_ends_the_request(policy: Policy, delivery: DeliveryMode) -> None:
    scene = stage(small=0.9, large=0.9)
    events, error = await collect_until_error(scene.cascade().answer(ask(policy=policy, delivery=delivery)))
    assert isinstance(error, PolicyNotCalibrated)
    assert (error.policy, error.certified, error.found) == ("bounded", "cal-0", "cal-1")
    assert "Completed" not in {type(event).__name__ for event in events}
    (record,) = scene.store.saved
    assert (record.status, record.error_reason, record.risk) == (DecisionStatus.FAILED, "POLICY_NOT_CALIBRATED", ELSEWHERE)


@pytest.mark.parametrize("policy", [threshold(ELSEWHERE, allowed=True), value(ELSEWHERE, allowed=True)])
async def test_an_allowed_policy_answers_without_the_promise(policy: Policy) -> None:
    completion = completion_of(await stage(small=0.9, large=0.9).run(ask(policy=policy)))
    assert (completion.outcome, completion.risk) == (Outcome.ACCEPTED, None)


def artifact(folder: Path, *entries: CertifiedThreshold, text: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_text(text or format_certificates(entries), encoding="utf-8")
    write_manifest(folder, name="risk", files=[FILE_NAME], created_by="test", command="make risk", licence="Apache-2.0")
    return folder


def configured(artifacts: Path, policy: dict[str, Any], **cascade: Any) -> Settings:
    return Settings.model_validate(
        {
            "models": [{"name": "m", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:1/v1"}],
            "artifacts": {"directory": str(artifacts)},
            "cascade": {"policies": [{"name": "bounded", **policy}], "default_policy": "bounded", **cascade},
        }
    )


BOUND = {"risk": {"wrong_max": 0.1, "confidence": 0.9}}
FALLBACK = {"risk": {"wrong_max": 0.1, "confidence": 0.9, "fallback_threshold": 0.6}}


def test_certificates_come_back_as_they_went_out(tmp_path: Path) -> None:
    assert load_certificates(artifact(tmp_path / "risk", ENTRY)) == (ENTRY,)


def test_a_file_that_is_none_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"risk\.json: `certificates`.*make it again with `make risk`"):
        load_certificates(artifact(tmp_path / "risk", text="{}"))


def test_a_policy_gets_the_certificate_of_its_bound_and_its_threshold(tmp_path: Path) -> None:
    artifact(tmp_path / "risk", replace_entry(wrong_max=0.05, threshold=0.9), ENTRY, replace_entry(policy_kind="value", threshold=0.7))
    settings = configured(tmp_path, BOUND)
    found = certificates_of(settings)
    assert found == {"bounded": CERTIFICATE}
    assert request_defaults(settings, found).policies["bounded"] == threshold()


def replace_entry(**fields: Any) -> CertifiedThreshold:
    return CertifiedThreshold.model_validate({**ENTRY.model_dump(), **fields})


def test_without_a_certificate_the_start_is_refused_with_policy_choice_and_way_out(tmp_path: Path) -> None:
    artifact(tmp_path / "risk", replace_entry(wrong_max=0.2))
    with pytest.raises(ConfigurationError) as caught:
        certificates_of(configured(tmp_path, BOUND))
    told = str(caught.value)
    assert "cascade.policies.bounded.risk" in told
    assert "there is: 0.2 with 0.9" in told
    assert "`python -m training.risk`" in told
    assert "more questions" in told


def test_without_the_artifact_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"bounded\.risk: .*manifest\.json is missing"):
        certificates_of(configured(tmp_path, BOUND))


def test_the_certificate_must_be_for_the_calibration_of_the_configured_judge(tmp_path: Path) -> None:
    judge = tmp_path / "calibration"
    judge.mkdir()
    (judge / "calibration.json").write_text("{}")
    manifest = write_manifest(judge, name="calibration", files=["calibration.json"], created_by="t", command="t", licence="Apache-2.0")
    mine = f"{manifest.version}-{manifest.fingerprint}"
    artifact(tmp_path / "risk", ENTRY)
    with pytest.raises(ConfigurationError, match=f"certified for the calibration cal-1, but the configured judge has {mine}"):
        certificates_of(configured(tmp_path, BOUND))
    artifact(tmp_path / "more", ENTRY, replace_entry(calibration=mine, threshold=0.9))
    assert certificates_of(configured(tmp_path, BOUND, risk_certificates="more"))["bounded"].threshold == 0.9


def test_of_several_calibrations_none_is_guessed(tmp_path: Path) -> None:
    artifact(tmp_path / "risk", ENTRY, replace_entry(calibration="cal-2"))
    with pytest.raises(ConfigurationError, match="several calibrations"):
        certificates_of(configured(tmp_path, BOUND))


def test_the_operator_can_allow_a_policy_by_name_at_a_stated_threshold(tmp_path: Path) -> None:
    settings = configured(tmp_path, FALLBACK, uncalibrated_policies=["bounded"])
    found = certificates_of(settings)
    policy = request_defaults(settings, found).policies["bounded"]
    assert (found, policy.threshold, policy.certificate, policy.uncalibrated_allowed) == ({}, 0.6, None, True)


@pytest.mark.parametrize(
    ("policy", "cascade", "told"),
    [
        ({**BOUND, "threshold": 0.7}, {}, "`threshold` and `risk` must not both be set"),
        ({**BOUND, "threshold": 0.7, "kind": "value"}, {}, "`threshold` and `risk` must not both be set"),
        ({**BOUND, "disagreement_max": 0.5}, {}, "`disagreement_max` must not be set with `risk`"),
        (BOUND, {"uncalibrated_policies": ["bounded"]}, "`risk.fallback_threshold` of the policy `bounded` must be set"),
        (FALLBACK, {}, "`risk.fallback_threshold` of the policy `bounded` must not be set"),
        (BOUND, {"uncalibrated_policies": ["other"]}, "`other` is no policy with `risk`; those are: bounded"),
        ({"risk": {"wrong_max": 0.0}}, {}, "greater than 0"),
    ],
)
def test_settings_that_can_not_be_are_named(policy: dict[str, Any], cascade: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        configured(tmp_path, policy, **cascade)
