"""What can go wrong between us and a language model.

ProviderError
├── RateLimited             429; honours Retry-After
├── Overloaded              503, 529, circuit open, no free slot
│   ├── CircuitOpen
│   └── ConcurrencyExceeded
├── ServerFault             other 5xx
├── ProviderTimeout         connect, first chunk, idle or total time ran out
│   └── DeadlineReached     the time that the caller gave ran out
├── ConnectionBroken        refused, reset, closed mid-stream
├── MalformedResponse       garbage, half a JSON, an end without a finish
├── AuthenticationFailed    401, 403
├── RequestRejected         400, 404, 422
├── ContextTooLong          the conversation does not fit this model
├── NotRecorded             a recording holds no answer to this prompt
└── ContentPolicyViolation  the provider's policy forbids the prompt
"""

from __future__ import annotations

from typing import ClassVar


class ProviderError(Exception):
    """A call to a model failed.

    ``kind`` is a stable, low-cardinality name for metrics and records. ``retryable`` says whether the same model may be asked
    again; ``escalatable`` whether another model might do better. ``retry_after_s`` is what the provider asked for, in seconds.
    The message never contains keys, prompts or answers.
    """

    kind: ClassVar[str] = "provider_error"
    retryable: ClassVar[bool] = False
    escalatable: ClassVar[bool] = True

    def __init__(self, message: str, *, model: str, status_code: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.model = model
        self.status_code = status_code
        self.retry_after_s = retry_after_s


class RateLimited(ProviderError):
    """The provider answered 429."""

    kind = "rate_limited"
    retryable = True


class Overloaded(ProviderError):
    """The provider, or our own limit before it, has no room."""

    kind = "overloaded"
    retryable = True


class CircuitOpen(Overloaded):
    """The circuit breaker keeps calls away from a provider that keeps failing."""

    kind = "circuit_open"
    retryable = False


class ConcurrencyExceeded(Overloaded):
    """Our own limit on calls in flight and in the queue is reached."""

    kind = "concurrency_exceeded"
    retryable = False


class ServerFault(ProviderError):
    """The provider answered with another 5xx."""

    kind = "server_error"
    retryable = True


class ProviderTimeout(ProviderError):
    """Connecting, the first chunk, a later chunk or the whole call took too long."""

    kind = "timeout"
    retryable = True


class DeadlineReached(ProviderTimeout):
    """The time that the caller gave ran out; it says nothing about the endpoint."""

    retryable = False


class ConnectionBroken(ProviderError):
    """The connection was refused, reset, or closed in mid-stream."""

    kind = "connection_broken"
    retryable = True


class MalformedResponse(ProviderError):
    """The reply can't be understood."""

    kind = "malformed_response"


class AuthenticationFailed(ProviderError):
    """The provider refuses our credentials."""

    kind = "authentication_failed"
    escalatable = False


class RequestRejected(ProviderError):
    """The provider says that the request itself is wrong."""

    kind = "request_rejected"
    escalatable = False


class ContextTooLong(ProviderError):
    """The conversation does not fit; a model with a larger window may do."""

    kind = "context_too_long"


class NotRecorded(ProviderError):
    """A recording holds no answer of this model to this prompt; another model's may be recorded."""

    kind = "not_recorded"


class ContentPolicyViolation(ProviderError):
    """The provider's policy forbids the prompt."""

    kind = "content_policy"
    escalatable = False
