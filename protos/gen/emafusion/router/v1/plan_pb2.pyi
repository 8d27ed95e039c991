from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RouteKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_KIND_UNSPECIFIED: _ClassVar[RouteKind]
    ROUTE_KIND_TAXONOMY: _ClassVar[RouteKind]
    ROUTE_KIND_LEARNED: _ClassVar[RouteKind]
    ROUTE_KIND_PRIOR: _ClassVar[RouteKind]
    ROUTE_KIND_FIXED: _ClassVar[RouteKind]
ROUTE_KIND_UNSPECIFIED: RouteKind
ROUTE_KIND_TAXONOMY: RouteKind
ROUTE_KIND_LEARNED: RouteKind
ROUTE_KIND_PRIOR: RouteKind
ROUTE_KIND_FIXED: RouteKind

class LabelProbability(_message.Message):
    __slots__ = ("label", "probability")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class AxisPrediction(_message.Message):
    __slots__ = ("axis", "label", "probability", "distribution")
    AXIS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    axis: str
    label: str
    probability: float
    distribution: _containers.RepeatedCompositeFieldContainer[LabelProbability]
    def __init__(self, axis: _Optional[str] = ..., label: _Optional[str] = ..., probability: _Optional[float] = ..., distribution: _Optional[_Iterable[_Union[LabelProbability, _Mapping]]] = ...) -> None: ...

class Taxonomy(_message.Message):
    __slots__ = ("axes", "clear", "slow_weight")
    AXES_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    SLOW_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    axes: _containers.RepeatedCompositeFieldContainer[AxisPrediction]
    clear: bool
    slow_weight: float
    def __init__(self, axes: _Optional[_Iterable[_Union[AxisPrediction, _Mapping]]] = ..., clear: _Optional[bool] = ..., slow_weight: _Optional[float] = ...) -> None: ...

class PlannedModel(_message.Message):
    __slots__ = ("model", "predicted_quality", "quality_stddev", "predicted_cost_nano_usd", "predicted_output_tokens", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_QUALITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_STDDEV_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    predicted_quality: float
    quality_stddev: float
    predicted_cost_nano_usd: int
    predicted_output_tokens: int
    reason: str
    def __init__(self, model: _Optional[str] = ..., predicted_quality: _Optional[float] = ..., quality_stddev: _Optional[float] = ..., predicted_cost_nano_usd: _Optional[int] = ..., predicted_output_tokens: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ExcludedModel(_message.Message):
    __slots__ = ("model", "cause", "detail")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[ExcludedModel.Cause]
        CAUSE_DENIED: _ClassVar[ExcludedModel.Cause]
        CAUSE_NOT_ALLOWED: _ClassVar[ExcludedModel.Cause]
        CAUSE_CONTEXT_TOO_LONG: _ClassVar[ExcludedModel.Cause]
        CAUSE_COST_CEILING: _ClassVar[ExcludedModel.Cause]
        CAUSE_MISSING_CAPABILITY: _ClassVar[ExcludedModel.Cause]
        CAUSE_UNSUITABLE: _ClassVar[ExcludedModel.Cause]
        CAUSE_DOMINATED: _ClassVar[ExcludedModel.Cause]
        CAUSE_DISABLED: _ClassVar[ExcludedModel.Cause]
        CAUSE_PLAN_FULL: _ClassVar[ExcludedModel.Cause]
    CAUSE_UNSPECIFIED: ExcludedModel.Cause
    CAUSE_DENIED: ExcludedModel.Cause
    CAUSE_NOT_ALLOWED: ExcludedModel.Cause
    CAUSE_CONTEXT_TOO_LONG: ExcludedModel.Cause
    CAUSE_COST_CEILING: ExcludedModel.Cause
    CAUSE_MISSING_CAPABILITY: ExcludedModel.Cause
    CAUSE_UNSUITABLE: ExcludedModel.Cause
    CAUSE_DOMINATED: ExcludedModel.Cause
    CAUSE_DISABLED: ExcludedModel.Cause
    CAUSE_PLAN_FULL: ExcludedModel.Cause
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    model: str
    cause: ExcludedModel.Cause
    detail: str
    def __init__(self, model: _Optional[str] = ..., cause: _Optional[_Union[ExcludedModel.Cause, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class WeighedModel(_message.Message):
    __slots__ = ("model", "suitability", "suitability_stddev", "observations", "measured", "predicted_quality", "quality_stddev", "predicted_cost_nano_usd", "predicted_output_tokens")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SUITABILITY_FIELD_NUMBER: _ClassVar[int]
    SUITABILITY_STDDEV_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_QUALITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_STDDEV_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model: str
    suitability: float
    suitability_stddev: float
    observations: int
    measured: bool
    predicted_quality: float
    quality_stddev: float
    predicted_cost_nano_usd: int
    predicted_output_tokens: int
    def __init__(self, model: _Optional[str] = ..., suitability: _Optional[float] = ..., suitability_stddev: _Optional[float] = ..., observations: _Optional[int] = ..., measured: _Optional[bool] = ..., predicted_quality: _Optional[float] = ..., quality_stddev: _Optional[float] = ..., predicted_cost_nano_usd: _Optional[int] = ..., predicted_output_tokens: _Optional[int] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("models", "excluded", "kind", "taxonomy", "reasons", "input_tokens", "policy_hash", "weighed")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TAXONOMY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    WEIGHED_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[PlannedModel]
    excluded: _containers.RepeatedCompositeFieldContainer[ExcludedModel]
    kind: RouteKind
    taxonomy: Taxonomy
    reasons: _containers.RepeatedScalarFieldContainer[str]
    input_tokens: int
    policy_hash: str
    weighed: _containers.RepeatedCompositeFieldContainer[WeighedModel]
    def __init__(self, models: _Optional[_Iterable[_Union[PlannedModel, _Mapping]]] = ..., excluded: _Optional[_Iterable[_Union[ExcludedModel, _Mapping]]] = ..., kind: _Optional[_Union[RouteKind, str]] = ..., taxonomy: _Optional[_Union[Taxonomy, _Mapping]] = ..., reasons: _Optional[_Iterable[str]] = ..., input_tokens: _Optional[int] = ..., policy_hash: _Optional[str] = ..., weighed: _Optional[_Iterable[_Union[WeighedModel, _Mapping]]] = ...) -> None: ...
