"""The certificates of policies with a bound on risk: reads and checks `risk.json`, writes it for training, and finds each policy's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cascade_service.domain.risk import RiskCertificate
from servicekit.artifacts import ArtifactError, load_manifest
from servicekit.settings.cascade import RiskSettings, ThresholdPolicySettings, ValuePolicySettings
from servicekit.settings.load import ConfigurationError
from servicekit.settings.root import Settings
from servicekit.settings.schema import Problem

FILE_NAME: Final = "risk.json"
MEND: Final = "make one with `python -m training.risk`; a tighter bound needs more questions, or judges that tell right from wrong better"

_Share = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]
_Policy = ThresholdPolicySettings | ValuePolicySettings


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CertifiedThreshold(_Part):
    """One certificate: for which kind of policy and calibration, and the counts behind it."""

    policy_kind: Literal["threshold", "value"]
    source: str
    """Where the questions are from."""
    calibration: str
    """As in `Verdict.calibration`."""
    wrong_max: _Share
    confidence: _Share
    threshold: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
    questions: Annotated[int, Field(ge=1)]
    accepted: Annotated[int, Field(ge=1)]
    """Of the questions, at the threshold."""
    wrong: Annotated[int, Field(ge=0)]
    """Of the accepted."""


class _File(_Part):
    certificates: tuple[CertifiedThreshold, ...]


def load_certificates(folder: Path) -> tuple[CertifiedThreshold, ...]:
    """The certificates in ``folder``, after its manifest has been checked. Blocks; raises ``ArtifactError``."""
    manifest = load_manifest(folder)
    if FILE_NAME not in {file.path for file in manifest.files}:
        raise ArtifactError(f"{folder} has no {FILE_NAME} in its manifest; make it again with `{manifest.command}`")
    try:
        return _File.model_validate_json((folder / FILE_NAME).read_bytes()).certificates
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{folder / FILE_NAME}: `{where}`: {first['msg']}; make it again with `{manifest.command}`") from error


def format_certificates(certificates: Iterable[CertifiedThreshold]) -> str:
    """``certificates`` as JSON text that ``load_certificates`` reads back."""
    return _File(certificates=tuple(certificates)).model_dump_json(indent=2) + "\n"


def certificates_of(settings: Settings) -> dict[str, RiskCertificate]:
    """The certificates of the configured policies with a bound on risk, by name of the policy. Blocks on files.

    Where the calibration of the configured judge can be read it must be the certified one. A policy under `uncalibrated_policies` may go
    without. Raises ``ConfigurationError`` naming each other one that has none, what there is, and how to get one.
    """
    bounded = [(policy, policy.risk) for policy in settings.cascade.policies if policy.risk is not None]
    if not bounded:
        return {}
    known, nothing = _known(Path(settings.artifacts.directory) / settings.cascade.risk_certificates)
    judged = _judge_calibration(settings)
    found: dict[str, RiskCertificate] = {}
    problems: list[Problem] = []
    for policy, risk in bounded:
        certified = [entry for entry in known if _answers(entry, policy, risk)]
        fitting = [entry for entry in certified if judged in {"", entry.calibration}]
        if len(fitting) == 1:
            found[policy.name] = _certificate(fitting[0])
        elif policy.name not in settings.cascade.uncalibrated_policies:
            problem = nothing or _problem(policy, risk, known=known, certified=certified, judged=judged)
            problems.append(Problem(f"cascade.policies.{policy.name}.risk", problem))
    if problems:
        raise ConfigurationError(problems)
    return found


def _known(folder: Path) -> tuple[tuple[CertifiedThreshold, ...], str]:
    """The certificates, and why there are none."""
    try:
        return load_certificates(folder), ""
    except ArtifactError as error:
        return (), f"it needs a certificate, and there are none: {error}"


def _judge_calibration(settings: Settings) -> str:
    """The calibration of the configured judge as its verdicts name it; empty where the judge's artifacts are not on this machine."""
    try:
        manifest = load_manifest(Path(settings.artifacts.directory) / settings.judge.calibration)
    except ArtifactError:
        return ""
    return f"{manifest.version}-{manifest.fingerprint}"


def _answers(entry: CertifiedThreshold, policy: _Policy, risk: RiskSettings) -> bool:
    return (entry.policy_kind, entry.wrong_max, entry.confidence) == (policy.kind, risk.wrong_max, risk.confidence)


def _certificate(entry: CertifiedThreshold) -> RiskCertificate:
    return RiskCertificate(
        wrong_max=entry.wrong_max,
        confidence=entry.confidence,
        threshold=entry.threshold,
        calibration=entry.calibration,
        questions=entry.questions,
    )


def _problem(
    policy: _Policy, risk: RiskSettings, *, known: Sequence[CertifiedThreshold], certified: Sequence[CertifiedThreshold], judged: str
) -> str:
    wanted = f"wrong_max {risk.wrong_max:g} with confidence {risk.confidence:g}"
    if judged and certified:
        theirs = ", ".join(sorted(entry.calibration for entry in certified))
        return f"{wanted} is certified for the calibration {theirs}, but the configured judge has {judged}; {MEND}"
    if certified:
        theirs = ", ".join(sorted(entry.calibration for entry in certified))
        return f"{wanted} is certified for several calibrations ({theirs}) and that of the judge, `judge.calibration`, can't be read here"
    there = sorted({(entry.wrong_max, entry.confidence) for entry in known if entry.policy_kind == policy.kind})
    listed = ", ".join(f"{wrong_max:g} with {confidence:g}" for wrong_max, confidence in there) or "none"
    return f"{wanted} has no certificate for policies of kind {policy.kind}; there is: {listed}; {MEND}"
