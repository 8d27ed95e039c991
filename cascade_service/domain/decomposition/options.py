"""How compound requests are taken apart: the operator's choices, and what watches the parts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from cascade_service.domain.decomposition.rule_splitter import RuleSplitter
from cascade_service.domain.decomposition.splitting import Splitter
from cascade_service.domain.events import CascadeEvent


class PartWatch(Protocol):
    """Sees the events of one part, in the task in which the part is answered."""

    def watch(self, part: int, events: AsyncGenerator[CascadeEvent, None]) -> AsyncGenerator[CascadeEvent, None]:
        """The same events. Closing the generator closes ``events``."""
        ...


class Unwatched:
    """Passes the events on."""

    def watch(self, part: int, events: AsyncGenerator[CascadeEvent, None]) -> AsyncGenerator[CascadeEvent, None]:
        """``events`` themselves."""
        del part
        return events


@dataclass(frozen=True, slots=True, kw_only=True)
class DecompositionOptions:
    """At most ``parallel_max`` parts are answered at a time; splitting may take ``timeout_s`` seconds."""

    splitter: Splitter = field(default_factory=RuleSplitter)
    parallel_max: int = 4
    timeout_s: float = 10.0
    watch: PartWatch = field(default_factory=Unwatched)
