"""What the instrumented wrapper hands down to the layers below it with a request.

A request carries it instead of a context variable: the layers are async generators, and a context variable that is set before a
``yield`` and reset after it may be reset in another context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from providers.errors import ProviderError
from providers.port import ChatRequest

OnRetry = Callable[[ProviderError, float], None]
"""Called before each retry with the error of the last call and the wait in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedRequest(ChatRequest):
    """A request with the trace context of its span as HTTP headers, and a listener for retries."""

    headers: tuple[tuple[str, str], ...] = ()
    on_retry: OnRetry | None = None


def traced(request: ChatRequest, *, headers: tuple[tuple[str, str], ...], on_retry: OnRetry) -> TracedRequest:
    """``request`` with trace headers and a listener."""
    return TracedRequest(**{each.name: getattr(request, each.name) for each in fields(ChatRequest)}, headers=headers, on_retry=on_retry)


def trace_headers(request: ChatRequest) -> dict[str, str]:
    """The HTTP headers that carry the trace context of ``request``; none for a request that is not traced."""
    return dict(request.headers) if isinstance(request, TracedRequest) else {}


def tell_retry(request: ChatRequest, error: ProviderError, wait_s: float) -> None:
    """Tells whoever traces ``request`` of a retry."""
    if isinstance(request, TracedRequest) and request.on_retry is not None:
        request.on_retry(error, wait_s)
