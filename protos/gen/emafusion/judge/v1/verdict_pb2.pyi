import datetime

from emafusion.common.v1 import usage_pb2 as _usage_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Defect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEFECT_UNSPECIFIED: _ClassVar[Defect]
    DEFECT_EMPTY: _ClassVar[Defect]
    DEFECT_TRUNCATED: _ClassVar[Defect]
    DEFECT_REFUSED: _ClassVar[Defect]
    DEFECT_MALFORMED: _ClassVar[Defect]
    DEFECT_DEGENERATE: _ClassVar[Defect]
DEFECT_UNSPECIFIED: Defect
DEFECT_EMPTY: Defect
DEFECT_TRUNCATED: Defect
DEFECT_REFUSED: Defect
DEFECT_MALFORMED: Defect
DEFECT_DEGENERATE: Defect

class CriterionScore(_message.Message):
    __slots__ = ("criterion", "score")
    CRITERION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    criterion: str
    score: float
    def __init__(self, criterion: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class JudgeOutcome(_message.Message):
    __slots__ = ("judge", "status", "score", "explanation", "criteria", "defects", "duration", "cost_nano_usd", "usage", "same_answer_as")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[JudgeOutcome.Status]
        STATUS_SCORED: _ClassVar[JudgeOutcome.Status]
        STATUS_ABSTAINED: _ClassVar[JudgeOutcome.Status]
        STATUS_FAILED: _ClassVar[JudgeOutcome.Status]
        STATUS_TIMED_OUT: _ClassVar[JudgeOutcome.Status]
        STATUS_SKIPPED: _ClassVar[JudgeOutcome.Status]
    STATUS_UNSPECIFIED: JudgeOutcome.Status
    STATUS_SCORED: JudgeOutcome.Status
    STATUS_ABSTAINED: JudgeOutcome.Status
    STATUS_FAILED: JudgeOutcome.Status
    STATUS_TIMED_OUT: JudgeOutcome.Status
    STATUS_SKIPPED: JudgeOutcome.Status
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    CRITERIA_FIELD_NUMBER: _ClassVar[int]
    DEFECTS_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    SAME_ANSWER_AS_FIELD_NUMBER: _ClassVar[int]
    judge: str
    status: JudgeOutcome.Status
    score: float
    explanation: str
    criteria: _containers.RepeatedCompositeFieldContainer[CriterionScore]
    defects: _containers.RepeatedScalarFieldContainer[Defect]
    duration: _duration_pb2.Duration
    cost_nano_usd: int
    usage: _usage_pb2.Usage
    same_answer_as: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, judge: _Optional[str] = ..., status: _Optional[_Union[JudgeOutcome.Status, str]] = ..., score: _Optional[float] = ..., explanation: _Optional[str] = ..., criteria: _Optional[_Iterable[_Union[CriterionScore, _Mapping]]] = ..., defects: _Optional[_Iterable[_Union[Defect, str]]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., same_answer_as: _Optional[_Iterable[str]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("confidence", "disagreement", "outcomes", "defects", "stopped_early", "evidence", "calibration", "cost_nano_usd")
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENT_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    DEFECTS_FIELD_NUMBER: _ClassVar[int]
    STOPPED_EARLY_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    confidence: float
    disagreement: float
    outcomes: _containers.RepeatedCompositeFieldContainer[JudgeOutcome]
    defects: _containers.RepeatedScalarFieldContainer[Defect]
    stopped_early: bool
    evidence: str
    calibration: str
    cost_nano_usd: int
    def __init__(self, confidence: _Optional[float] = ..., disagreement: _Optional[float] = ..., outcomes: _Optional[_Iterable[_Union[JudgeOutcome, _Mapping]]] = ..., defects: _Optional[_Iterable[_Union[Defect, str]]] = ..., stopped_early: _Optional[bool] = ..., evidence: _Optional[str] = ..., calibration: _Optional[str] = ..., cost_nano_usd: _Optional[int] = ...) -> None: ...
