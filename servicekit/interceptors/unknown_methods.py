"""Calls of methods that the server does not have: they pass the interceptors like any other, and end with a status that says so."""

from __future__ import annotations

from typing import Any, NoReturn, cast

import grpc

from servicekit.calls import is_infrastructure
from servicekit.errors import UnknownMethod
from servicekit.interceptors.base import Context


class UnknownMethods(grpc.GenericRpcHandler):
    """Handles every method; must be added to a server after all its services. Health and reflection answer for themselves."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """A handler that raises `UnknownMethod`, whatever the request holds."""
        if is_infrastructure(handler_call_details.method):
            return None
        # grpc types behaviours as those of the threaded server; an aio server's take an aio context.
        return grpc.unary_unary_rpc_method_handler(cast("Any", _refuse))


async def _refuse(_request: bytes, _context: Context) -> NoReturn:
    raise UnknownMethod
