"""What happens while a request is answered, as one closed union.

The grammar is that of ``emafusion/cascade/v1/event.proto``::

    stream  = Routed {attempt} [Delta {Delta}] [Committed] Completed
    attempt = AttemptStarted {Delta | Committed} {Judged} (Committed | [Retracted] [Escalated])
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cascade_service.domain.chat import FinishReason, Usage
from cascade_service.domain.plan import Plan
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.verdict import Verdict


class DeliveryMode(Enum):
    """When text is shown to the caller."""

    BUFFERED = "buffered"
    SPECULATIVE = "speculative"
    PREFIX_COMMIT = "prefix_commit"


class EscalationReason(Enum):
    """Why an attempt did not end the cascade."""

    LOW_CONFIDENCE = "low_confidence"
    JUDGES_DISAGREE = "judges_disagree"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    MALFORMED = "malformed"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"
    UNJUDGED = "unjudged"


class PolicyKind(Enum):
    """How a policy decides."""

    THRESHOLD = "threshold"
    VALUE = "value"


class Ceiling(Enum):
    """A limit that ended the cascade."""

    COST = "cost"
    ATTEMPTS = "attempts"
    OUTPUT_TOKENS = "output_tokens"
    TIME = "time"


class Outcome(Enum):
    """How the cascade came to its answer."""

    ACCEPTED = "accepted"
    BEST_SEEN = "best_seen"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The plan is known. Always the first event. ``answer_worth_nano_usd`` only with a value policy."""

    decision_id: str
    plan: Plan
    static_plan: bool
    policy: str
    threshold: float
    delivery: DeliveryMode
    policy_kind: PolicyKind = PolicyKind.THRESHOLD
    answer_worth_nano_usd: int | None = None
    risk: RiskCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """A model has been asked. Attempts and tiers count from 0."""

    attempt: int
    tier: int
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of text, never empty. ``sequence`` counts from 1 and is never used twice in a stream."""

    attempt: int
    sequence: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The panel has judged an attempt: its whole answer, perhaps anew, or the beginning that made it hopeless."""

    attempt: int
    verdict: Verdict
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Every delta of ``attempt`` up to ``through_sequence`` that was not retracted is final."""

    attempt: int
    through_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted:
    """Every delta of ``attempt`` from ``from_sequence`` on is withdrawn. None of them was committed."""

    attempt: int
    from_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """The next model will be asked. ``detail`` never quotes the answer; gain and price are those of ``AttemptSummary``."""

    from_attempt: int
    reason: EscalationReason
    confidence: float | None
    threshold: float
    next_model: str
    detail: str
    expected_gain: float | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSummary:
    """One attempt, summed up. Costs in nano-USD, durations in seconds; ``error`` is a class such as ``rate_limited``.

    ``tokens_saved`` is what breaking off an attempt with a hopeless beginning saved, an estimate. ``continues_attempt`` is the attempt
    whose final text this one continues. ``expected_gain`` and ``price`` of the step that led to it, in right answers, with a value
    policy and only where there was a choice.
    """

    attempt: int
    tier: int
    model: str
    chosen: bool
    escalation_reason: EscalationReason | None
    confidence: float | None
    finish_reason: FinishReason
    usage: Usage
    cost_nano_usd: int
    judge_cost_nano_usd: int
    time_to_first_chunk_s: float | None
    duration_s: float
    error: str
    aborted_early: bool = False
    tokens_saved: int = 0
    continues_attempt: int | None = None
    expected_gain: float | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time went, in seconds. ``inference_s`` is the sum over attempts and judges."""

    queue_s: float
    inference_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The answer and how it came about. ``incomplete`` when only a part could be had and was already final.

    ``supporting_attempts`` are the others whose answers say the same. ``stop_detail`` says why a value policy went no further.
    ``risk`` is set when the answer was accepted under that certificate.
    """

    decision_id: str
    text: str
    model: str
    attempt: int
    outcome: Outcome
    confidence: float | None
    ceiling: Ceiling | None
    finish_reason: FinishReason
    attempts: tuple[AttemptSummary, ...]
    usage: Usage
    cost_nano_usd: int
    timing: Timing
    trace_id: str
    policy_hash: str
    incomplete: bool = False
    supporting_attempts: tuple[int, ...] = ()
    stop_detail: str = ""
    policy_kind: PolicyKind = PolicyKind.THRESHOLD
    answer_worth_nano_usd: int | None = None
    risk: RiskCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The answer. The last event."""

    completion: Completion


CascadeEvent = Routed | AttemptStarted | Delta | Judged | Committed | Retracted | Escalated | Completed
