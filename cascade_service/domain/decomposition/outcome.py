"""The answer to a request that was split, summed up from its parts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from cascade_service.domain.attempt import Attempt
from cascade_service.domain.chat import FinishReason, Usage
from cascade_service.domain.decomposition.joining import Joiner
from cascade_service.domain.decomposition.splitting import Part
from cascade_service.domain.errors import CascadeError
from cascade_service.domain.events import AttemptSummary, Completion, Outcome, PartSummary, Timing
from cascade_service.domain.request import CascadeRequest

_WEAKEST_FIRST = (Outcome.UNJUDGED, Outcome.BEST_SEEN, Outcome.ACCEPTED)


@dataclass(frozen=True, slots=True)
class EndedPart:
    """What came of a part: ``completion``, or ``error``. Its attempts have their numbers in the whole request."""

    part: Part
    completion: Completion | None
    error: CascadeError | None
    attempts: tuple[Attempt, ...]


def joined_completion(
    request: CascadeRequest, ended: Sequence[EndedPart], joiner: Joiner, *, split_cost_nano_usd: int, total_s: float
) -> Completion:
    """The completion of a request of which at least one part has an answer; ``total_s`` is the whole time in seconds."""
    answers = [one.completion for one in ended if one.completion is not None]
    summaries = _summaries(ended)
    parts = tuple(_summary(one, joiner.range_of(index)) for index, one in enumerate(ended))
    confidences = [answer.confidence for answer in answers]
    return Completion(
        decision_id=request.decision_id,
        text=joiner.text,
        model=answers[-1].model,
        attempt=answers[-1].attempt,
        outcome=min((answer.outcome for answer in answers), key=_WEAKEST_FIRST.index),
        confidence=None if None in confidences else math.prod(known for known in confidences if known is not None),
        ceiling=next((answer.ceiling for answer in answers if answer.ceiling is not None), None),
        finish_reason=next(
            (answer.finish_reason for answer in answers if answer.finish_reason is not FinishReason.STOP), FinishReason.STOP
        ),
        attempts=summaries,
        usage=sum((summary.usage for summary in summaries), Usage()),
        cost_nano_usd=split_cost_nano_usd + sum(part.cost_nano_usd for part in parts),
        timing=Timing(queue_s=request.queue_s, inference_s=_inference_s(ended), total_s=total_s),
        trace_id=request.trace_id,
        policy_hash=hashlib.sha256(json.dumps([answer.policy_hash for answer in answers]).encode()).hexdigest()[:12],
        incomplete=len(answers) < len(ended) or any(answer.incomplete for answer in answers),
        supporting_attempts=answers[-1].supporting_attempts,
        policy_kind=request.policy.kind,
        answer_worth_nano_usd=request.policy.answer_worth_nano_usd,
        parts=parts,
    )


def _summaries(ended: Sequence[EndedPart]) -> tuple[AttemptSummary, ...]:
    """All attempts in the order of their numbers; each part has one whose text was chosen."""
    found = [
        attempt.summary(chosen=one.completion is not None and attempt.number == one.completion.attempt)
        for one in ended
        for attempt in one.attempts
    ]
    return tuple(sorted(found, key=lambda summary: summary.attempt))


def _summary(ended: EndedPart, text_range: tuple[int, int]) -> PartSummary:
    answer = ended.completion
    return PartSummary(
        label=ended.part.label,
        needs_earlier=ended.part.needs_earlier,
        text_start=text_range[0],
        text_end=text_range[1],
        model=answer and answer.model,
        attempt=None if answer is None else answer.attempt,
        outcome=answer and answer.outcome,
        confidence=None if answer is None else answer.confidence,
        ceiling=None if answer is None else answer.ceiling,
        cost_nano_usd=sum(attempt.cost_nano_usd + attempt.judge_cost_nano_usd for attempt in ended.attempts),
        error_reason="" if ended.error is None else ended.error.reason,
        supporting_attempts=() if answer is None else answer.supporting_attempts,
        stop_detail="" if answer is None else answer.stop_detail,
    )


def _inference_s(ended: Sequence[EndedPart]) -> float:
    attempts = [attempt for one in ended for attempt in one.attempts]
    judging_s = sum(attempt.verdict.inference_s for attempt in attempts if attempt.verdict is not None)
    return judging_s + sum(attempt.ended_at_s - attempt.started_at_s for attempt in attempts if attempt.ended_at_s is not None)
