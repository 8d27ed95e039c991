"""The one place where exceptions become statuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import structlog

from servicekit.calls import CallState, current_call
from servicekit.errors import ErrorTable, Reason, StatusSpec, abort
from servicekit.interceptors.base import Context, IncomingCall, NamedInterceptor
from servicekit.interceptors.undecodable import Undecodable, tolerant

_log = structlog.get_logger(__name__)
_CANCELLED: Final = StatusSpec(grpc.StatusCode.CANCELLED, Reason.CANCELLED)
_EXPIRED: Final = StatusSpec(grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED)
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


class ErrorsInterceptor(NamedInterceptor):
    """Ends a failed call with the rich status that the service's table has for the exception.

    An exception that the table does not know is logged with its traceback and shown as INTERNAL without a cause.
    """

    name = "errors"

    def __init__(self, table: ErrorTable) -> None:
        self._table = table

    def decode_with(self, decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
        """Lets requests that can't be decoded through, so that they get a status with the field's name here."""
        return None if decode is None else tolerant(decode)

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncGenerator[None]:
        """Maps whatever the handler raises."""
        state = current_call() or CallState(call.method)
        try:
            _refuse_undecodable(call.request)
            yield
        except grpc.aio.AbortError:
            state.code = _code_of(call.context)
            raise
        except asyncio.CancelledError:
            # The caller is gone, so that nothing can be sent; span and log still tell a deadline from a hang-up.
            expired = state.deadline_at is not None and time.monotonic() >= state.deadline_at
            state.failed(_EXPIRED if expired else _CANCELLED)
            raise
        except Exception as error:  # noqa: BLE001 - this is where unknown errors end: logged in full, sanitised outward
            spec, message = self._table.describe(error)
            if not self._table.knows(error):
                _log.error("unknown error", method=call.method, exc_info=error)
            state.failed(spec)
            await abort(call.context, spec, message)


def _refuse_undecodable(request: object) -> None:
    if isinstance(request, Undecodable):
        raise request.problem


def _code_of(context: Context) -> grpc.StatusCode:
    # grpc.aio hands out the number, whatever its types say.
    code: Any = context.code()
    return code if isinstance(code, grpc.StatusCode) else _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
