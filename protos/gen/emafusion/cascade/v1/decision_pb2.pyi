import datetime

from emafusion.cascade.v1 import event_pb2 as _event_pb2
from emafusion.judge.v1 import verdict_pb2 as _verdict_pb2
from emafusion.router.v1 import plan_pb2 as _plan_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_STATUS_UNSPECIFIED: _ClassVar[DecisionStatus]
    DECISION_STATUS_COMPLETED: _ClassVar[DecisionStatus]
    DECISION_STATUS_FAILED: _ClassVar[DecisionStatus]
    DECISION_STATUS_CANCELLED: _ClassVar[DecisionStatus]
DECISION_STATUS_UNSPECIFIED: DecisionStatus
DECISION_STATUS_COMPLETED: DecisionStatus
DECISION_STATUS_FAILED: DecisionStatus
DECISION_STATUS_CANCELLED: DecisionStatus

class Feedback(_message.Message):
    __slots__ = ("correct", "rating", "source", "create_time")
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    correct: bool
    rating: float
    source: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, correct: _Optional[bool] = ..., rating: _Optional[float] = ..., source: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RecordedAttempt(_message.Message):
    __slots__ = ("summary", "verdict", "text_sha256", "text")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TEXT_SHA256_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    summary: _event_pb2.AttemptSummary
    verdict: _verdict_pb2.Verdict
    text_sha256: str
    text: str
    def __init__(self, summary: _Optional[_Union[_event_pb2.AttemptSummary, _Mapping]] = ..., verdict: _Optional[_Union[_verdict_pb2.Verdict, _Mapping]] = ..., text_sha256: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class RecordedPart(_message.Message):
    __slots__ = ("label", "needs_earlier", "text_sha256", "text", "plan")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NEEDS_EARLIER_FIELD_NUMBER: _ClassVar[int]
    TEXT_SHA256_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    label: str
    needs_earlier: bool
    text_sha256: str
    text: str
    plan: _plan_pb2.Plan
    def __init__(self, label: _Optional[str] = ..., needs_earlier: _Optional[bool] = ..., text_sha256: _Optional[str] = ..., text: _Optional[str] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("decision_id", "create_time", "status", "prompt_sha256", "prompt_json", "plan", "policy", "threshold", "delivery", "attempts", "completion", "error_reason", "feedback", "trace_id", "key_id", "parts", "policy_kind", "answer_worth_nano_usd", "risk")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROMPT_JSON_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    POLICY_KIND_FIELD_NUMBER: _ClassVar[int]
    ANSWER_WORTH_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    create_time: _timestamp_pb2.Timestamp
    status: DecisionStatus
    prompt_sha256: str
    prompt_json: str
    plan: _plan_pb2.Plan
    policy: str
    threshold: float
    delivery: _event_pb2.DeliveryMode
    attempts: _containers.RepeatedCompositeFieldContainer[RecordedAttempt]
    completion: _event_pb2.Completion
    error_reason: str
    feedback: _containers.RepeatedCompositeFieldContainer[Feedback]
    trace_id: str
    key_id: str
    parts: _containers.RepeatedCompositeFieldContainer[RecordedPart]
    policy_kind: _event_pb2.PolicyKind
    answer_worth_nano_usd: int
    risk: _event_pb2.RiskCertificate
    def __init__(self, decision_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[_Union[DecisionStatus, str]] = ..., prompt_sha256: _Optional[str] = ..., prompt_json: _Optional[str] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., policy: _Optional[str] = ..., threshold: _Optional[float] = ..., delivery: _Optional[_Union[_event_pb2.DeliveryMode, str]] = ..., attempts: _Optional[_Iterable[_Union[RecordedAttempt, _Mapping]]] = ..., completion: _Optional[_Union[_event_pb2.Completion, _Mapping]] = ..., error_reason: _Optional[str] = ..., feedback: _Optional[_Iterable[_Union[Feedback, _Mapping]]] = ..., trace_id: _Optional[str] = ..., key_id: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[RecordedPart, _Mapping]]] = ..., policy_kind: _Optional[_Union[_event_pb2.PolicyKind, str]] = ..., answer_worth_nano_usd: _Optional[int] = ..., risk: _Optional[_Union[_event_pb2.RiskCertificate, _Mapping]] = ...) -> None: ...
