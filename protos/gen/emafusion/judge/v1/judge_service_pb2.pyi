from emafusion.common.v1 import chat_pb2 as _chat_pb2
from emafusion.common.v1 import error_reason_pb2 as _error_reason_pb2
from emafusion.common.v1 import usage_pb2 as _usage_pb2
from emafusion.judge.v1 import verdict_pb2 as _verdict_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Candidate(_message.Message):
    __slots__ = ("id", "text", "model", "finish_reason", "logprobs", "predicted_quality")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_QUALITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    model: str
    finish_reason: _usage_pb2.FinishReason
    logprobs: _usage_pb2.LogprobSummary
    predicted_quality: float
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., model: _Optional[str] = ..., finish_reason: _Optional[_Union[_usage_pb2.FinishReason, str]] = ..., logprobs: _Optional[_Union[_usage_pb2.LogprobSummary, _Mapping]] = ..., predicted_quality: _Optional[float] = ...) -> None: ...

class Panel(_message.Message):
    __slots__ = ("judges", "accept_threshold", "cost_max_nano_usd")
    JUDGES_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    COST_MAX_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    judges: _containers.RepeatedScalarFieldContainer[str]
    accept_threshold: float
    cost_max_nano_usd: int
    def __init__(self, judges: _Optional[_Iterable[str]] = ..., accept_threshold: _Optional[float] = ..., cost_max_nano_usd: _Optional[int] = ...) -> None: ...

class JudgeRequest(_message.Message):
    __slots__ = ("messages", "candidates", "peers", "output", "panel")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    PANEL_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_chat_pb2.Message]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    peers: _containers.RepeatedCompositeFieldContainer[Candidate]
    output: _chat_pb2.OutputContract
    panel: Panel
    def __init__(self, messages: _Optional[_Iterable[_Union[_chat_pb2.Message, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., output: _Optional[_Union[_chat_pb2.OutputContract, _Mapping]] = ..., panel: _Optional[_Union[Panel, _Mapping]] = ...) -> None: ...

class CandidateOutcome(_message.Message):
    __slots__ = ("candidate_id", "verdict", "error")
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    verdict: _verdict_pb2.Verdict
    error: _error_reason_pb2.ItemError
    def __init__(self, candidate_id: _Optional[str] = ..., verdict: _Optional[_Union[_verdict_pb2.Verdict, _Mapping]] = ..., error: _Optional[_Union[_error_reason_pb2.ItemError, _Mapping]] = ...) -> None: ...

class JudgeResponse(_message.Message):
    __slots__ = ("outcomes", "timing")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[CandidateOutcome]
    timing: _usage_pb2.Timing
    def __init__(self, outcomes: _Optional[_Iterable[_Union[CandidateOutcome, _Mapping]]] = ..., timing: _Optional[_Union[_usage_pb2.Timing, _Mapping]] = ...) -> None: ...

class StreamJudgeRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: JudgeRequest
    def __init__(self, request: _Optional[_Union[JudgeRequest, _Mapping]] = ...) -> None: ...

class JudgeSpoke(_message.Message):
    __slots__ = ("candidate_id", "outcome")
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    outcome: _verdict_pb2.JudgeOutcome
    def __init__(self, candidate_id: _Optional[str] = ..., outcome: _Optional[_Union[_verdict_pb2.JudgeOutcome, _Mapping]] = ...) -> None: ...

class JudgeCompleted(_message.Message):
    __slots__ = ("timing",)
    TIMING_FIELD_NUMBER: _ClassVar[int]
    timing: _usage_pb2.Timing
    def __init__(self, timing: _Optional[_Union[_usage_pb2.Timing, _Mapping]] = ...) -> None: ...

class StreamJudgeResponse(_message.Message):
    __slots__ = ("spoke", "outcome", "completed")
    SPOKE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    spoke: JudgeSpoke
    outcome: CandidateOutcome
    completed: JudgeCompleted
    def __init__(self, spoke: _Optional[_Union[JudgeSpoke, _Mapping]] = ..., outcome: _Optional[_Union[CandidateOutcome, _Mapping]] = ..., completed: _Optional[_Union[JudgeCompleted, _Mapping]] = ...) -> None: ...

class JudgeInfo(_message.Message):
    __slots__ = ("name", "kind", "model", "enabled", "disabled_reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    DISABLED_REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    model: str
    enabled: bool
    disabled_reason: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., model: _Optional[str] = ..., enabled: _Optional[bool] = ..., disabled_reason: _Optional[str] = ...) -> None: ...

class ListJudgesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListJudgesResponse(_message.Message):
    __slots__ = ("judges", "calibration")
    JUDGES_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    judges: _containers.RepeatedCompositeFieldContainer[JudgeInfo]
    calibration: str
    def __init__(self, judges: _Optional[_Iterable[_Union[JudgeInfo, _Mapping]]] = ..., calibration: _Optional[str] = ...) -> None: ...
