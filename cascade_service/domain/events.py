"""What happens while a request is answered, as one closed union.

The grammar is that of ``emafusion/cascade/v1/event.proto``::

    stream  = Routed {attempt} [Delta {Delta}] [Committed] Completed
    attempt = AttemptStarted {Delta | Committed} {Judged} (Committed | [Retracted] [Escalated])

A request that may be split begins with ``Decomposed``. Without parts the rest is as above; else it is the streams of the parts at once,
each without its ``Completed``, and one ``Completed`` for all. Text comes in the order of the parts: that of a later one is held until its
turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cascade_service.domain.chat import FinishReason, Usage
from cascade_service.domain.decomposition.splitting import Part
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
    BUDGET = "budget"


class Outcome(Enum):
    """How the cascade came to its answer."""

    ACCEPTED = "accepted"
    BEST_SEEN = "best_seen"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposed:
    """The first event of a request that may be split: two or more parts, or none, and ``reason`` says why.

    ``splitter`` is the kind of splitter that decided, and ``cost_nano_usd`` what it has cost.
    """

    decision_id: str
    parts: tuple[Part, ...]
    splitter: str
    reason: str = ""
    cost_nano_usd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The plan is known: that of the request, or of a ``part``, counted from 0. ``answer_worth_nano_usd`` only with a value policy."""

    decision_id: str
    plan: Plan
    static_plan: bool
    policy: str
    threshold: float
    delivery: DeliveryMode
    policy_kind: PolicyKind = PolicyKind.THRESHOLD
    answer_worth_nano_usd: int | None = None
    part: int | None = None
    risk: RiskCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """A model has been asked. Attempts and tiers count from 0, attempts over all parts."""

    attempt: int
    tier: int
    model: str
    part: int | None = None


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
class Hedge:
    """Which of a model's endpoints an attempt used, by their place in the configuration, 0 for the first.

    ``endpoint`` answered or, when none did, was asked last; ``hedged`` when a second one was asked because the first was slow;
    ``wasted_cost_nano_usd`` estimates what the call that was cancelled for it cost; ``skipped_endpoints`` were kept away from.
    """

    endpoint: int
    hedged: bool = False
    wasted_cost_nano_usd: int = 0
    skipped_endpoints: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSummary:
    """One attempt, summed up. Costs in nano-USD, durations in seconds; ``error`` is a class such as ``rate_limited``.

    ``tokens_saved`` is what breaking off an attempt with a hopeless beginning saved, an estimate. ``continues_attempt`` is the attempt
    whose final text this one continues. ``expected_gain`` and ``price`` of the step that led to it, in right answers, with a value
    policy and only where there was a choice. ``hedge`` is set for a model with several endpoints.
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
    hedge: Hedge | None = None
    part: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSummary:
    """One part, summed up. Its answer is the text's characters from ``text_start`` to before ``text_end``.

    ``outcome``, ``model`` and ``attempt`` are ``None`` when it has no answer; ``error_reason`` says why. The cost is that of its attempts
    and judges in nano-USD. ``supporting_attempts`` and ``stop_detail`` as in ``Completion``.
    """

    label: str
    needs_earlier: bool
    text_start: int
    text_end: int
    model: str | None
    attempt: int | None
    outcome: Outcome | None
    confidence: float | None
    ceiling: Ceiling | None
    cost_nano_usd: int
    error_reason: str = ""
    supporting_attempts: tuple[int, ...] = ()
    stop_detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time went, in seconds. ``inference_s`` is the sum over attempts and judges."""

    queue_s: float
    inference_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The answer and how it came about. ``incomplete`` when not all of it could be had.

    ``supporting_attempts`` are the others whose answers say the same. ``stop_detail`` says why a value policy went no further.

    With ``parts`` the text is their joined answers, ``model`` and ``attempt`` are those of the last part that has one, the outcome is the
    weakest of theirs, and the confidence is that in all of them: the product. Each part has a ``stop_detail`` of its own, the whole none.
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
    parts: tuple[PartSummary, ...] = ()
    risk: RiskCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The answer. The last event."""

    completion: Completion


CascadeEvent = Decomposed | Routed | AttemptStarted | Delta | Judged | Committed | Retracted | Escalated | Completed
