"""Lets in only those who may make the call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NoReturn, cast

import grpc
from opentelemetry.trace import get_current_span

from servicekit import semconv
from servicekit.access import AccessRules, check_caller, check_expiry, check_scope, find_key
from servicekit.calls import CallState, current_call, is_health, is_infrastructure
from servicekit.errors import AccessRefused, abort
from servicekit.interceptors.base import Context, IncomingCall, NamedInterceptor
from servicekit.keys import KeyRing, KnownKey
from servicekit.settings.auth import AuthSettings


class AuthInterceptor(NamedInterceptor):
    """Raises `AccessRefused` before a call takes up any place. Without ``auth`` and ``ring`` no key is asked for."""

    name = "auth"

    def __init__(self, rules: AccessRules, *, auth: AuthSettings | None, ring: KeyRing | None, now: Callable[[], datetime]) -> None:
        self._rules = rules
        self._auth = auth
        self._ring = ring
        self._now = now

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncGenerator[None]:
        """Checks, then runs the handler."""
        if self._rules.callers:
            # grpc.aio hands out lists of bytes by name, whatever its types say.
            check_caller(self._rules.callers, cast("Any", call.context).auth_context())
        if self._ring is not None:
            key = find_key(self._ring, call.context.invocation_metadata() or ())
            _note(key, current_call() or CallState(call.method))
            check_expiry(key, now=self._now())
            check_scope(key, self._rules.scopes.get(call.method))
        yield

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """As every interceptor, and a key is asked of health and reflection where the configuration says so."""
        handler = await super().intercept_service(continuation, handler_call_details)
        ring = self._ring
        if handler is None or ring is None or not self._guards(handler_call_details.method):
            return handler
        try:
            key = find_key(ring, cast("Any", handler_call_details.invocation_metadata) or ())
            check_expiry(key, now=self._now())
        except AccessRefused as error:
            return _refusing(handler, error)
        return handler

    def _guards(self, method: str) -> bool:
        if self._auth is None or not is_infrastructure(method):
            return False
        return self._auth.health_needs_key if is_health(method) else self._auth.reflection_needs_key


def _note(key: KnownKey, state: CallState) -> None:
    state.key_id, state.quota = key.id, key.quota
    get_current_span().set_attribute(semconv.EMAFUSION_CALLER_KEY_ID, key.id)


def _refusing(handler: grpc.RpcMethodHandler[Any, Any], error: AccessRefused) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler of the same kind that ends each call."""

    async def refuse(_request: Any, context: Context) -> NoReturn:  # noqa: ANN401 - messages are of any type here
        await abort(context, error.status, str(error))

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    # grpc types behaviours as those of the threaded server; an aio server's take an aio context.
    return make(cast("Any", refuse), handler.request_deserializer, handler.response_serializer)
