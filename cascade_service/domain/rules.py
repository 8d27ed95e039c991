"""What the operator decided, and what the cascade works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cascade_service.domain.ceilings import TimeLimits
from cascade_service.domain.decomposition.options import DecompositionOptions
from cascade_service.domain.gain import GainModel
from cascade_service.domain.model import Model
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.ports import Clock, Judge, Router


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRules:
    """What the operator decided. Times in seconds.

    ``static_plan`` is empty when every request needs the router. ``refuse_unjudged`` fails a request whose answer got no verdict.
    An answer longer than ``answer_chars_max`` characters is broken off and counts as failed. ``cheap_judges`` are those that ask no model:
    they judge beginnings, none of which is judged without any, and for value policies all answers together.
    """

    times: TimeLimits
    router_timeout_s: float
    judge_timeout_s: float
    static_plan: tuple[str, ...] = ()
    refuse_unjudged: bool = False
    answer_chars_max: int = 200_000
    cheap_judges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeParts:
    """What the cascade works with: ``models`` has the usable models by name, ``catalogue`` all configured ones.

    ``gain_model`` is needed by value policies.
    """

    router: Router
    judge: Judge
    models: Mapping[str, Model]
    catalogue: Mapping[str, ConfiguredModel]
    clock: Clock
    rules: CascadeRules
    gain_model: GainModel | None = None
    decomposition: DecompositionOptions = field(default_factory=DecompositionOptions)
