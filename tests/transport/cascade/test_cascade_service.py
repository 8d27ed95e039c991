"""The cascade on real sockets: what callers send, what they get, and what happens when they leave."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2, decision_pb2, event_pb2
from emafusion.common.v1 import usage_pb2

from servicekit import semconv
from servicekit.errors import InvalidField, read_status
from tests.support.cascade_served import FakeJudge, FakeRouter, World, cascade_world, question
from tests.support.spans import record_telemetry
from tests.support.upstream import Exchange, FakeUpstream, answers, chunk, fails, hangs, stalls_after

SPECULATIVE = "DELIVERY_MODE_SPECULATIVE"
METHOD = "emafusion.cascade.v1.CascadeService/StreamComplete"


async def decision_of(world: World, decision_id: str) -> decision_pb2.Decision:
    response = await world.stub.GetDecision(cascade_service_pb2.GetDecisionRequest(decision_id=decision_id), timeout=5.0)
    return response.decision


async def test_complete_answers_with_the_end_of_the_same_stream(tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(answers("41", logprob=-0.5)), "large": FakeUpstream(answers("4", "2"))}
    judge = FakeJudge({"41": 0.2})
    async with cascade_world(tmp_path, upstreams, judge=judge) as world:
        response = await world.stub.Complete(question(accept_threshold=0.6).request, timeout=20.0)
        completion = response.completion
        assert (completion.text, completion.model, completion.outcome) == ("42", "large", event_pb2.OUTCOME_ACCEPTED)
        assert completion.attempts[0].escalation_reason == event_pb2.ESCALATION_REASON_LOW_CONFIDENCE
        # 12 tokens in and 1 or 2 out at 1 and 2 USD per million tokens, and two verdicts at 2 nano-USD.
        assert completion.cost_nano_usd == (12_000 + 2_000) + (12_000 + 4_000) + 2 + 2
        first, second = judge.requests
        assert first.panel.accept_threshold == 0.6
        assert first.candidates[0].logprobs.mean == pytest.approx(-0.5)
        assert first.candidates[0].finish_reason == usage_pb2.FINISH_REASON_STOP
        assert [peer.text for peer in second.peers] == ["41"]
        decision = await decision_of(world, completion.decision_id)
        assert decision.status == decision_pb2.DECISION_STATUS_COMPLETED
        assert decision.completion.text == ""
        assert [attempt.summary.model for attempt in decision.attempts] == ["small", "large"]


async def test_the_router_gets_what_the_caller_asked_for(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream(answers("42"))}) as world:
        await world.stream(question(params={"max_output_tokens": 7}, constraints={"deny_models": ["small"]}))
    (request,) = world.router.requests
    assert request.params.max_output_tokens == 7
    assert list(request.constraints.deny_models) == ["small"]
    assert world.upstreams["small"].requests[0].body["max_tokens"] == 7


COMPOUND = "1. What is 6 times 7?\n2. Is it even?\n3. What is 6 times 8?"


async def test_a_compound_request_is_answered_part_by_part(tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(default=answers("4", "2"))}
    async with cascade_world(tmp_path, upstreams, cascade={"decomposition": {"parallel_max": 1}}) as world:
        responses = await world.stream(question(COMPOUND, mode=SPECULATIVE, decompose={"parts_max": 3}))
        completion = responses[-1].completed.completion
        decision = await decision_of(world, completion.decision_id)
    first = responses[0].decomposed
    assert [(part.label, part.text, part.needs_earlier) for part in first.parts] == [
        ("1.", "What is 6 times 7?", False),
        ("2.", "Is it even?", True),
        ("3.", "What is 6 times 8?", False),
    ]
    assert (first.splitter, first.reason, first.decision_id) == ("rules", "", completion.decision_id)
    assert [response.routed.part for response in responses if response.WhichOneof("event") == "routed"] == [0, 1, 2]
    assert completion.text == "1.\n42\n\n2.\n42\n\n3.\n42"
    assert [completion.text[part.text_start : part.text_end] for part in completion.parts] == ["42"] * 3
    assert [attempt.part for attempt in completion.attempts if attempt.chosen] == [0, 1, 2]
    assert [message.content for message in world.router.requests[1].messages] == ["What is 6 times 7?", "42", "Is it even?"]
    assert [part.plan.models[0].model for part in decision.parts] == ["small"] * 3
    assert not decision.HasField("plan")
    assert [len(part.text_sha256) for part in decision.parts] == [64] * 3
    assert not any(part.HasField("text") for part in decision.parts)


async def test_the_configured_number_of_parts_is_an_upper_bound(tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(default=answers("42"))}
    async with cascade_world(tmp_path, upstreams, cascade={"decomposition": {"parts_max": 2}}) as world:
        responses = await world.stream(question(COMPOUND, decompose={"parts_max": 16}))
        plain = await world.stream(question(COMPOUND))
    assert responses[0].decomposed.reason == "3 parts, and 2 are allowed"
    assert plain[0].WhichOneof("event") == "routed"


INVALID: dict[str, tuple[dict[str, object], str, str]] = {
    "no messages": ({"messages": []}, "messages", "INVALID_FIELD"),
    "unknown role": ({"messages": [{"role": 9, "content": "x"}]}, "messages[0].role", "INVALID_FIELD"),
    "no role": ({"messages": [{"content": "x"}]}, "messages[0].role", "INVALID_FIELD"),
    "empty content": ({"messages": [{"role": 2, "content": ""}]}, "messages[0].content", "INVALID_FIELD"),
    "control character": ({"messages": [{"role": 2, "content": "a\x07"}]}, "messages[0].content", "INVALID_FIELD"),
    "too long": ({"messages": [{"role": 2, "content": "x" * 200_001}]}, "messages[0].content", "INVALID_FIELD"),
    "last message is the assistant's": ({"messages": [{"role": 3, "content": "x"}]}, "messages[0].role", "INVALID_FIELD"),
    "temperature": ({"params": {"temperature": 2.5}}, "params.temperature", "INVALID_FIELD"),
    "temperature is no number": ({"params": {"temperature": float("nan")}}, "params.temperature", "INVALID_FIELD"),
    "no output tokens": ({"params": {"max_output_tokens": 0}}, "params.max_output_tokens", "INVALID_FIELD"),
    "threshold": ({"accept_threshold": 1.5}, "accept_threshold", "INVALID_FIELD"),
    "infinite threshold": ({"accept_threshold": float("inf")}, "accept_threshold", "INVALID_FIELD"),
    "unknown policy": ({"policy": "balancd"}, "policy", "UNKNOWN_POLICY"),
    "unknown model in a fixed plan": ({"fixed_plan": ["small", "smal"]}, "fixed_plan[1]", "UNKNOWN_MODEL"),
    "model twice in a fixed plan": ({"fixed_plan": ["small", "small"]}, "fixed_plan[1]", "INVALID_FIELD"),
    "unknown model in constraints": ({"constraints": {"allow_models": ["x"]}}, "constraints.allow_models[0]", "UNKNOWN_MODEL"),
    "no models allowed": ({"constraints": {"models_max": 0}}, "constraints.models_max", "INVALID_FIELD"),
    "no attempts": ({"ceilings": {"attempts_max": 0}}, "ceilings.attempts_max", "INVALID_FIELD"),
    "negative cost": ({"ceilings": {"cost_max_nano_usd": -1}}, "ceilings.cost_max_nano_usd", "INVALID_FIELD"),
    "too many output tokens": ({"ceilings": {"output_tokens_max": 2**31}}, "ceilings.output_tokens_max", "INVALID_FIELD"),
    "one part": ({"decompose": {"parts_max": 1}}, "decompose.parts_max", "INVALID_FIELD"),
    "too many parts": ({"decompose": {"parts_max": 17}}, "decompose.parts_max", "INVALID_FIELD"),
    "unknown output kind": ({"output": {"kind": 9}}, "output.kind", "INVALID_FIELD"),
    "schema without JSON": ({"output": {"json_schema": "{}"}}, "output.json_schema", "INVALID_FIELD"),
    "half a schema": ({"output": {"kind": 1, "json_schema": '{"type":'}}, "output.json_schema", "INVALID_FIELD"),
    "no schema": ({"output": {"kind": 1, "json_schema": '{"type": 7}'}}, "output.json_schema", "INVALID_FIELD"),
    "schema too deep": ({"output": {"kind": 1, "json_schema": "[" * 60_000}}, "output.json_schema", "INVALID_FIELD"),
}


async def test_bad_requests_name_their_field_and_reach_nobody(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        for name, (change, field, reason) in INVALID.items():
            good: dict[str, object] = {"messages": [{"role": 2, "content": "hello"}]}
            request = cascade_service_pb2.CompleteRequest(**good | change)  # pyright: ignore[reportArgumentType] - by name
            with pytest.raises(grpc.aio.AioRpcError) as unary:
                await world.stub.Complete(request, timeout=5.0)
            with pytest.raises(grpc.aio.AioRpcError) as streamed:
                await world.stream(cascade_service_pb2.StreamCompleteRequest(request=request))
            for caught, prefix in ((unary, ""), (streamed, "request.")):
                status = read_status(caught.value)
                assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason), name
                assert [violation.field for violation in status.field_violations] == [f"{prefix}{field}"], name
        assert world.router.requests == []


async def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        bad = question("", policy="nobody")
        bad.delivery = 9  # pyright: ignore[reportAttributeAccessIssue] - a number without a name
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(bad)
        with pytest.raises(grpc.aio.AioRpcError) as empty:
            await world.stream(cascade_service_pb2.StreamCompleteRequest())
    fields = [violation.field for violation in read_status(caught.value).field_violations]
    assert fields == ["request.messages[0].content", "request.policy", "delivery"]
    assert [violation.field for violation in read_status(empty.value).field_violations] == ["request"]


async def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        raw = question("HERE").SerializeToString().replace(b"HERE", b"\xff\xfe\xfd\xfc")
        call = world.served.channel.unary_stream(f"/{METHOD}", request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call(raw, timeout=5.0):
                pass
    assert [violation.field for violation in read_status(caught.value).field_violations] == ["request.messages[0].content"]


async def test_the_routers_verdict_on_the_request_passes_through(tmp_path: Path) -> None:
    error = InvalidField("constraints.required_capabilities[0]", "telepathy", "logprobs")
    async with cascade_world(tmp_path, {"small": FakeUpstream()}, router=FakeRouter(error=error)) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(constraints={"required_capabilities": ["telepathy"]}))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [violation.field for violation in status.field_violations] == ["request.constraints.required_capabilities[0]"]


async def test_a_fixed_plan_without_a_usable_model_says_what_excluded_each(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(fixed_plan=["small"], constraints={"required_capabilities": ["telepathy"]}))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EMPTY_PLAN")
    assert [(violation.type, violation.subject) for violation in status.precondition_violations] == [("CAUSE_MISSING_CAPABILITY", "small")]


async def test_a_ceiling_that_leaves_no_room_names_itself(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(ceilings={"cost_max_nano_usd": 10}))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CEILING_TOO_LOW")
    assert [violation.subject for violation in status.quota_violations] == ["cost"]


@pytest.mark.parametrize("behaviour", [hangs(), stalls_after("4")], ids=["before the first token", "in mid-answer"])
async def test_a_caller_who_leaves_closes_the_call_to_the_provider(behaviour: object, tmp_path: Path) -> None:
    upstream = FakeUpstream(behaviour)  # pyright: ignore[reportArgumentType] - a behaviour
    async with cascade_world(tmp_path, {"small": upstream}) as world:
        call = world.stub.StreamComplete(question(mode=SPECULATIVE), timeout=20.0)
        first = await call.read()
        assert isinstance(first, cascade_service_pb2.StreamCompleteResponse)
        await upstream.arrived.wait()
        call.cancel()
        await upstream.disconnected.wait()
        decision = await _recorded(world, first.routed.decision_id)
    assert decision.status == decision_pb2.DECISION_STATUS_CANCELLED
    assert decision.error_reason == "CANCELLED"
    assert decision.attempts[0].summary.error == "cancelled"


async def test_a_caller_who_leaves_cancels_the_judges(tmp_path: Path) -> None:
    judge = FakeJudge(gate=asyncio.Event())
    async with cascade_world(tmp_path, {"small": FakeUpstream(answers("42"))}, judge=judge) as world:
        call = world.stub.Complete(question().request, timeout=20.0)
        await judge.asked.wait()
        call.cancel()
        await judge.left.wait()


async def test_the_deadline_reaches_the_provider_before_it_passes(tmp_path: Path) -> None:
    upstream = FakeUpstream(hangs())
    async with cascade_world(tmp_path, {"small": upstream, "large": FakeUpstream()}) as world:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stream(question(), timeout_s=1.0)
        await upstream.disconnected.wait()
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert status.metadata == {"small": "timeout"}


async def test_a_slow_reader_slows_the_provider_down(tmp_path: Path) -> None:
    sent = 0
    # 16 kB as UTF-8. Windows of TCP and HTTP/2 hold some hundreds of these; the limits on an answer would end it after 2,500.
    piece = "😀" * 4_000

    async def endless(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.start()
        while True:
            await exchange.event(chunk(piece))
            sent += 1

    upstream = FakeUpstream(endless)
    limits, roomy = {"candidate_chars_max": 10_000_000}, {"max_output_tokens": 65_536}
    async with cascade_world(tmp_path, {"small": upstream}, limits=limits, model=lambda _: roomy) as world:
        call = world.stub.StreamComplete(question(mode=SPECULATIVE), timeout=100.0)
        for _ in range(3):
            await call.read()
        before = -1
        while sent != before:  # until nothing moves any more: every window on the way is full
            before = sent
            await asyncio.sleep(0.5)
        assert not upstream.disconnected.is_set(), "the whole answer was taken in although nobody reads it"
        assert sent < 2_000
        call.cancel()
        await upstream.disconnected.wait()


async def test_feedback_is_kept_with_the_decision(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream(answers("42"))}) as world:
        completion = (await world.stub.Complete(question().request, timeout=20.0)).completion
        feedback = decision_pb2.Feedback(correct=True, source="unit_tests")
        request = cascade_service_pb2.SubmitFeedbackRequest(decision_id=completion.decision_id, feedback=feedback)
        recorded = (await world.stub.SubmitFeedback(request, timeout=5.0)).feedback
        assert recorded.correct
        assert recorded.HasField("create_time")
        assert not recorded.HasField("rating")
        assert list((await decision_of(world, completion.decision_id)).feedback) == [recorded]


@pytest.mark.parametrize(
    ("decision_id", "feedback", "field"),
    [
        ("", {"correct": True}, "decision_id"),
        ("x" * 65, {"correct": True}, "decision_id"),
        ("x", {}, "feedback"),
        ("x", {"rating": 1.5}, "feedback.rating"),
        ("x", {"rating": float("nan")}, "feedback.rating"),
        ("x", {"correct": True, "source": "s" * 129}, "feedback.source"),
    ],
)
async def test_bad_feedback_names_its_field(decision_id: str, feedback: dict[str, object], field: str, tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        request = cascade_service_pb2.SubmitFeedbackRequest(decision_id=decision_id, feedback=feedback)  # pyright: ignore[reportArgumentType] - by name
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stub.SubmitFeedback(request, timeout=5.0)
    assert [violation.field for violation in read_status(caught.value).field_violations] == [field]


async def test_unknown_decisions_are_not_found(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        feedback = cascade_service_pb2.SubmitFeedbackRequest(decision_id="nobody", feedback=decision_pb2.Feedback(correct=True))
        with pytest.raises(grpc.aio.AioRpcError) as got:
            await decision_of(world, "nobody")
        with pytest.raises(grpc.aio.AioRpcError) as submitted:
            await world.stub.SubmitFeedback(feedback, timeout=5.0)
    for caught in (got, submitted):
        assert (caught.value.code(), read_status(caught.value).reason) == (grpc.StatusCode.NOT_FOUND, "DECISION_NOT_FOUND")


async def test_models_are_listed_by_name_with_what_disables_them(tmp_path: Path) -> None:
    upstreams = {"small": FakeUpstream(), "big": FakeUpstream()}
    disabled = {"small": {"enabled": False}}
    async with cascade_world(tmp_path, upstreams, model=lambda name: disabled.get(name, {})) as world:
        models = (await world.stub.ListModels(cascade_service_pb2.ListModelsRequest(), timeout=5.0)).models
    assert [(model.name, model.enabled, bool(model.disabled_reason)) for model in models] == [("big", True, False), ("small", False, True)]
    assert models[0].price.output_nano_usd_per_mtok == 2_000_000_000


async def test_the_trace_tells_escalations_and_commits_on_the_server_span(tmp_path: Path) -> None:
    recorder = record_telemetry("cascade_service")
    upstreams = {"small": FakeUpstream(answers("41")), "large": FakeUpstream(answers("42"))}
    async with cascade_world(tmp_path, upstreams, judge=FakeJudge({"41": 0.2}), telemetry=recorder.telemetry) as world:
        responses = await world.stream(question(mode=SPECULATIVE))
        completion = responses[-1].completed.completion
        decision = await decision_of(world, completion.decision_id)
    server = recorder.only(METHOD, kind="SERVER")
    assert [event.name for event in server.events] == [
        semconv.EVENT_CASCADE_ROUTED,
        semconv.EVENT_CASCADE_RETRACTED,
        semconv.EVENT_CASCADE_ESCALATED,
        semconv.EVENT_CASCADE_COMMITTED,
    ]
    escalated = server.events[2].attributes or {}
    assert escalated[semconv.EMAFUSION_CASCADE_REASON] == "low_confidence"
    assert escalated[semconv.EMAFUSION_CASCADE_CONFIDENCE] == pytest.approx(0.2)
    assert escalated[semconv.EMAFUSION_CASCADE_THRESHOLD] == 0.7
    assert escalated[semconv.EMAFUSION_CASCADE_TIER] == 0
    assert (server.attributes or {})[semconv.EMAFUSION_CASCADE_OUTCOME] == "accepted"
    assert server.context is not None
    assert completion.trace_id == decision.trace_id == format(server.context.trace_id, "032x")
    chats = [span for span in recorder.spans if span.name.startswith(f"{semconv.OPERATION_CHAT} ")]
    assert [(span.attributes or {})[semconv.EMAFUSION_CASCADE_ATTEMPT] for span in chats] == [0, 1]
    assert all(span.context and span.context.trace_id == server.context.trace_id for span in chats)
    metrics = recorder.metrics()
    for name in (
        semconv.METRIC_CASCADE_REQUESTS,
        semconv.METRIC_CASCADE_ATTEMPTS,
        semconv.METRIC_CASCADE_ESCALATIONS,
        semconv.METRIC_CASCADE_COST,
        semconv.METRIC_CASCADE_TOKENS,
        semconv.METRIC_CASCADE_TIME_TO_FIRST_DELTA,
        semconv.METRIC_CASCADE_TIME_TO_FIRST_COMMIT,
    ):
        assert metrics[name].data.data_points, name


async def test_a_failed_request_is_counted_with_its_reason(tmp_path: Path) -> None:
    recorder = record_telemetry("cascade_service")
    async with cascade_world(tmp_path, {"small": FakeUpstream(fails(500))}, telemetry=recorder.telemetry) as world:
        with pytest.raises(grpc.aio.AioRpcError):
            await world.stream(question())
    metrics = recorder.metrics()
    (request,) = metrics[semconv.METRIC_CASCADE_REQUESTS].data.data_points
    assert (request.attributes or {})[semconv.EMAFUSION_ERROR_REASON] == "ALL_ATTEMPTS_FAILED"
    (attempt,) = metrics[semconv.METRIC_CASCADE_ATTEMPTS].data.data_points
    assert dict(attempt.attributes or {}) == {semconv.EMAFUSION_CASCADE_MODEL: "small", semconv.EMAFUSION_CASCADE_OUTCOME: "failed"}


async def _recorded(world: World, decision_id: str) -> decision_pb2.Decision:
    """The record of a request that is being cancelled, as soon as it is there."""
    while True:
        try:
            return await decision_of(world, decision_id)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - the loop ends with the record or the test's timeout
            await asyncio.sleep(0.01)
