"""One request to the cascade, with every default filled in."""

from __future__ import annotations

from dataclasses import dataclass, field

from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.ceilings import Ceilings
from cascade_service.domain.chat import GenerationParams, Message, OutputContract
from cascade_service.domain.events import DeliveryMode
from cascade_service.domain.plan import Constraints
from cascade_service.domain.prefix import PrefixRules


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRequest:
    """What to answer and under which rules.

    ``deadline_at_s`` is on the scale of ``Clock.monotonic_s``. ``fixed_plan`` is empty, or the models to try in order.
    ``prefix`` says when beginnings are judged, and by whom. ``queue_s`` is what the request waited for admission, in seconds.
    ``trace_id`` has 32 hex digits or is empty. ``parts_max`` is 2 or more and lets a compound request be split into so many parts.
    """

    decision_id: str
    messages: tuple[Message, ...]
    params: GenerationParams
    output: OutputContract
    constraints: Constraints
    ceilings: Ceilings
    policy: ThresholdPolicy
    delivery: DeliveryMode
    fixed_plan: tuple[str, ...]
    deadline_at_s: float
    prefix: PrefixRules = field(default_factory=PrefixRules)
    queue_s: float = 0.0
    trace_id: str = ""
    parts_max: int | None = None
