"""The port through which everything talks to a language model.

Adapters implement it over HTTP or a recording; wrappers of the same port add retry, circuit breaking, limits and instrumentation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Role(Enum):
    """Who wrote a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(Enum):
    """Why a model stopped writing."""

    UNKNOWN = "unknown"
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(slots=True, kw_only=True)
class EndpointLog:
    """Which of its endpoints a model with several asks for one request: handed in with the request, written by the model.

    Endpoints are numbered from 0 in the order of the configuration. ``may_hedge`` allows one call beside a slow one; whoever sets it
    has made sure that both may be paid for at their dearest. ``asked`` are the endpoints that were called, in order, ``rival`` the one
    that was called beside a slow one, ``answered`` the one whose answer is passed on, ``skipped`` those that were not called because
    their breaker or our limit kept the call away. A model with one endpoint writes nothing.
    """

    may_hedge: bool = False
    asked: list[int] = field(default_factory=list[int])
    rival: int | None = None
    answered: int | None = None
    skipped: list[int] = field(default_factory=list[int])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a model is asked.

    ``max_output_tokens`` is 1 or more; ``temperature`` 0.0 to 2.0; ``top_p`` above 0.0 up to 1.0; ``top_logprobs`` 0 to 20
    alternatives per token, 0 for the chosen token only. ``logprobs`` asks for token log-probabilities; a model without that
    capability ignores it. ``timeout_s`` bounds the whole call. ``labels`` say why the model is asked, for telemetry only: they are
    never sent to the provider. ``endpoints`` notes which endpoints of the model are asked.
    """

    messages: tuple[ChatMessage, ...]
    max_output_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    top_logprobs: int = 0
    timeout_s: float | None = None
    labels: tuple[tuple[str, str | int], ...] = ()
    endpoints: EndpointLog | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the answer with its natural log-probability and, if asked for, the most probable alternatives."""

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts; ``cached_input_tokens`` is part of ``input_tokens``. ``estimated`` when the provider reported none."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the answer. ``text`` may be empty only when ``logprobs`` is not."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of an answer; always the last event of a stream that did not raise."""

    finish_reason: FinishReason
    usage: Usage
    cost_nano_usd: int
    response_id: str = ""
    response_model: str = ""


ChatEvent = Chunk | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """List prices in nano-USD per million tokens; cached input defaults to the input price."""

    input_nano_usd_per_mtok: int = 0
    output_nano_usd_per_mtok: int = 0
    cached_input_nano_usd_per_mtok: int | None = None

    def cost_nano_usd(self, usage: Usage) -> int:
        """Cost of ``usage`` in nano-USD, rounded up so that a ceiling is never exceeded by rounding."""
        cached = self.input_nano_usd_per_mtok if self.cached_input_nano_usd_per_mtok is None else self.cached_input_nano_usd_per_mtok
        fresh_tokens = usage.input_tokens - usage.cached_input_tokens
        total = (
            fresh_tokens * self.input_nano_usd_per_mtok
            + usage.cached_input_tokens * cached
            + usage.output_tokens * self.output_nano_usd_per_mtok
        )
        return -(-total // 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known of a model without asking it."""

    name: str
    provider: str
    upstream_model: str
    price: Price
    context_tokens: int
    max_output_tokens: int
    capabilities: frozenset[str] = field(default_factory=frozenset[str])
    server_address: str = ""
    server_port: int = 0


class ChatModel(Protocol):
    """A language model that answers a conversation with a stream of text."""

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answers ``request``: any number of ``Chunk``, then exactly one ``Finished``.

        The call to the provider ends when the generator is closed (``aclose``) or its task is cancelled.
        Raises ``ProviderError`` (see ``providers.errors``) and nothing else.
        """
        ...

    async def aclose(self) -> None:
        """Releases connections. The model can't be asked afterwards."""
        ...
