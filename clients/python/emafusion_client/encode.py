"""Requests as protobuf messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import grpc
from emafusion.cascade.v1 import cascade_service_pb2, decision_pb2
from emafusion.common.v1 import chat_pb2, usage_pb2
from emafusion.judge.v1 import judge_service_pb2
from emafusion.router.v1 import router_service_pb2

from emafusion_client.errors import ErrorDetails, InvalidRequest
from emafusion_client.requests import (
    Candidate,
    Ceilings,
    Constraints,
    FeedbackNote,
    Generation,
    JudgeQuestion,
    Message,
    OutputForm,
    PrefixCommit,
    Question,
)
from emafusion_client.vocabulary import Delivery

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _refusing(encode: Callable[_P, _R]) -> Callable[_P, _R]:
    """Values that protobuf can't hold (a negative count, text that is no Unicode) are told like the services tell bad fields."""

    @wraps(encode)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return encode(*args, **kwargs)
        except UnicodeEncodeError as error:
            raise _invalid("text holds a character that is not valid Unicode") from error
        except (ValueError, TypeError) as error:
            raise _invalid(str(error)) from error

    return checked


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, code=grpc.StatusCode.INVALID_ARGUMENT, details=ErrorDetails(reason="INVALID_FIELD"))


@_refusing
def complete_request(question: Question) -> cascade_service_pb2.CompleteRequest:
    """The question to the cascade."""
    return cascade_service_pb2.CompleteRequest(
        messages=[_message(message) for message in question.messages],
        params=_generation(question.generation),
        output=_output(question.output),
        constraints=_constraints(question.constraints),
        ceilings=_ceilings(question.ceilings),
        policy=question.policy,
        accept_threshold=question.accept_threshold,
        fixed_plan=question.fixed_plan,
        answer_worth_nano_usd=question.answer_worth_nano_usd,
        decompose=question.decompose and cascade_service_pb2.Decompose(parts_max=question.decompose.parts_max),
    )


@_refusing
def stream_request(
    question: Question, delivery: Delivery, *, prefix: PrefixCommit | None = None
) -> cascade_service_pb2.StreamCompleteRequest:
    """The question to the cascade, to be streamed."""
    return cascade_service_pb2.StreamCompleteRequest(
        request=complete_request(question),
        delivery=f"DELIVERY_MODE_{delivery.name}",
        prefix=prefix and cascade_service_pb2.PrefixCommit(hold_tokens=prefix.hold_tokens, checkpoint_tokens=prefix.checkpoint_tokens),
    )


@_refusing
def route_request(question: Question, *, explain: bool = False) -> router_service_pb2.RouteRequest:
    """The part of the question that the router needs."""
    return router_service_pb2.RouteRequest(
        messages=[_message(message) for message in question.messages],
        params=_generation(question.generation),
        constraints=_constraints(question.constraints),
        explain=explain,
    )


@_refusing
def judge_request(question: JudgeQuestion) -> judge_service_pb2.JudgeRequest:
    """The candidates to the judges."""
    return judge_service_pb2.JudgeRequest(
        messages=[_message(message) for message in question.messages],
        candidates=[_candidate(candidate) for candidate in question.candidates],
        peers=[_candidate(candidate) for candidate in question.peers],
        output=_output(question.output),
        panel=judge_service_pb2.Panel(
            judges=question.judges, accept_threshold=question.accept_threshold, cost_max_nano_usd=question.cost_max_nano_usd
        ),
    )


@_refusing
def feedback_request(decision_id: str, note: FeedbackNote) -> cascade_service_pb2.SubmitFeedbackRequest:
    """Feedback on a decision."""
    feedback = decision_pb2.Feedback(correct=note.correct, rating=note.rating, source=note.source)
    return cascade_service_pb2.SubmitFeedbackRequest(decision_id=decision_id, feedback=feedback)


@_refusing
def decision_request(decision_id: str) -> cascade_service_pb2.GetDecisionRequest:
    """The record of a request."""
    return cascade_service_pb2.GetDecisionRequest(decision_id=decision_id)


def _message(message: Message) -> chat_pb2.Message:
    return chat_pb2.Message(role=f"ROLE_{message.role.name}", content=message.content)


def _generation(generation: Generation | None) -> chat_pb2.GenerationParams | None:
    if generation is None:
        return None
    return chat_pb2.GenerationParams(
        max_output_tokens=generation.max_output_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        seed=generation.seed,
        stop=generation.stop,
    )


def _output(output: OutputForm | None) -> chat_pb2.OutputContract | None:
    if output is None:
        return None
    return chat_pb2.OutputContract(kind=f"KIND_{output.kind.name}", json_schema=output.json_schema)


def _constraints(constraints: Constraints | None) -> router_service_pb2.Constraints | None:
    if constraints is None:
        return None
    return router_service_pb2.Constraints(
        attempt_cost_max_nano_usd=constraints.attempt_cost_max_nano_usd,
        allow_models=constraints.allow_models,
        deny_models=constraints.deny_models,
        required_capabilities=constraints.required_capabilities,
        models_max=constraints.models_max,
        suitability_min=constraints.suitability_min,
        answer_worth_nano_usd=constraints.answer_worth_nano_usd,
    )


def _ceilings(ceilings: Ceilings | None) -> cascade_service_pb2.Ceilings | None:
    if ceilings is None:
        return None
    return cascade_service_pb2.Ceilings(
        cost_max_nano_usd=ceilings.cost_max_nano_usd,
        attempts_max=ceilings.attempts_max,
        output_tokens_max=ceilings.output_tokens_max,
    )


def _candidate(candidate: Candidate) -> judge_service_pb2.Candidate:
    summary = candidate.logprobs
    return judge_service_pb2.Candidate(
        id=candidate.id,
        text=candidate.text,
        model=candidate.model,
        finish_reason=f"FINISH_REASON_{candidate.finish_reason.name}",
        logprobs=summary
        and usage_pb2.LogprobSummary(
            tokens=summary.tokens, mean=summary.mean, min=summary.min, share_uncertain=summary.share_uncertain, first=summary.first
        ),
        predicted_quality=candidate.predicted_quality,
    )
