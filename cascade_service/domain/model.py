"""A language model as the cascade asks it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from cascade_service.domain.chat import FinishReason, GenerationParams, LogprobSummary, Message, Usage
from cascade_service.domain.pricing import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known of a model without asking it. With ``prefill`` it continues a conversation that ends with a turn of the assistant."""

    name: str
    max_output_tokens: int
    price: Price = field(default_factory=Price)
    prefill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointUse:
    """Which of a model's endpoints a call used, numbered from 0 in the order of the configuration.

    ``endpoint`` answered or, when none did, was asked last. ``hedged`` when a second one was asked because the first was slow; its call
    may be billed. ``skipped`` were not asked because calls are kept away from them.
    """

    endpoint: int
    hedged: bool = False
    skipped: tuple[int, ...] = ()


def _nobody(use: EndpointUse) -> None:
    """Listens to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """What a model is asked. ``max_output_tokens`` is 1 or more; ``timeout_s`` bounds the whole call in seconds.

    ``may_hedge`` when a second call for the same answer fits under every ceiling. ``on_endpoint`` is told by a model with several
    endpoints which it uses, before the first piece and at the end at the latest.
    """

    messages: tuple[Message, ...]
    params: GenerationParams
    max_output_tokens: int
    timeout_s: float
    tier: int
    attempt: int
    may_hedge: bool = False
    on_endpoint: Callable[[EndpointUse], None] = field(default=_nobody, compare=False)


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of the answer; may be empty. ``logprobs`` sums up all tokens so far, where the provider tells."""

    text: str
    logprobs: LogprobSummary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerEnd:
    """The end of an answer."""

    finish_reason: FinishReason
    usage: Usage
    cost_nano_usd: int
    logprobs: LogprobSummary | None = None


ModelEvent = TextChunk | AnswerEnd


class Model(Protocol):
    """A language model."""

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        ...

    def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        """Any number of ``TextChunk``, then one ``AnswerEnd``. Closing the generator ends the call to the provider.

        Raises ``ModelFailed`` and nothing else.
        """
        ...
