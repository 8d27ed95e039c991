"""What can keep the router from answering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router_service.domain.planning import Exclusion


class RoutingError(Exception):
    """The router has no plan. The message never contains text of the conversation."""


class EmptyPlan(RoutingError):
    """The constraints exclude every model. ``excluded`` says what kept each one out."""

    def __init__(self, excluded: Sequence[Exclusion]) -> None:
        self.excluded = tuple(excluded)
        causes = "; ".join(f"{exclusion.model}: {exclusion.detail}" for exclusion in self.excluded)
        super().__init__(f"the constraints exclude every model ({causes})")


class EncoderOverloaded(RoutingError):
    """More texts wait for the encoder than its queue holds; ``retry_after_s`` is when to come again, in seconds."""

    def __init__(self, *, waiting: int, queue_max: int, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"{waiting} texts wait for the encoder; the queue holds {queue_max}")


class ArtifactMismatch(Exception):
    """A published artifact is intact but does not fit this service. The message names the file and what mends it."""
