"""The port between the one HTTP layer and the APIs it speaks.

A dialect is free of input and output: it says what to send and reads what comes back. Each API is one module that implements it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from httpx_sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from providers.port import ChatRequest, Chunk, FinishReason, Usage

LOGPROB_MIN: Final = -9_999.0
"""Stands for the logarithm of zero, which JSON can't express; OpenAI and vLLM send the same value."""


class Wire(BaseModel):
    """A part of what a provider sends; what we don't need of it is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _none_if_unreadable(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


IfReadable: Final = WrapValidator(_none_if_unreadable)
"""For what is welcome and not needed, such as token counts: nonsense counts as absent and does not spoil the answer."""


def finite_logprob(value: float | None) -> float:
    """A finite logarithm, ``LOGPROB_MIN`` to 0.0. None, JSON's null, is what llama.cpp writes for minus infinity."""
    if value is None or value != value:  # noqa: PLR0124 - the test for NaN
        return LOGPROB_MIN
    return min(max(value, LOGPROB_MIN), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """A POST request. ``path`` follows the endpoint's base URL; headers and body stay out of ``repr``: they hold keys and prompts."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer ended. ``usage`` is None where the provider reported none."""

    finish_reason: FinishReason
    usage: Usage | None
    response_id: str = ""
    response_model: str = ""


class AnswerReader(Protocol):
    """Reads the events of one streamed answer."""

    @property
    def progress(self) -> int:
        """Number of events so far that carried something generated, hidden reasoning included."""
        ...

    @property
    def complete(self) -> bool:
        """True once the provider has said why the answer ended: a stream that stops now is whole."""
        ...

    @property
    def over(self) -> bool:
        """True once nothing more can follow."""
        ...

    def read(self, event: ServerSentEvent) -> Sequence[Chunk]:
        """The pieces in one event; raises ``ProviderError`` for an error in it and ``MalformedResponse`` for garbage."""
        ...

    def ending(self) -> Ending:
        """How the answer ended; raises ``MalformedResponse`` when the stream stopped before it was complete."""
        ...


class Dialect(Protocol):
    """One provider's streaming API."""

    def call(self, request: ChatRequest) -> HttpCall:
        """What to send for ``request``."""
        ...

    def reader(self, request: ChatRequest) -> AnswerReader:
        """A fresh reader for the answer to ``request``."""
        ...
