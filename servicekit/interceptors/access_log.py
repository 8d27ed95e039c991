"""One log line per call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc
import structlog

from servicekit.calls import CallState, current_call
from servicekit.interceptors.base import IncomingCall, NamedInterceptor
from servicekit.interceptors.trace import SERVER_FAULTS

_log = structlog.get_logger(__name__)


class AccessLogInterceptor(NamedInterceptor):
    """Logs method, status, reason, duration, queueing and the key's id of every call when it ends; never its content."""

    name = "access_log"

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncGenerator[None]:
        """Logs at INFO; at WARNING when the service is at fault."""
        try:
            yield
        finally:
            state = current_call() or CallState(call.method)
            level = "warning" if state.code in SERVER_FAULTS else "info"
            fields = {"reason": state.reason} if state.code is not grpc.StatusCode.OK else {}
            if state.key_id:
                fields["key_id"] = state.key_id
            getattr(_log, level)(
                "call",
                method=call.method,
                code=state.code.name,
                duration_ms=round(state.duration_s * 1e3, 1),
                queue_ms=round(state.queue_s * 1e3, 1),
                **fields,
            )
