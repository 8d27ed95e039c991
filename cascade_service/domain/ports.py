"""What the cascade needs from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cascade_service.domain.chat import FinishReason, GenerationParams, LogprobSummary, Message, OutputContract
from cascade_service.domain.decision import Decision, Feedback
from cascade_service.domain.events import CascadeEvent
from cascade_service.domain.plan import Constraints, Plan
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteQuestion:
    """What the router is asked."""

    messages: tuple[Message, ...]
    params: GenerationParams
    constraints: Constraints


class Router(Protocol):
    """Makes plans."""

    async def route(self, question: RouteQuestion, *, timeout_s: float) -> Plan:
        """A plan with at least one model, within ``timeout_s`` seconds.

        Raises ``RouterUnavailable`` when there is no answer and ``RouterRejected`` when the request is at fault.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, or the beginning of one, as the panel gets to see it. ``id`` is unique among the answers of a request.

    ``predicted_quality`` is what the router predicted of the model for this request, 0.0 to 1.0, or None.
    """

    id: str
    text: str
    model: str
    finish_reason: FinishReason
    logprobs: LogprobSummary | None = None
    predicted_quality: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeQuestion:
    """What the panel is asked. ``cost_max_nano_usd`` is what judging this answer may cost, 0 or more. Empty ``judges`` asks all."""

    messages: tuple[Message, ...]
    candidate: Answer
    peers: tuple[Answer, ...]
    output: OutputContract
    accept_threshold: float
    cost_max_nano_usd: int
    judges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JointQuestion:
    """Several answers that are judged at once, each beside the others, by ``judges`` that ask no model: that costs nothing."""

    messages: tuple[Message, ...]
    candidates: tuple[Answer, ...]
    output: OutputContract
    judges: tuple[str, ...]


class Judge(Protocol):
    """Judges answers."""

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        """The verdict on the candidate, within ``timeout_s`` seconds. Raises ``JudgeUnavailable`` when there is none."""
        ...

    async def judge_all(self, question: JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        """The verdict on each candidate, in their order; None where the panel has none. Raises ``JudgeUnavailable`` without an answer."""
        ...


class DecisionStore(Protocol):
    """Keeps decision records. Every method raises ``StoreUnavailable`` when the store fails or is too slow."""

    async def save(self, decision: Decision) -> None:
        """Writes the record durably; a record under the same id is replaced, its feedback kept."""
        ...

    async def get(self, decision_id: str) -> Decision:
        """The record with its feedback, oldest first. Raises ``DecisionNotFound``."""
        ...

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        """Adds feedback to a record. Raises ``DecisionNotFound``."""
        ...


class Clock(Protocol):
    """Time."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back. Deadlines are given on this scale."""
        ...

    def now(self) -> datetime:
        """The time of day, with time zone UTC."""
        ...


class Answering(Protocol):
    """Answers requests. The cascade itself, and what wraps it."""

    def answer(self, request: CascadeRequest) -> AsyncGenerator[CascadeEvent, None]:
        """The events of one request, ending with exactly one ``Completed``.

        Closing the generator ends all calls to models. Raises ``CascadeError``.
        """
        ...
