from emafusion.cascade.v1 import decision_pb2 as _decision_pb2
from emafusion.cascade.v1 import event_pb2 as _event_pb2
from emafusion.cascade.v1 import quota_pb2 as _quota_pb2
from emafusion.common.v1 import chat_pb2 as _chat_pb2
from emafusion.common.v1 import model_pb2 as _model_pb2
from emafusion.router.v1 import router_service_pb2 as _router_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ceilings(_message.Message):
    __slots__ = ("cost_max_nano_usd", "attempts_max", "output_tokens_max")
    COST_MAX_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_MAX_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_MAX_FIELD_NUMBER: _ClassVar[int]
    cost_max_nano_usd: int
    attempts_max: int
    output_tokens_max: int
    def __init__(self, cost_max_nano_usd: _Optional[int] = ..., attempts_max: _Optional[int] = ..., output_tokens_max: _Optional[int] = ...) -> None: ...

class Decompose(_message.Message):
    __slots__ = ("parts_max",)
    PARTS_MAX_FIELD_NUMBER: _ClassVar[int]
    parts_max: int
    def __init__(self, parts_max: _Optional[int] = ...) -> None: ...

class CompleteRequest(_message.Message):
    __slots__ = ("messages", "params", "output", "constraints", "ceilings", "policy", "accept_threshold", "fixed_plan", "answer_worth_nano_usd", "decompose")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    CEILINGS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    FIXED_PLAN_FIELD_NUMBER: _ClassVar[int]
    ANSWER_WORTH_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    DECOMPOSE_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_chat_pb2.Message]
    params: _chat_pb2.GenerationParams
    output: _chat_pb2.OutputContract
    constraints: _router_service_pb2.Constraints
    ceilings: Ceilings
    policy: str
    accept_threshold: float
    fixed_plan: _containers.RepeatedScalarFieldContainer[str]
    answer_worth_nano_usd: int
    decompose: Decompose
    def __init__(self, messages: _Optional[_Iterable[_Union[_chat_pb2.Message, _Mapping]]] = ..., params: _Optional[_Union[_chat_pb2.GenerationParams, _Mapping]] = ..., output: _Optional[_Union[_chat_pb2.OutputContract, _Mapping]] = ..., constraints: _Optional[_Union[_router_service_pb2.Constraints, _Mapping]] = ..., ceilings: _Optional[_Union[Ceilings, _Mapping]] = ..., policy: _Optional[str] = ..., accept_threshold: _Optional[float] = ..., fixed_plan: _Optional[_Iterable[str]] = ..., answer_worth_nano_usd: _Optional[int] = ..., decompose: _Optional[_Union[Decompose, _Mapping]] = ...) -> None: ...

class CompleteResponse(_message.Message):
    __slots__ = ("completion",)
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    completion: _event_pb2.Completion
    def __init__(self, completion: _Optional[_Union[_event_pb2.Completion, _Mapping]] = ...) -> None: ...

class PrefixCommit(_message.Message):
    __slots__ = ("hold_tokens", "checkpoint_tokens")
    HOLD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    hold_tokens: int
    checkpoint_tokens: int
    def __init__(self, hold_tokens: _Optional[int] = ..., checkpoint_tokens: _Optional[int] = ...) -> None: ...

class StreamCompleteRequest(_message.Message):
    __slots__ = ("request", "delivery", "prefix")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    request: CompleteRequest
    delivery: _event_pb2.DeliveryMode
    prefix: PrefixCommit
    def __init__(self, request: _Optional[_Union[CompleteRequest, _Mapping]] = ..., delivery: _Optional[_Union[_event_pb2.DeliveryMode, str]] = ..., prefix: _Optional[_Union[PrefixCommit, _Mapping]] = ...) -> None: ...

class StreamCompleteResponse(_message.Message):
    __slots__ = ("routed", "attempt_started", "delta", "judged", "committed", "retracted", "escalated", "completed", "decomposed")
    ROUTED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_STARTED_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    RETRACTED_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    DECOMPOSED_FIELD_NUMBER: _ClassVar[int]
    routed: _event_pb2.Routed
    attempt_started: _event_pb2.AttemptStarted
    delta: _event_pb2.Delta
    judged: _event_pb2.Judged
    committed: _event_pb2.Committed
    retracted: _event_pb2.Retracted
    escalated: _event_pb2.Escalated
    completed: _event_pb2.Completed
    decomposed: _event_pb2.Decomposed
    def __init__(self, routed: _Optional[_Union[_event_pb2.Routed, _Mapping]] = ..., attempt_started: _Optional[_Union[_event_pb2.AttemptStarted, _Mapping]] = ..., delta: _Optional[_Union[_event_pb2.Delta, _Mapping]] = ..., judged: _Optional[_Union[_event_pb2.Judged, _Mapping]] = ..., committed: _Optional[_Union[_event_pb2.Committed, _Mapping]] = ..., retracted: _Optional[_Union[_event_pb2.Retracted, _Mapping]] = ..., escalated: _Optional[_Union[_event_pb2.Escalated, _Mapping]] = ..., completed: _Optional[_Union[_event_pb2.Completed, _Mapping]] = ..., decomposed: _Optional[_Union[_event_pb2.Decomposed, _Mapping]] = ...) -> None: ...

class SubmitFeedbackRequest(_message.Message):
    __slots__ = ("decision_id", "feedback")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    feedback: _decision_pb2.Feedback
    def __init__(self, decision_id: _Optional[str] = ..., feedback: _Optional[_Union[_decision_pb2.Feedback, _Mapping]] = ...) -> None: ...

class SubmitFeedbackResponse(_message.Message):
    __slots__ = ("feedback",)
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    feedback: _decision_pb2.Feedback
    def __init__(self, feedback: _Optional[_Union[_decision_pb2.Feedback, _Mapping]] = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class GetDecisionResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.ModelInfo]
    def __init__(self, models: _Optional[_Iterable[_Union[_model_pb2.ModelInfo, _Mapping]]] = ...) -> None: ...

class ListQuotasRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListQuotasResponse(_message.Message):
    __slots__ = ("quotas",)
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    quotas: _containers.RepeatedCompositeFieldContainer[_quota_pb2.Quota]
    def __init__(self, quotas: _Optional[_Iterable[_Union[_quota_pb2.Quota, _Mapping]]] = ...) -> None: ...
