"""The record of how a request was answered: a fold over the events of its stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from cascade_service.domain.attempt import Attempt
from cascade_service.domain.chat import Message
from cascade_service.domain.decomposition.splitting import Part
from cascade_service.domain.events import (
    AttemptSummary,
    CascadeEvent,
    Completed,
    Completion,
    Decomposed,
    DeliveryMode,
    Judged,
    PolicyKind,
    Routed,
)
from cascade_service.domain.plan import Plan
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.verdict import Verdict


class DecisionStatus(Enum):
    """How a request ended; ``CANCELLED`` when the caller went away or its deadline passed."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """How good an answer was. ``rating`` is 0.0 (worst) to 1.0 (best); ``source`` says who says so."""

    correct: bool | None
    rating: float | None
    source: str
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttempt:
    """An attempt as recorded. ``text_sha256`` is empty when there was no text; ``text`` is set only when texts are recorded."""

    summary: AttemptSummary
    verdict: Verdict | None
    text_sha256: str
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPart:
    """A part of a request that was split; ``plan`` is ``None`` when there was none, ``text`` unless texts are recorded."""

    label: str
    needs_earlier: bool
    text_sha256: str
    text: str | None
    plan: Plan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The record of one request. Texts are in it only when the operator turned that on; hashes always are.

    ``key_id`` names the caller's API key, empty for none. A request that was split has ``parts`` with a plan each, and no ``plan`` of
    its own.
    """

    decision_id: str
    create_time: datetime
    status: DecisionStatus
    prompt_sha256: str
    prompt_json: str | None
    plan: Plan | None
    policy: str
    threshold: float
    delivery: DeliveryMode
    attempts: tuple[RecordedAttempt, ...]
    completion: Completion | None
    error_reason: str
    trace_id: str
    key_id: str = ""
    feedback: tuple[Feedback, ...] = ()
    policy_kind: PolicyKind = PolicyKind.THRESHOLD
    answer_worth_nano_usd: int | None = None
    parts: tuple[RecordedPart, ...] = ()
    risk: RiskCertificate | None = None


class DecisionFold:
    """Gathers from the events of a stream what the record keeps."""

    def __init__(self, request: CascadeRequest, *, create_time: datetime, record_text: bool) -> None:
        self._request = request
        self._create_time = create_time
        self._record_text = record_text
        self._parts: tuple[Part, ...] = ()
        self._plans: dict[int | None, Plan] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._completion: Completion | None = None

    def apply(self, event: CascadeEvent) -> None:
        """Takes in the next event."""
        match event:
            case Decomposed():
                self._parts = event.parts
            case Routed():
                self._plans[event.part] = event.plan
            case Judged():
                self._verdicts[event.attempt] = event.verdict
            case Completed():
                self._completion = event.completion
            case _:
                pass  # shown text and escalations are in the attempts' summaries

    def record(self, status: DecisionStatus, attempts: Sequence[Attempt], *, error_reason: str = "") -> Decision:
        """The record as of now. ``attempts`` has the texts, shown or not."""
        prompt = prompt_json(self._request.messages)
        completion = self._completion if status is DecisionStatus.COMPLETED else None
        if completion is not None and not self._record_text:
            completion = replace(completion, text="")
        chosen = {summary.attempt for summary in completion.attempts if summary.chosen} if completion is not None else set[int]()
        return Decision(
            decision_id=self._request.decision_id,
            create_time=self._create_time,
            status=status,
            prompt_sha256=_sha256(prompt),
            prompt_json=prompt if self._record_text else None,
            plan=self._plans.get(None),
            policy=self._request.policy.name,
            threshold=self._request.policy.threshold,
            delivery=self._request.delivery,
            attempts=tuple(self._recorded(attempt, chosen=attempt.number in chosen) for attempt in attempts),
            completion=completion,
            error_reason=error_reason,
            trace_id=self._request.trace_id,
            policy_kind=self._request.policy.kind,
            answer_worth_nano_usd=self._request.policy.answer_worth_nano_usd,
            risk=self._request.policy.certificate,
            key_id=self._request.caller.key_id,
            parts=tuple(self._recorded_part(number, part) for number, part in enumerate(self._parts)),
        )

    def _recorded_part(self, number: int, part: Part) -> RecordedPart:
        return RecordedPart(
            label=part.label,
            needs_earlier=part.needs_earlier,
            text_sha256=_sha256(part.text),
            text=part.text if self._record_text else None,
            plan=self._plans.get(number),
        )

    def _recorded(self, attempt: Attempt, *, chosen: bool) -> RecordedAttempt:
        text = attempt.text
        return RecordedAttempt(
            summary=attempt.summary(chosen=chosen),
            verdict=self._verdicts.get(attempt.number),
            text_sha256=_sha256(text) if text else "",
            text=text if text and self._record_text else None,
        )


def prompt_json(messages: Sequence[Message]) -> str:
    """The conversation as JSON with a fixed layout, so that equal conversations have equal hashes."""
    turns = [{"role": message.role.value, "content": message.content} for message in messages]
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
