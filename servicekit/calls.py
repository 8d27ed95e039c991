"""What is known of the call that is being served. The interceptors fill it in; handlers may read it."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

import grpc

from servicekit.errors import StatusSpec
from servicekit.settings.quotas import QuotaSettings

_HEALTH: Final = "/grpc.health."
_INFRASTRUCTURE: Final = (_HEALTH, "/grpc.reflection.")


@dataclass(slots=True)
class CallState:
    """One call. Times are seconds on the monotonic clock; ``deadline_at`` is set before the handler runs."""

    method: str
    """`package.Service/Method`, without the leading slash."""
    started_at: float = field(default_factory=time.monotonic)
    deadline_at: float | None = None
    queue_s: float = 0.0
    """Seconds the call waited for admission."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""
    """Reason of the error, empty for none."""
    key_id: str = ""
    """Id of the API key that the caller showed, empty for none."""
    quota: QuotaSettings | None = None
    """What that key may use; None for what every key may."""

    def failed(self, spec: StatusSpec) -> None:
        """Notes how the call ends."""
        self.code = spec.code
        self.reason = str(spec.reason)

    @property
    def duration_s(self) -> float:
        """Seconds since the call came in."""
        return time.monotonic() - self.started_at


CURRENT_CALL: Final[ContextVar[CallState | None]] = ContextVar("servicekit_current_call", default=None)


def current_call() -> CallState | None:
    """The call that the current task serves; None outside of one."""
    return CURRENT_CALL.get()


def queue_wait_s() -> float:
    """Seconds the current call waited for admission; 0 outside of a call."""
    call = CURRENT_CALL.get()
    return call.queue_s if call is not None else 0.0


def is_infrastructure(method: str) -> bool:
    """True for health and reflection, which must answer when nothing else does. ``method`` has its leading slash."""
    return method.startswith(_INFRASTRUCTURE)


def is_health(method: str) -> bool:
    """True for health alone. ``method`` has its leading slash."""
    return method.startswith(_HEALTH)
