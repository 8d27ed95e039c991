"""Judging the beginning of an answer while the model writes on: when, by whom, and what follows from the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cascade_service.domain.acceptance import Escalate
from cascade_service.domain.events import EscalationReason
from cascade_service.domain.policy import Policy
from cascade_service.domain.verdict import Defect, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixRules:
    """When the beginning of an answer is judged: after ``hold_tokens``, then every ``checkpoint_tokens``; both 1 or more.

    The judges that ask no model judge it; ``judge_timeout_s`` bounds one judging.
    """

    hold_tokens: int = 48
    checkpoint_tokens: int = 64
    judge_timeout_s: float = 2.0


class Hopeful(Enum):
    """A beginning that is not hopeless: good enough to be final, or not yet."""

    PASSES = "passes"
    WAITS = "waits"


PrefixDecision = Hopeful | Escalate

# An empty beginning may only be late, and whether an answer is cut off or has its form can't be told from its beginning.
_HOPELESS = {Defect.REFUSED: EscalationReason.REFUSED, Defect.DEGENERATE: EscalationReason.MALFORMED}


def decide_prefix(policy: Policy, verdict: Verdict) -> PrefixDecision:
    """Whether the beginning is final (``PASSES``), may become so (``WAITS``), or is hopeless (``Escalate``)."""
    for defect, reason in _HOPELESS.items():
        if defect in verdict.defects:
            return Escalate(reason, f"beginning with the defect: {defect.value}")
    if verdict.confidence < policy.prefix_hopeless_below:
        detail = f"beginning with confidence {verdict.confidence:.3f}, hopeless below {policy.prefix_hopeless_below:.3f}"
        return Escalate(EscalationReason.LOW_CONFIDENCE, detail)
    passes = verdict.confidence >= policy.commits_prefix_at and verdict.disagreement <= policy.disagreement_max and not verdict.defects
    return Hopeful.PASSES if passes else Hopeful.WAITS
