"""What models and judges are asked in the course of one request."""

from __future__ import annotations

from collections.abc import Sequence

from cascade_service.domain.attempt import Attempt, spent
from cascade_service.domain.ceilings import Granted, Needs
from cascade_service.domain.chat import FinishReason, Message, OutputContract, Role, input_tokens_bound
from cascade_service.domain.model import ModelCall, ModelCard
from cascade_service.domain.ports import Answer, JointQuestion, JudgeQuestion
from cascade_service.domain.request import CascadeRequest


def conversation(request: CascadeRequest, *, start: str) -> tuple[Message, ...]:
    """The conversation; with a ``start`` the answer's beginning stands at its end, for the model to continue."""
    return (*request.messages, Message(Role.ASSISTANT, start)) if start else request.messages


def needs_of(card: ModelCard, request: CascadeRequest, *, start: str) -> Needs:
    """What an attempt may need at worst that continues ``start``, which counts against the limit of the whole answer."""
    allowed = min(card.max_output_tokens, request.params.max_output_tokens or card.max_output_tokens)
    return Needs(
        input_tokens=input_tokens_bound(conversation(request, start=start)),
        output_tokens=max(1, allowed - len(start.encode()) // 4),
        price=card.price,
    )


def call_of(attempt: Attempt, request: CascadeRequest, grant: Granted) -> ModelCall:
    """What the model of ``attempt`` is asked."""
    return ModelCall(
        messages=conversation(request, start=attempt.start),
        params=request.params,
        max_output_tokens=attempt.max_output_tokens,
        timeout_s=grant.timeout_s,
        tier=attempt.tier,
        attempt=attempt.number,
        may_hedge=grant.may_hedge,
        on_endpoint=attempt.use_endpoint,
    )


def whole_question(attempt: Attempt, attempts: Sequence[Attempt], request: CascadeRequest) -> JudgeQuestion:
    """What the panel is asked on the whole answer of ``attempt``; those of all other ``attempts`` are its peers."""
    return JudgeQuestion(
        messages=request.messages,
        candidate=_answer(attempt, text=attempt.text, finish_reason=attempt.finish_reason),
        peers=tuple(
            _answer(other, text=other.text, finish_reason=other.finish_reason)
            for other in attempts
            if other is not attempt and other.has_answer
        ),
        output=request.output,
        accept_threshold=request.policy.threshold,
        cost_max_nano_usd=max(0, request.ceilings.cost_max_nano_usd - spent(attempts).cost_nano_usd),
    )


def joint_question(attempts: Sequence[Attempt], request: CascadeRequest, *, judges: tuple[str, ...]) -> JointQuestion:
    """What the judges without a model are asked on the whole answers of ``attempts``, each beside the others."""
    return JointQuestion(
        messages=request.messages,
        candidates=tuple(_answer(attempt, text=attempt.text, finish_reason=attempt.finish_reason) for attempt in attempts),
        output=request.output,
        judges=judges,
    )


def prefix_question(attempt: Attempt, request: CascadeRequest, *, judges: tuple[str, ...]) -> JudgeQuestion:
    """What the judges without a model are asked on what ``attempt`` has written so far.

    A beginning has neither a form nor a final answer yet: it is held against no output contract and no peers, and nothing says that it
    was cut off. Asking costs nothing.
    """
    return JudgeQuestion(
        messages=request.messages,
        candidate=_answer(attempt, text=attempt.text, finish_reason=FinishReason.UNSPECIFIED),
        peers=(),
        output=OutputContract(),
        accept_threshold=request.policy.commits_prefix_at,
        cost_max_nano_usd=0,
        judges=judges,
    )


def _answer(attempt: Attempt, *, text: str, finish_reason: FinishReason) -> Answer:
    return Answer(
        id=attempt.answer_id,
        text=text,
        model=attempt.model,
        finish_reason=finish_reason,
        logprobs=attempt.logprobs,
        predicted_quality=attempt.predicted_quality,
    )
