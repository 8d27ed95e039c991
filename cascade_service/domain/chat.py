"""What is asked, and in which form the answer must come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """Who wrote a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(Enum):
    """Why a model stopped writing."""

    UNSPECIFIED = "unspecified"
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


class OutputKind(Enum):
    """What the whole answer must parse as; ``UNSPECIFIED`` allows any text."""

    UNSPECIFIED = "unspecified"
    JSON = "json"
    PYTHON = "python"
    CHOICE = "choice"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationParams:
    """How an answer is generated. ``None`` stands for the default: the model's limit, temperature 0.0, mass 1.0, no seed."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputContract:
    """The form that an answer must have. ``json_schema`` is empty or, with ``OutputKind.JSON``, a JSON Schema (draft 2020-12)."""

    kind: OutputKind = OutputKind.UNSPECIFIED
    json_schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts; ``cached_input_tokens`` is part of ``input_tokens``. ``estimated`` when the provider reported none."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        """Sum of the counts; estimated as soon as one part is."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            estimated=self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobSummary:
    """Natural log-probabilities of an answer's tokens, summed up. ``tokens`` is 1 or more, ``share_uncertain`` 0.0 to 1.0."""

    tokens: int
    mean: float
    min: float
    share_uncertain: float
    first: float


def input_tokens_bound(messages: tuple[Message, ...]) -> int:
    """Upper bound on the input tokens of ``messages``.

    No tokenizer in use makes more tokens than the text has UTF-8 bytes; 16 more per message cover the chat template.
    """
    return sum(len(message.content.encode()) + 16 for message in messages)


def input_tokens_estimate(messages: tuple[Message, ...]) -> int:
    """Rough count of input tokens, 1 or more: four bytes of UTF-8 to a token, the usual figure for English."""
    return max(1, input_tokens_bound(messages) // 4)
