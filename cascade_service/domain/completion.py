"""The answer and how it came about, summed up from the attempts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from cascade_service.domain.attempt import Attempt
from cascade_service.domain.chat import Usage
from cascade_service.domain.events import Ceiling, Completion, Outcome, Timing
from cascade_service.domain.fusion import supporters
from cascade_service.domain.plan import Plan
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.risk import RiskCertificate


def build_completion(
    request: CascadeRequest,
    *,
    plan: Plan,
    attempts: Sequence[Attempt],
    chosen: Attempt,
    outcome: Outcome,
    ceiling: Ceiling | None,
    total_s: float,
    final_part: str | None = None,
    stop_detail: str = "",
) -> Completion:
    """The completion of a request whose answer is that of ``chosen``; ``total_s`` is the whole time in seconds.

    ``final_part`` is set when ``chosen`` has no whole answer, but this much of it was already final.
    """
    summaries = tuple(attempt.summary(chosen=attempt is chosen) for attempt in attempts)
    judging_s = sum(attempt.verdict.inference_s for attempt in attempts if attempt.verdict is not None)
    return Completion(
        decision_id=request.decision_id,
        text=chosen.text if final_part is None else final_part,
        model=chosen.model,
        attempt=chosen.number,
        outcome=outcome,
        confidence=chosen.confidence,
        ceiling=ceiling,
        finish_reason=chosen.finish_reason,
        attempts=summaries,
        usage=sum((summary.usage for summary in summaries), Usage()),
        cost_nano_usd=sum(summary.cost_nano_usd + summary.judge_cost_nano_usd for summary in summaries),
        timing=Timing(queue_s=request.queue_s, inference_s=sum(summary.duration_s for summary in summaries) + judging_s, total_s=total_s),
        trace_id=request.trace_id,
        policy_hash=policy_hash(request, plan=plan, attempts=attempts),
        incomplete=final_part is not None,
        supporting_attempts=supporters(chosen, attempts),
        stop_detail=stop_detail,
        policy_kind=request.policy.kind,
        answer_worth_nano_usd=request.policy.answer_worth_nano_usd,
        risk=_certificate(request, chosen, outcome),
    )


def _certificate(request: CascadeRequest, chosen: Attempt, outcome: Outcome) -> RiskCertificate | None:
    """The policy's certificate where it covers the answer: accepted, judged under its calibration, and by one model from its beginning."""
    certificate = request.policy.certificate
    if certificate is None or outcome is not Outcome.ACCEPTED or chosen.continues is not None or chosen.verdict is None:
        return None
    return certificate if chosen.verdict.calibration == certificate.calibration else None


def policy_hash(request: CascadeRequest, *, plan: Plan, attempts: Sequence[Attempt]) -> str:
    """First 12 hex digits of the sha256 over the policy, the calibrations of the verdicts, and the plan's artifacts."""
    policy = request.policy
    calibrations = sorted({attempt.verdict.calibration for attempt in attempts if attempt.verdict is not None})
    parts: list[object] = [policy.name, policy.threshold, policy.disagreement_max, calibrations, plan.policy_hash]
    if policy.answer_worth_nano_usd is not None:
        parts.append(policy.answer_worth_nano_usd)
    if (certificate := policy.certificate) is not None:
        parts.append([certificate.wrong_max, certificate.confidence, certificate.calibration])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
