"""What all server interceptors have in common: a name, and one context manager around each call, unary or streaming."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import grpc

from servicekit.calls import is_infrastructure

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Any]


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A call on its way to the handler: `package.Service/Method`, the request message, and gRPC's context."""

    method: str
    request: Any
    context: Context


class NamedInterceptor(grpc.aio.ServerInterceptor):
    """An interceptor that wraps each call in a context manager. Health and reflection pass untouched."""

    name: ClassVar[str]

    @abstractmethod
    def around(self, call: IncomingCall) -> AbstractAsyncContextManager[None]:
        """Entered before the handler runs; sees every exception, cancellation included, before it leaves."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler, wrapped; None for a method that the server does not have."""
        handler = await continuation(handler_call_details)
        if handler is None or is_infrastructure(handler_call_details.method):
            return handler
        return self._wrapped(handler, handler_call_details.method.removeprefix("/"))

    def decode_with(self, decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
        """How requests are decoded; an interceptor may change it."""
        return decode

    def _wrapped(self, handler: grpc.RpcMethodHandler[Any, Any], method: str) -> grpc.RpcMethodHandler[Any, Any]:
        decode, encode = self.decode_with(handler.request_deserializer), handler.response_serializer
        # grpc types behaviours as those of the threaded server; an aio server's take an aio context.
        unary, stream = cast("Behaviour | None", handler.unary_unary), cast("Behaviour | None", handler.unary_stream)
        if unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(unary, method), decode, encode)
        if stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._stream(stream, method), decode, encode)
        raise NotImplementedError(f"{method} streams requests; the suite has no such method and no interceptor for it")

    def _unary(self, behaviour: Behaviour, method: str) -> Any:  # noqa: ANN401 - grpc's own types exclude aio handlers
        async def call_unary(request: Any, context: Context) -> Any:  # noqa: ANN401 - messages are of any type here
            async with self.around(IncomingCall(method, request, context)):
                return await behaviour(request, context)

        return call_unary

    def _stream(self, behaviour: Behaviour, method: str) -> Any:  # noqa: ANN401 - grpc's own types exclude aio handlers
        # A coroutine that writes, not an async generator: a generator that is suspended at `yield` never hears of a cancellation
        # during the write, and would be finished later in another task, where its context variables don't exist.
        async def call_stream(request: Any, context: Context) -> None:  # noqa: ANN401 - messages are of any type here
            async with self.around(IncomingCall(method, request, context)):
                responses = behaviour(request, context)
                if not inspect.isasyncgen(responses):
                    await responses
                    return
                async with aclosing(responses):
                    async for response in responses:
                        await context.write(response)

        return call_stream
