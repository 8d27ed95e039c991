import datetime

from emafusion.common.v1 import usage_pb2 as _usage_pb2
from emafusion.judge.v1 import verdict_pb2 as _verdict_pb2
from emafusion.router.v1 import plan_pb2 as _plan_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeliveryMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_MODE_UNSPECIFIED: _ClassVar[DeliveryMode]
    DELIVERY_MODE_BUFFERED: _ClassVar[DeliveryMode]
    DELIVERY_MODE_SPECULATIVE: _ClassVar[DeliveryMode]
    DELIVERY_MODE_PREFIX_COMMIT: _ClassVar[DeliveryMode]

class EscalationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ESCALATION_REASON_UNSPECIFIED: _ClassVar[EscalationReason]
    ESCALATION_REASON_LOW_CONFIDENCE: _ClassVar[EscalationReason]
    ESCALATION_REASON_JUDGES_DISAGREE: _ClassVar[EscalationReason]
    ESCALATION_REASON_TRUNCATED: _ClassVar[EscalationReason]
    ESCALATION_REASON_REFUSED: _ClassVar[EscalationReason]
    ESCALATION_REASON_MALFORMED: _ClassVar[EscalationReason]
    ESCALATION_REASON_PROVIDER_ERROR: _ClassVar[EscalationReason]
    ESCALATION_REASON_TIMEOUT: _ClassVar[EscalationReason]
    ESCALATION_REASON_UNJUDGED: _ClassVar[EscalationReason]

class PolicyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_KIND_UNSPECIFIED: _ClassVar[PolicyKind]
    POLICY_KIND_THRESHOLD: _ClassVar[PolicyKind]
    POLICY_KIND_VALUE: _ClassVar[PolicyKind]

class Ceiling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CEILING_UNSPECIFIED: _ClassVar[Ceiling]
    CEILING_COST: _ClassVar[Ceiling]
    CEILING_ATTEMPTS: _ClassVar[Ceiling]
    CEILING_OUTPUT_TOKENS: _ClassVar[Ceiling]
    CEILING_TIME: _ClassVar[Ceiling]
    CEILING_BUDGET: _ClassVar[Ceiling]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_ACCEPTED: _ClassVar[Outcome]
    OUTCOME_BEST_SEEN: _ClassVar[Outcome]
    OUTCOME_UNJUDGED: _ClassVar[Outcome]
DELIVERY_MODE_UNSPECIFIED: DeliveryMode
DELIVERY_MODE_BUFFERED: DeliveryMode
DELIVERY_MODE_SPECULATIVE: DeliveryMode
DELIVERY_MODE_PREFIX_COMMIT: DeliveryMode
ESCALATION_REASON_UNSPECIFIED: EscalationReason
ESCALATION_REASON_LOW_CONFIDENCE: EscalationReason
ESCALATION_REASON_JUDGES_DISAGREE: EscalationReason
ESCALATION_REASON_TRUNCATED: EscalationReason
ESCALATION_REASON_REFUSED: EscalationReason
ESCALATION_REASON_MALFORMED: EscalationReason
ESCALATION_REASON_PROVIDER_ERROR: EscalationReason
ESCALATION_REASON_TIMEOUT: EscalationReason
ESCALATION_REASON_UNJUDGED: EscalationReason
POLICY_KIND_UNSPECIFIED: PolicyKind
POLICY_KIND_THRESHOLD: PolicyKind
POLICY_KIND_VALUE: PolicyKind
CEILING_UNSPECIFIED: Ceiling
CEILING_COST: Ceiling
CEILING_ATTEMPTS: Ceiling
CEILING_OUTPUT_TOKENS: Ceiling
CEILING_TIME: Ceiling
CEILING_BUDGET: Ceiling
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_ACCEPTED: Outcome
OUTCOME_BEST_SEEN: Outcome
OUTCOME_UNJUDGED: Outcome

