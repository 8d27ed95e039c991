from emafusion.common.v1 import chat_pb2 as _chat_pb2
from emafusion.common.v1 import error_reason_pb2 as _error_reason_pb2
from emafusion.common.v1 import model_pb2 as _model_pb2
from emafusion.common.v1 import usage_pb2 as _usage_pb2
from emafusion.router.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Constraints(_message.Message):
    __slots__ = ("attempt_cost_max_nano_usd", "allow_models", "deny_models", "required_capabilities", "models_max", "suitability_min", "answer_worth_nano_usd")
    ATTEMPT_COST_MAX_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MODELS_FIELD_NUMBER: _ClassVar[int]
    DENY_MODELS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    MODELS_MAX_FIELD_NUMBER: _ClassVar[int]
    SUITABILITY_MIN_FIELD_NUMBER: _ClassVar[int]
    ANSWER_WORTH_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    attempt_cost_max_nano_usd: int
    allow_models: _containers.RepeatedScalarFieldContainer[str]
    deny_models: _containers.RepeatedScalarFieldContainer[str]
    required_capabilities: _containers.RepeatedScalarFieldContainer[str]
    models_max: int
    suitability_min: float
    answer_worth_nano_usd: int
    def __init__(self, attempt_cost_max_nano_usd: _Optional[int] = ..., allow_models: _Optional[_Iterable[str]] = ..., deny_models: _Optional[_Iterable[str]] = ..., required_capabilities: _Optional[_Iterable[str]] = ..., models_max: _Optional[int] = ..., suitability_min: _Optional[float] = ..., answer_worth_nano_usd: _Optional[int] = ...) -> None: ...

class RouteRequest(_message.Message):
    __slots__ = ("messages", "params", "constraints", "explain")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_chat_pb2.Message]
    params: _chat_pb2.GenerationParams
    constraints: Constraints
    explain: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[_chat_pb2.Message, _Mapping]]] = ..., params: _Optional[_Union[_chat_pb2.GenerationParams, _Mapping]] = ..., constraints: _Optional[_Union[Constraints, _Mapping]] = ..., explain: _Optional[bool] = ...) -> None: ...

class RouteResponse(_message.Message):
    __slots__ = ("plan", "timing")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    plan: _plan_pb2.Plan
    timing: _usage_pb2.Timing
    def __init__(self, plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., timing: _Optional[_Union[_usage_pb2.Timing, _Mapping]] = ...) -> None: ...

class BatchRouteRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RouteRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RouteRequest, _Mapping]]] = ...) -> None: ...

class RouteOutcome(_message.Message):
    __slots__ = ("plan", "error")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    plan: _plan_pb2.Plan
    error: _error_reason_pb2.ItemError
    def __init__(self, plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., error: _Optional[_Union[_error_reason_pb2.ItemError, _Mapping]] = ...) -> None: ...

class BatchRouteResponse(_message.Message):
    __slots__ = ("outcomes", "timing")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[RouteOutcome]
    timing: _usage_pb2.Timing
    def __init__(self, outcomes: _Optional[_Iterable[_Union[RouteOutcome, _Mapping]]] = ..., timing: _Optional[_Union[_usage_pb2.Timing, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.ModelInfo]
    def __init__(self, models: _Optional[_Iterable[_Union[_model_pb2.ModelInfo, _Mapping]]] = ...) -> None: ...
