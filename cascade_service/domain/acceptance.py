"""Whether an answer is good enough, and if not, why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from cascade_service.domain.chat import FinishReason
from cascade_service.domain.events import EscalationReason, PolicyKind
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.verdict import Defect, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdPolicy:
    """Accepts at a calibrated confidence of ``threshold`` or more, unless the judges are further apart than allowed.

    All figures are 0.0 to 1.0; a ``disagreement_max`` of 1.0 never refuses. The beginning of an answer becomes final at a confidence of
    ``prefix_threshold`` or more, by default ``threshold``, and is hopeless below ``prefix_hopeless_below``.

    With a ``certificate`` the threshold is its own, and verdicts under another calibration end the request, unless
    ``uncalibrated_allowed``: then the answer is given without the certificate.
    """

    kind: ClassVar[PolicyKind] = PolicyKind.THRESHOLD
    answer_worth_nano_usd: ClassVar[None] = None

    name: str
    threshold: float
    disagreement_max: float = 1.0
    prefix_threshold: float | None = None
    prefix_hopeless_below: float = 0.0
    certificate: RiskCertificate | None = None
    uncalibrated_allowed: bool = False

    @property
    def commits_prefix_at(self) -> float:
        """Confidence at which the beginning of an answer becomes final."""
        return self.threshold if self.prefix_threshold is None else self.prefix_threshold


@dataclass(frozen=True, slots=True)
class Accept:
    """The answer ends the cascade."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """The answer does not end the cascade. ``detail`` says more in words and never quotes the answer."""

    reason: EscalationReason
    detail: str


AcceptanceDecision = Accept | Escalate

# Ordered by what helps the caller most to know: a cut-off answer is often also malformed, and a refusal is often also short.
_REASON_BY_DEFECT = {
    Defect.TRUNCATED: EscalationReason.TRUNCATED,
    Defect.REFUSED: EscalationReason.REFUSED,
    Defect.EMPTY: EscalationReason.MALFORMED,
    Defect.MALFORMED: EscalationReason.MALFORMED,
    Defect.DEGENERATE: EscalationReason.MALFORMED,
}


def decide(
    policy: ThresholdPolicy, *, text: str, finish_reason: FinishReason, verdict: Verdict | None, unjudged_detail: str = ""
) -> AcceptanceDecision:
    """Applies ``policy`` to a finished answer.

    Defects count before confidence: a panel that is confident in half an answer is confident in the wrong thing. What the
    finish reason and the bare text already show counts even when there is no verdict.
    """
    defects = visible_defects(text, finish_reason) | set(verdict.defects if verdict is not None else ())
    if (found := reason_of(defects)) is not None:
        return found
    if verdict is None:
        return Escalate(EscalationReason.UNJUDGED, unjudged_detail or "no verdict")
    if not verdict.confidence >= policy.threshold:
        return Escalate(EscalationReason.LOW_CONFIDENCE, f"confidence {verdict.confidence:.3f} is below {policy.threshold:.3f}")
    if verdict.disagreement > policy.disagreement_max:
        return Escalate(EscalationReason.JUDGES_DISAGREE, f"disagreement {verdict.disagreement:.3f} is above {policy.disagreement_max:.3f}")
    return Accept()


def reason_of(defects: Collection[Defect]) -> Escalate | None:
    """Why an answer with these defects does not end the cascade; None when there are none."""
    found = ((defect, reason) for defect, reason in _REASON_BY_DEFECT.items() if defect in defects)
    return next((Escalate(reason, f"defect: {defect.value}") for defect, reason in found), None)


def visible_defects(text: str, finish_reason: FinishReason) -> frozenset[Defect]:
    """What the finish reason and the bare text show without any judge."""
    seen: set[Defect] = set()
    if not text.strip():
        seen.add(Defect.EMPTY)
    if finish_reason is FinishReason.LENGTH:
        seen.add(Defect.TRUNCATED)
    if finish_reason is FinishReason.CONTENT_FILTER:
        seen.add(Defect.REFUSED)
    return frozenset(seen)
