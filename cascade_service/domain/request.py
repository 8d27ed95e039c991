"""One request to the cascade, with every default filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cascade_service.domain.ceilings import Ceilings
from cascade_service.domain.chat import GenerationParams, Message, OutputContract
from cascade_service.domain.events import DeliveryMode
from cascade_service.domain.plan import Constraints
from cascade_service.domain.policy import Policy
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.quotas import Limits, Use


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the id of an API key, empty for none, and the key's own limits, None for those of every key."""

    key_id: str = ""
    limits: Limits | None = None


class Using(Protocol):
    """A request under way that uses things up."""

    @property
    def use(self) -> Use:
        """What is used so far. A broken attempt counts as the most that it can have cost, as it does under the ceilings."""
        ...


def _nobody_follows(_run: Using) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRequest:
    """What to answer and under which rules.

    ``deadline_at_s`` is on the scale of ``Clock.monotonic_s``. ``fixed_plan`` is empty, or the models to try in order.
    ``prefix`` says when beginnings are judged. ``queue_s`` is what the request waited for admission, in seconds. ``trace_id`` has 32 hex
    digits or is empty. ``caller`` is who asks. ``on_run`` is handed the run before it begins, for whoever wants to follow what it uses.
    ``parts_max`` is 2 or more and lets a compound request be split into so many parts.
    """

    decision_id: str
    messages: tuple[Message, ...]
    params: GenerationParams
    output: OutputContract
    constraints: Constraints
    ceilings: Ceilings
    policy: Policy
    delivery: DeliveryMode
    fixed_plan: tuple[str, ...]
    deadline_at_s: float
    prefix: PrefixRules = field(default_factory=PrefixRules)
    queue_s: float = 0.0
    trace_id: str = ""
    caller: Caller = field(default_factory=Caller)
    on_run: Callable[[Using], None] = field(default=_nobody_follows, compare=False, repr=False)
    parts_max: int | None = None