class RiskCertificate(_message.Message):
    __slots__ = ("wrong_max", "confidence", "threshold", "calibration", "questions")
    WRONG_MAX_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    wrong_max: float
    confidence: float
    threshold: float
    calibration: str
    questions: int
    def __init__(self, wrong_max: _Optional[float] = ..., confidence: _Optional[float] = ..., threshold: _Optional[float] = ..., calibration: _Optional[str] = ..., questions: _Optional[int] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("label", "text", "needs_earlier")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NEEDS_EARLIER_FIELD_NUMBER: _ClassVar[int]
    label: str
    text: str
    needs_earlier: bool
    def __init__(self, label: _Optional[str] = ..., text: _Optional[str] = ..., needs_earlier: _Optional[bool] = ...) -> None: ...

class Decomposed(_message.Message):
    __slots__ = ("decision_id", "parts", "splitter", "reason", "cost_nano_usd")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    SPLITTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    splitter: str
    reason: str
    cost_nano_usd: int
    def __init__(self, decision_id: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ..., splitter: _Optional[str] = ..., reason: _Optional[str] = ..., cost_nano_usd: _Optional[int] = ...) -> None: ...

class Routed(_message.Message):
    __slots__ = ("decision_id", "plan", "static_plan", "policy", "threshold", "delivery", "policy_kind", "answer_worth_nano_usd", "part", "risk")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    STATIC_PLAN_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    POLICY_KIND_FIELD_NUMBER: _ClassVar[int]
    ANSWER_WORTH_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    plan: _plan_pb2.Plan
    static_plan: bool
    policy: str
    threshold: float
    delivery: DeliveryMode
    policy_kind: PolicyKind
    answer_worth_nano_usd: int
    part: int
    risk: RiskCertificate
    def __init__(self, decision_id: _Optional[str] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., static_plan: _Optional[bool] = ..., policy: _Optional[str] = ..., threshold: _Optional[float] = ..., delivery: _Optional[_Union[DeliveryMode, str]] = ..., policy_kind: _Optional[_Union[PolicyKind, str]] = ..., answer_worth_nano_usd: _Optional[int] = ..., part: _Optional[int] = ..., risk: _Optional[_Union[RiskCertificate, _Mapping]] = ...) -> None: ...

class AttemptStarted(_message.Message):
    __slots__ = ("attempt", "tier", "model", "part")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    tier: int
    model: str
    part: int
    def __init__(self, attempt: _Optional[int] = ..., tier: _Optional[int] = ..., model: _Optional[str] = ..., part: _Optional[int] = ...) -> None: ...

class Delta(_message.Message):
    __slots__ = ("attempt", "sequence", "text")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    sequence: int
    text: str
    def __init__(self, attempt: _Optional[int] = ..., sequence: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class Judged(_message.Message):
    __slots__ = ("attempt", "verdict", "accepted")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    verdict: _verdict_pb2.Verdict
    accepted: bool
    def __init__(self, attempt: _Optional[int] = ..., verdict: _Optional[_Union[_verdict_pb2.Verdict, _Mapping]] = ..., accepted: _Optional[bool] = ...) -> None: ...

class Committed(_message.Message):
    __slots__ = ("attempt", "through_sequence")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    through_sequence: int
    def __init__(self, attempt: _Optional[int] = ..., through_sequence: _Optional[int] = ...) -> None: ...

class Retracted(_message.Message):
    __slots__ = ("attempt", "from_sequence")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    from_sequence: int
    def __init__(self, attempt: _Optional[int] = ..., from_sequence: _Optional[int] = ...) -> None: ...

class Escalated(_message.Message):
    __slots__ = ("from_attempt", "reason", "confidence", "threshold", "next_model", "detail", "expected_gain", "price")
    FROM_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    NEXT_MODEL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GAIN_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    from_attempt: int
    reason: EscalationReason
    confidence: float
    threshold: float
    next_model: str
    detail: str
    expected_gain: float
    price: float
    def __init__(self, from_attempt: _Optional[int] = ..., reason: _Optional[_Union[EscalationReason, str]] = ..., confidence: _Optional[float] = ..., threshold: _Optional[float] = ..., next_model: _Optional[str] = ..., detail: _Optional[str] = ..., expected_gain: _Optional[float] = ..., price: _Optional[float] = ...) -> None: ...

class Hedge(_message.Message):
    __slots__ = ("endpoint", "hedged", "wasted_cost_nano_usd", "skipped_endpoints")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    HEDGED_FIELD_NUMBER: _ClassVar[int]
    WASTED_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    endpoint: int
    hedged: bool
    wasted_cost_nano_usd: int
    skipped_endpoints: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, endpoint: _Optional[int] = ..., hedged: _Optional[bool] = ..., wasted_cost_nano_usd: _Optional[int] = ..., skipped_endpoints: _Optional[_Iterable[int]] = ...) -> None: ...

class AttemptSummary(_message.Message):
    __slots__ = ("attempt", "tier", "model", "chosen", "escalation_reason", "confidence", "finish_reason", "usage", "cost_nano_usd", "judge_cost_nano_usd", "time_to_first_chunk", "duration", "error", "aborted_early", "tokens_saved", "continues_attempt", "expected_gain", "price", "hedge", "part")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_REASON_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    JUDGE_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_CHUNK_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ABORTED_EARLY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_SAVED_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GAIN_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    HEDGE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    tier: int
    model: str
    chosen: bool
    escalation_reason: EscalationReason
    confidence: float
    finish_reason: _usage_pb2.FinishReason
    usage: _usage_pb2.Usage
    cost_nano_usd: int
    judge_cost_nano_usd: int
    time_to_first_chunk: _duration_pb2.Duration
    duration: _duration_pb2.Duration
    error: str
    aborted_early: bool
    tokens_saved: int
    continues_attempt: int
    expected_gain: float
    price: float
    hedge: Hedge
    part: int
    def __init__(self, attempt: _Optional[int] = ..., tier: _Optional[int] = ..., model: _Optional[str] = ..., chosen: _Optional[bool] = ..., escalation_reason: _Optional[_Union[EscalationReason, str]] = ..., confidence: _Optional[float] = ..., finish_reason: _Optional[_Union[_usage_pb2.FinishReason, str]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ..., judge_cost_nano_usd: _Optional[int] = ..., time_to_first_chunk: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error: _Optional[str] = ..., aborted_early: _Optional[bool] = ..., tokens_saved: _Optional[int] = ..., continues_attempt: _Optional[int] = ..., expected_gain: _Optional[float] = ..., price: _Optional[float] = ..., hedge: _Optional[_Union[Hedge, _Mapping]] = ..., part: _Optional[int] = ...) -> None: ...

class PartSummary(_message.Message):
    __slots__ = ("label", "needs_earlier", "text_start", "text_end", "model", "attempt", "outcome", "confidence", "ceiling", "cost_nano_usd", "error_reason", "supporting_attempts", "stop_detail")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NEEDS_EARLIER_FIELD_NUMBER: _ClassVar[int]
    TEXT_START_FIELD_NUMBER: _ClassVar[int]
    TEXT_END_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    SUPPORTING_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STOP_DETAIL_FIELD_NUMBER: _ClassVar[int]
    label: str
    needs_earlier: bool
    text_start: int
    text_end: int
    model: str
    attempt: int
    outcome: Outcome
    confidence: float
    ceiling: Ceiling
    cost_nano_usd: int
    error_reason: str
    supporting_attempts: _containers.RepeatedScalarFieldContainer[int]
    stop_detail: str
    def __init__(self, label: _Optional[str] = ..., needs_earlier: _Optional[bool] = ..., text_start: _Optional[int] = ..., text_end: _Optional[int] = ..., model: _Optional[str] = ..., attempt: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., confidence: _Optional[float] = ..., ceiling: _Optional[_Union[Ceiling, str]] = ..., cost_nano_usd: _Optional[int] = ..., error_reason: _Optional[str] = ..., supporting_attempts: _Optional[_Iterable[int]] = ..., stop_detail: _Optional[str] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("decision_id", "text", "model", "attempt", "outcome", "confidence", "ceiling", "finish_reason", "attempts", "usage", "cost_nano_usd", "timing", "trace_id", "policy_hash", "incomplete", "supporting_attempts", "stop_detail", "policy_kind", "answer_worth_nano_usd", "risk", "parts")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    SUPPORTING_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STOP_DETAIL_FIELD_NUMBER: _ClassVar[int]
    POLICY_KIND_FIELD_NUMBER: _ClassVar[int]
    ANSWER_WORTH_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    text: str
    model: str
    attempt: int
    outcome: Outcome
    confidence: float
    ceiling: Ceiling
    finish_reason: _usage_pb2.FinishReason
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptSummary]
    usage: _usage_pb2.Usage
    cost_nano_usd: int
    timing: _usage_pb2.Timing
    trace_id: str
    policy_hash: str
    incomplete: bool
    supporting_attempts: _containers.RepeatedScalarFieldContainer[int]
    stop_detail: str
    policy_kind: PolicyKind
    answer_worth_nano_usd: int
    risk: RiskCertificate
    parts: _containers.RepeatedCompositeFieldContainer[PartSummary]
    def __init__(self, decision_id: _Optional[str] = ..., text: _Optional[str] = ..., model: _Optional[str] = ..., attempt: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., confidence: _Optional[float] = ..., ceiling: _Optional[_Union[Ceiling, str]] = ..., finish_reason: _Optional[_Union[_usage_pb2.FinishReason, str]] = ..., attempts: _Optional[_Iterable[_Union[AttemptSummary, _Mapping]]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ..., timing: _Optional[_Union[_usage_pb2.Timing, _Mapping]] = ..., trace_id: _Optional[str] = ..., policy_hash: _Optional[str] = ..., incomplete: _Optional[bool] = ..., supporting_attempts: _Optional[_Iterable[int]] = ..., stop_detail: _Optional[str] = ..., policy_kind: _Optional[_Union[PolicyKind, str]] = ..., answer_worth_nano_usd: _Optional[int] = ..., risk: _Optional[_Union[RiskCertificate, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[PartSummary, _Mapping]]] = ...) -> None: ...

class Completed(_message.Message):
    __slots__ = ("completion",)
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    completion: Completion
    def __init__(self, completion: _Optional[_Union[Completion, _Mapping]] = ...) -> None: ...
