"""What the services say. Times are in seconds, money in nano-USD, probabilities from 0.0 to 1.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from emafusion_client.vocabulary import (
    Ceiling,
    DecisionStatus,
    Defect,
    Delivery,
    EscalationReason,
    ExclusionCause,
    FinishReason,
    JudgeStatus,
    Outcome,
    PolicyKind,
    RouteKind,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens; ``cached_input_tokens`` is part of ``input_tokens``, ``estimated`` when no provider counted them."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time went."""

    queue_s: float
    inference_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model of the configuration; prices in nano-USD per million tokens."""

    name: str
    provider: str
    input_nano_usd_per_mtok: int
    output_nano_usd_per_mtok: int
    context_tokens: int
    max_output_tokens: int
    capabilities: tuple[str, ...]
    enabled: bool
    disabled_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisPrediction:
    """What the classifiers say on one axis; ``distribution`` has every label, most probable first."""

    axis: str
    label: str
    probability: float
    distribution: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A model in the plan, with what is expected of one attempt."""

    model: str
    predicted_quality: float
    quality_stddev: float
    predicted_cost_nano_usd: int
    predicted_output_tokens: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludedModel:
    """A model that is not in the plan, and why."""

    model: str
    cause: ExclusionCause
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedModel:
    """The numbers of one model for a request: Φ as it was measured on ``observations`` answers, and what was predicted from it."""

    model: str
    suitability: float
    suitability_stddev: float
    observations: int
    measured: bool
    predicted_quality: float
    quality_stddev: float
    predicted_cost_nano_usd: int
    predicted_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Models to try, in order of escalation. ``weighed`` has every configured model when the router was asked to explain."""

    models: tuple[PlannedModel, ...]
    excluded: tuple[ExcludedModel, ...]
    kind: RouteKind
    axes: tuple[AxisPrediction, ...]
    clear: bool
    reasons: tuple[str, ...]
    input_tokens: int
    policy_hash: str
    weighed: tuple[WeighedModel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The router's answer."""

    plan: Plan
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOutcome:
    """What came of asking one judge; ``score`` only with ``JudgeStatus.SCORED``, ``same_answer_as`` from judges that compare answers."""

    judge: str
    status: JudgeStatus
    score: float | None
    explanation: str
    criteria: tuple[tuple[str, float], ...]
    defects: tuple[Defect, ...]
    duration_s: float
    cost_nano_usd: int
    same_answer_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The panel's verdict on one answer; ``confidence`` is the calibrated probability that it is right."""

    confidence: float
    disagreement: float
    outcomes: tuple[JudgeOutcome, ...]
    defects: tuple[Defect, ...]
    stopped_early: bool
    evidence: str
    calibration: str
    cost_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError:
    """The error of one item of a batch."""

    code: int
    reason: str
    message: str
    field: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateOutcome:
    """What came of one candidate: a verdict, or why there is none."""

    candidate_id: str
    result: Verdict | ItemError


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One outcome per candidate, in the order of the request."""

    outcomes: tuple[CandidateOutcome, ...]
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeInfo:
    """A judge of the panel."""

    name: str
    kind: str
    model: str
    enabled: bool
    disabled_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePanel:
    """The panel, and the version of its calibration."""

    judges: tuple[JudgeInfo, ...]
    calibration: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Which of its model's endpoints an attempt used, 0 for the first.

    ``endpoint`` answered or was asked last; ``hedged`` when a second one was asked because the first was slow, and the call that lost
    cost about ``wasted_cost_nano_usd``; ``skipped_endpoints`` were kept away from.
    """

    endpoint: int
    hedged: bool
    wasted_cost_nano_usd: int
    skipped_endpoints: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSummary:
    """One attempt, summed up; ``error`` is the class of the failure, empty when there was none.

    ``tokens_saved`` is what breaking it off early saved, an estimate; ``continues_attempt`` is the attempt whose final text it continues.
    ``hedge`` is set for a model with several endpoints.
    """

    attempt: int
    tier: int
    model: str
    chosen: bool
    escalation_reason: EscalationReason
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
    """One part of a compound request, summed up: its answer is ``text[text_start:text_end]`` of the completion.

    Without an answer ``model`` is empty, ``attempt`` None, and ``error_reason`` says why.
    """

    label: str
    needs_earlier: bool
    text_start: int
    text_end: int
    model: str
    attempt: int | None
    outcome: Outcome
    confidence: float | None
    ceiling: Ceiling
    cost_nano_usd: int
    error_reason: str
    supporting_attempts: tuple[int, ...] = ()
    stop_detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCertificate:
    """Of the answers accepted at ``threshold`` at most a share of ``wrong_max`` is wrong, with probability ``confidence``.

    It was found on ``questions`` questions, for requests like those, and holds under ``calibration``.
    """

    wrong_max: float
    confidence: float
    threshold: float
    calibration: str
    questions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The answer and how it came about; ``incomplete`` when not all of it could be had. ``parts`` only of a question that was split."""

    decision_id: str
    text: str
    model: str
    attempt: int
    outcome: Outcome
    confidence: float | None
    ceiling: Ceiling
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
    policy_kind: PolicyKind = PolicyKind.UNSPECIFIED
    answer_worth_nano_usd: int | None = None
    parts: tuple[PartSummary, ...] = ()
    risk: RiskCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Feedback as recorded."""

    correct: bool | None
    rating: float | None
    source: str
    create_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttempt:
    """An attempt as recorded; ``text`` only when the operator records texts."""

    summary: AttemptSummary
    verdict: Verdict | None
    text_sha256: str
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPart:
    """A part of a compound request as recorded; ``text`` only when the operator records texts."""

    label: str
    needs_earlier: bool
    text_sha256: str
    text: str | None
    plan: Plan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The record of one request."""

    decision_id: str
    create_time: datetime | None
    status: DecisionStatus
    prompt_sha256: str
    prompt_json: str | None
    plan: Plan | None
    policy: str
    threshold: float
    delivery: Delivery
    attempts: tuple[RecordedAttempt, ...]
    completion: Completion | None
    error_reason: str
    feedback: tuple[Feedback, ...]
    trace_id: str
    policy_kind: PolicyKind = PolicyKind.UNSPECIFIED
    answer_worth_nano_usd: int | None = None
    key_id: str = ""
    parts: tuple[RecordedPart, ...] = ()
    risk: RiskCertificate | None = None
