"""The client against real servers in this process: every call, every error, cancellation and retries."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2 as cascade
from emafusion.cascade.v1 import event_pb2
from emafusion_client import EmafusionClient, EmafusionError, Event, IncompleteStream, Question
from emafusion_client.answers import ItemError, Verdict
from emafusion_client.errors import Cancelled, DeadlineExceeded, InvalidRequest, NotFound, Overloaded, Refused, ServiceFault, Unavailable
from emafusion_client.events import AttemptStarted, Committed, Completed, Delta, Escalated, Judged, Retracted, Routed
from emafusion_client.requests import (
    Candidate,
    Ceilings,
    Constraints,
    FeedbackNote,
    Generation,
    JudgeQuestion,
    LogprobSummary,
    Message,
    OutputForm,
)
from emafusion_client.vocabulary import (
    Defect,
    Delivery,
    EscalationReason,
    ExclusionCause,
    FinishReason,
    JudgeStatus,
    OutputKind,
    Role,
    RouteKind,
)

from tests.support import client_fakes
from tests.support.client_fakes import Failure, bad_request, serving, talking, try_later

Response = cascade.StreamCompleteResponse


def _all_events() -> list[Response]:
    return [
        Response(
            routed=event_pb2.Routed(decision_id="d1", plan=client_fakes.plan(), threshold=0.7, delivery=event_pb2.DELIVERY_MODE_SPECULATIVE)
        ),
        Response(attempt_started=event_pb2.AttemptStarted(model="small")),
        Response(delta=event_pb2.Delta(sequence=1, text="Lon")),
        Response(judged=event_pb2.Judged(verdict=client_fakes.verdict(0.2))),
        Response(retracted=event_pb2.Retracted(from_sequence=1)),
        Response(
            escalated=event_pb2.Escalated(
                reason=event_pb2.ESCALATION_REASON_LOW_CONFIDENCE, confidence=0.2, threshold=0.7, next_model="large"
            )
        ),
        Response(),  # an event of a later version, which this one does not know
        Response(attempt_started=event_pb2.AttemptStarted(attempt=1, tier=1, model="large")),
        Response(delta=event_pb2.Delta(attempt=1, sequence=2, text="Paris")),
        Response(committed=event_pb2.Committed(attempt=1, through_sequence=2)),
        Response(completed=event_pb2.Completed(completion=client_fakes.completion("Paris"))),
    ]


async def _collect(client: EmafusionClient, question: Question | str, *, timeout_s: float = 20) -> list[Event]:
    async with aclosing(client.stream(question, timeout_s=timeout_s)) as events:
        return [event async for event in events]


async def test_stream_yields_every_kind_of_event_in_order_and_skips_unknown_ones() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events = _all_events()
        events = await _collect(client, "capital of France?")
    assert [type(event) for event in events] == [
        Routed,
        AttemptStarted,
        Delta,
        Judged,
        Retracted,
        Escalated,
        AttemptStarted,
        Delta,
        Committed,
        Completed,
    ]
    routed, judged, escalated, completed = events[0], events[3], events[5], events[-1]
    assert isinstance(routed, Routed)
    assert routed.delivery is Delivery.SPECULATIVE
    assert routed.plan.kind is RouteKind.TAXONOMY
    assert routed.plan.excluded[0].cause is ExclusionCause.DISABLED
    assert routed.plan.axes[0].distribution == (("geography", 0.9), ("other", 0.1))
    assert isinstance(judged, Judged)
    assert [outcome.status for outcome in judged.verdict.outcomes] == [JudgeStatus.SCORED, JudgeStatus.TIMED_OUT]
    assert [outcome.score for outcome in judged.verdict.outcomes] == [0.5, None]
    assert judged.verdict.defects == (Defect.TRUNCATED,)
    assert isinstance(escalated, Escalated)
    assert (escalated.reason, escalated.confidence) == (EscalationReason.LOW_CONFIDENCE, 0.2)
    assert isinstance(completed, Completed)
    assert completed.completion.text == "Paris"
    assert completed.completion.attempts[0].time_to_first_chunk_s == 0.25


async def test_stream_without_its_last_event_is_an_error() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events = _all_events()[:3]
        with pytest.raises(IncompleteStream, match="without its last event"):
            await _collect(client, "x")


async def test_error_after_events_is_raised_and_never_retried() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events = _all_events()[:2]
        fakes.cascade.fail_at_end = Failure(grpc.StatusCode.UNAVAILABLE, "gone")
        with pytest.raises(Unavailable, match="gone"):
            await _collect(client, "x")
        assert len(fakes.cascade.requests) == 1


async def test_unavailable_before_the_first_event_is_retried_once() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events = _all_events()
        fakes.cascade.failures = [Failure(grpc.StatusCode.UNAVAILABLE, "starting")]
        events = await _collect(client, "x")
        assert isinstance(events[-1], Completed)
        assert len(fakes.cascade.requests) == 2


async def test_reads_are_retried_more_often_than_answers() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.failures = [Failure(grpc.StatusCode.UNAVAILABLE, "starting")] * 3
        assert (await client.decision("d7", timeout_s=20)).decision_id == "d7"
        assert len(fakes.cascade.requests) == 4
        fakes.cascade.failures = [Failure(grpc.StatusCode.UNAVAILABLE, "starting")] * 2
        with pytest.raises(Unavailable):
            await client.complete("x", timeout_s=20)
        assert len(fakes.cascade.requests) == 6


async def test_feedback_is_never_repeated() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.failures = [Failure(grpc.StatusCode.UNAVAILABLE, "starting")]
        with pytest.raises(Unavailable):
            await client.feedback("d1", FeedbackNote(correct=True))
        assert fakes.cascade.failures == []


async def test_closing_the_generator_cancels_the_call_at_the_server() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events, fakes.cascade.hang = _all_events()[:2], True
        async with aclosing(client.stream("x", timeout_s=60)) as events:
            assert isinstance(await anext(events), Routed)
        await asyncio.wait_for(fakes.cascade.cancelled.wait(), 10)


async def test_cancelling_the_task_cancels_the_call_at_the_server() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events, fakes.cascade.hang = _all_events()[:2], True
        reached = asyncio.Event()

        async def read() -> None:
            async with aclosing(client.stream("x", timeout_s=60)) as events:
                async for _ in events:
                    reached.set()

        task = asyncio.create_task(read())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(fakes.cascade.cancelled.wait(), 10)


async def test_deadline_reaches_the_server_and_ends_the_call() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events, fakes.cascade.hang = _all_events()[:2], True
        with pytest.raises(DeadlineExceeded):
            await _collect(client, "x", timeout_s=1)
        assert fakes.cascade.deadlines[0] is not None
        assert fakes.cascade.deadlines[0] < 5


async def test_details_of_an_error_are_decoded() -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.failures = [
            Failure(grpc.StatusCode.INVALID_ARGUMENT, "bad", bad_request("messages[0].content", "is empty")),
            Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", try_later(3)),
        ]
        with pytest.raises(InvalidRequest, match="bad") as invalid:
            await client.complete("x", timeout_s=20)
        with pytest.raises(Overloaded) as busy:
            await client.complete("x", timeout_s=20)
    assert invalid.value.reason == "INVALID_FIELD"
    assert invalid.value.details.metadata == {"limit": "4"}
    assert [(v.subject, v.description) for v in invalid.value.details.field_violations] == [("messages[0].content", "is empty")]
    assert (busy.value.reason, busy.value.retry_after_s) == ("OVERLOADED", 3.0)


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (grpc.StatusCode.OUT_OF_RANGE, InvalidRequest),
        (grpc.StatusCode.FAILED_PRECONDITION, Refused),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.CANCELLED, Cancelled),
        (grpc.StatusCode.INTERNAL, ServiceFault),
        (grpc.StatusCode.UNIMPLEMENTED, ServiceFault),
    ],
)
async def test_each_status_code_has_its_exception(code: grpc.StatusCode, raised: type[EmafusionError]) -> None:
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.failures = [Failure(code, "no")]
        with pytest.raises(raised) as failure:
            await client.decision("d1", timeout_s=20)
    assert failure.value.code is code
    assert failure.value.reason == ""


async def test_no_server_is_unavailable() -> None:
    async with EmafusionClient(cascade="127.0.0.1:1") as client:
        with pytest.raises(Unavailable):
            await client.complete("x", timeout_s=20)


async def test_every_part_of_a_question_reaches_the_server() -> None:
    question = Question(
        messages=(Message(Role.SYSTEM, "be brief"), Message(Role.USER, "hi")),
        generation=Generation(max_output_tokens=5, temperature=0.5, top_p=0.9, seed=1, stop=("END",)),
        output=OutputForm(kind=OutputKind.JSON, json_schema="{}"),
        constraints=Constraints(allow_models=("a",), deny_models=("b",), models_max=2, suitability_min=0.1, attempt_cost_max_nano_usd=3),
        ceilings=Ceilings(cost_max_nano_usd=9, attempts_max=2, output_tokens_max=100),
        policy="strict",
        accept_threshold=0.0,
        fixed_plan=("a", "b"),
    )
    async with serving() as fakes, talking(fakes) as client:
        fakes.cascade.events = _all_events()
        async with aclosing(client.stream(question, delivery=Delivery.BUFFERED, timeout_s=20)) as events:
            await anext(events)
        streamed = fakes.cascade.requests[0]
    request = streamed.request
    assert streamed.delivery == event_pb2.DELIVERY_MODE_BUFFERED
    assert [(m.role, m.content) for m in request.messages] == [(1, "be brief"), (2, "hi")]
    assert (request.params.max_output_tokens, request.params.temperature, request.params.stop[0]) == (5, 0.5, "END")
    assert (request.output.kind, request.output.json_schema) == (1, "{}")
    assert (request.constraints.allow_models[0], request.constraints.models_max) == ("a", 2)
    assert (request.ceilings.cost_max_nano_usd, request.ceilings.attempts_max, request.ceilings.output_tokens_max) == (9, 2, 100)
    assert (request.policy, request.HasField("accept_threshold"), list(request.fixed_plan)) == ("strict", True, ["a", "b"])


async def test_unset_options_are_not_sent() -> None:
    async with serving() as fakes, talking(fakes) as client:
        await client.complete("hi", timeout_s=20)
        request = fakes.cascade.requests[0]
    assert not request.HasField("accept_threshold")
    assert not any(request.HasField(field) for field in ("params", "output", "constraints", "ceilings"))


@pytest.mark.parametrize(
    "question",
    [Question.of("\ud800"), Question(messages=(Message(Role.USER, "hi"),), ceilings=Ceilings(attempts_max=-1))],
    ids=["lone surrogate", "negative count"],
)
async def test_what_protobuf_cannot_hold_is_an_invalid_request(question: Question) -> None:
    async with serving() as fakes, talking(fakes) as client:
        with pytest.raises(InvalidRequest) as failure:
            await client.complete(question)
        assert fakes.cascade.requests == []
    assert failure.value.reason == "INVALID_FIELD"


async def test_route_judge_feedback_and_lists() -> None:
    async with serving() as fakes, talking(fakes) as client:
        routing = await client.route("hi", timeout_s=20)
        judgement = await client.judge(_candidates(), timeout_s=20)
        feedback = await client.feedback("d1", FeedbackNote(correct=False, source="user"), timeout_s=20)
        models, panel = await client.models(timeout_s=20), await client.judges(timeout_s=20)
        decision = await client.decision("d1", timeout_s=20)
        assert fakes.router.requests[0].messages[0].content == "hi"
    assert (routing.plan.models[0].model, routing.timing.total_s) == ("small", 0.012)
    good, bad = judgement.outcomes
    assert isinstance(good.result, Verdict)
    assert isinstance(bad.result, ItemError)
    assert (good.result.confidence, bad.result.reason) == (0.75, "JUDGE_UNAVAILABLE")
    assert (feedback.correct, feedback.rating, feedback.source) == (False, None, "user")
    assert [(model.name, model.enabled, model.disabled_reason) for model in models] == [("small", True, ""), ("large", False, "no key")]
    assert (panel.calibration, panel.judges[0].name) == ("v1", "checks")
    assert decision.create_time == datetime.fromtimestamp(1_700_000_000, tz=UTC)
    assert (decision.attempts[0].text, decision.attempts[0].verdict, decision.prompt_json) == (None, None, None)


def _candidates() -> JudgeQuestion:
    summary = LogprobSummary(tokens=1, mean=-0.1, min=-0.1, share_uncertain=0.0, first=-0.1)
    good = Candidate(id="good", text="Paris", finish_reason=FinishReason.STOP, logprobs=summary)
    return JudgeQuestion(messages=(Message(Role.USER, "hi"),), candidates=(good, Candidate(id="bad", text="")), judges=("checks",))


async def test_models_come_from_the_router_when_there_is_no_cascade() -> None:
    async with serving() as fakes, EmafusionClient(router=fakes.target) as client:
        assert [model.name for model in await client.models(timeout_s=20)] == ["routed"]
        with pytest.raises(ValueError, match="without a target for the cascade service"):
            await client.complete("x")
