"""How much time a call has left."""

from __future__ import annotations

import time
from typing import Any, Final

import grpc

from servicekit.calls import current_call

_UNKNOWN_S: Final = 120.0


def remaining_s(context: grpc.aio.ServicerContext[Any, Any]) -> float:
    """Seconds until the call's deadline, 0 or more and always finite.

    It is the server's view: a caller without a deadline has the configured default, and a longer one than the configured most was
    shortened. Outside of the server's interceptors the caller's own deadline counts, or 120 s.
    """
    call = current_call()
    if call is not None and call.deadline_at is not None:
        return max(0.0, call.deadline_at - time.monotonic())
    own_s = own_remaining_s(context)
    return _UNKNOWN_S if own_s is None else min(own_s, _UNKNOWN_S)


def own_remaining_s(context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """Seconds until the deadline that the caller set, 0 or more; None when it set none."""
    own: Any = context.time_remaining()  # None for no deadline, whatever grpc's types say
    return None if own is None else max(0.0, float(own))
