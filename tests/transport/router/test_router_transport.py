"""The real router service, real artifacts included, behind a real server and channel in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from blockbuster import BlockBuster
from emafusion.common.v1 import chat_pb2, error_reason_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2, router_service_pb2_grpc

from router_service import bootstrap
from router_service.adapters.onnx_encoder import open_encoder
from servicekit import semconv
from servicekit.errors import read_status
from servicekit.telemetry import Telemetry
from tests.support.router_server import LOCAL, build, configuration, serving
from tests.support.servers import serve
from tests.support.spans import record_telemetry

if TYPE_CHECKING:
    from emafusion.router.v1.router_service_pb2_grpc import RouterServiceAsyncStub

ENCODER = cache(open_encoder)
"""The real encoder, loaded once for all tests of this file."""


@pytest.fixture(autouse=True)
def encoder_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "open_encoder", ENCODER)


@asynccontextmanager
async def served(
    folder: Path, buster: BlockBuster, *, telemetry: Telemetry | None = None, **sections: Any
) -> AsyncGenerator[RouterServiceAsyncStub]:
    async with serving(folder, buster, telemetry=telemetry, **sections) as running:
        yield router_service_pb2_grpc.RouterServiceStub(running.channel)


@pytest.fixture
async def stub(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> AsyncGenerator[RouterServiceAsyncStub]:
    async with served(tmp_path, blocked_event_loop_is_an_error) as found:
        yield found


def user(text: str) -> chat_pb2.Message:
    return chat_pb2.Message(role=chat_pb2.ROLE_USER, content=text)


def request(*messages: chat_pb2.Message, **constraints: Any) -> router_service_pb2.RouteRequest:
    return router_service_pb2.RouteRequest(
        messages=messages or [user("What is the capital of France?")], constraints=router_service_pb2.Constraints(**constraints)
    )


async def test_plan_has_models_reasons_taxonomy_and_timing(stub: RouterServiceAsyncStub) -> None:
    response = await stub.Route(request())
    plan = response.plan
    costs = [model.predicted_cost_nano_usd for model in plan.models]
    assert 2 <= len(plan.models) <= 4
    assert costs == sorted(costs)
    assert all(0.0 < model.predicted_quality < 1.0 and model.reason for model in plan.models)
    assert plan.kind == plan_pb2.ROUTE_KIND_TAXONOMY
    assert plan.taxonomy.clear
    assert [axis.axis for axis in plan.taxonomy.axes] == ["task_type", "domain", "reasoning_complexity", "output_format"]
    assert [axis.label for axis in plan.taxonomy.axes] == ["knowledge", "general", "low", "short_text"]
    for axis in plan.taxonomy.axes:
        assert sum(entry.probability for entry in axis.distribution) == pytest.approx(1.0)
        assert axis.distribution[0].label == axis.label
    assert plan.reasons[0].startswith("the category is clear: domain general")
    assert len(plan.policy_hash) == 12
    assert 9 <= plan.input_tokens <= 20
    assert [(gone.model, gone.cause) for gone in plan.excluded if gone.model == "hosted"] == [
        ("hosted", plan_pb2.ExcludedModel.CAUSE_DISABLED)
    ]
    timing = response.timing
    assert 0 < timing.inference.ToNanoseconds() <= timing.total.ToNanoseconds()


async def test_an_explanation_has_the_numbers_of_every_model(stub: RouterServiceAsyncStub) -> None:
    asked = request(models_max=1)
    asked.explain = True
    plan = (await stub.Route(asked)).plan
    assert [model.model for model in plan.weighed] == sorted(
        [*(model.model for model in plan.models), *(out.model for out in plan.excluded)]
    )
    planned, weighed = plan.models[0], {model.model: model for model in plan.weighed}
    same = weighed[planned.model]
    assert (same.predicted_quality, same.predicted_cost_nano_usd) == (planned.predicted_quality, planned.predicted_cost_nano_usd)
    assert all(0.0 < model.suitability < 1.0 and 0.0 < model.suitability_stddev <= 0.5 for model in plan.weighed)
    assert not (await stub.Route(request(models_max=1))).plan.weighed


async def test_unclear_category_falls_back_on_overall_rates(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    router = {"taxonomy": {"clear_probability_min": 1.0}}
    async with served(tmp_path, blocked_event_loop_is_an_error, router=router) as stub:
        plan = (await stub.Route(request())).plan
    assert plan.kind == plan_pb2.ROUTE_KIND_PRIOR
    assert not plan.taxonomy.clear
    assert "overall success rates were used" in plan.reasons[0]


async def test_conversation_is_counted_whole_and_classified_by_its_last_message(stub: RouterServiceAsyncStub) -> None:
    earlier = [
        chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, content="Be brief. " * 50),
        user("Hi"),
        chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, content="Hello!"),
    ]
    short, long = (await stub.Route(request())).plan, (await stub.Route(request(*earlier, user("What is the capital of France?")))).plan
    assert long.input_tokens > short.input_tokens + 100
    assert [axis.label for axis in long.taxonomy.axes] == [axis.label for axis in short.taxonomy.axes]
    assert long.models[0].predicted_cost_nano_usd > short.models[0].predicted_cost_nano_usd


BAD_REQUESTS = [
    ("messages", router_service_pb2.RouteRequest()),
    ("messages[0].role", request(chat_pb2.Message(content="Hi"))),
    ("messages[0].content", request(user(""))),
    ("messages[0].content", request(user("x" * 200_001))),
    ("messages[0].content", request(user("bell \x07"))),
    ("messages[1].role", request(user("Hi"), chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, content="Hello"))),
    ("messages", request(*[user("Hi")] * 257)),
    (
        "params.max_output_tokens",
        router_service_pb2.RouteRequest(messages=[user("Hi")], params=chat_pb2.GenerationParams(max_output_tokens=0)),
    ),
    (
        "params.temperature",
        router_service_pb2.RouteRequest(messages=[user("Hi")], params=chat_pb2.GenerationParams(temperature=float("nan"))),
    ),
    ("params.top_p", router_service_pb2.RouteRequest(messages=[user("Hi")], params=chat_pb2.GenerationParams(top_p=0.0))),
    ("constraints.suitability_min", request(suitability_min=float("inf"))),
    ("constraints.suitability_min", request(suitability_min=1.5)),
    ("constraints.attempt_cost_max_nano_usd", request(attempt_cost_max_nano_usd=-1)),
    ("constraints.models_max", request(models_max=0)),
    ("constraints.models_max", request(models_max=17)),
    ("constraints.required_capabilities[0]", request(required_capabilities=[""])),
    ("constraints.allow_models", request(allow_models=["smollm2-135m"] * 257)),
]


@pytest.mark.parametrize(("field", "bad"), BAD_REQUESTS, ids=[f"{index}-{field}" for index, (field, _) in enumerate(BAD_REQUESTS)])
async def test_bad_input_names_the_field(stub: RouterServiceAsyncStub, field: str, bad: router_service_pb2.RouteRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Route(bad)
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert field in [violation.field for violation in status.field_violations]


async def test_all_problems_are_named_at_once(stub: RouterServiceAsyncStub) -> None:
    bad = request(user(""), user("Hi"), models_max=0, suitability_min=2.0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Route(bad)
    fields = {violation.field for violation in read_status(caught.value).field_violations}
    assert fields == {"messages[0].content", "constraints.models_max", "constraints.suitability_min"}


@pytest.mark.parametrize("field", ["allow_models", "deny_models"])
async def test_unknown_model_names_the_field_and_the_nearest(stub: RouterServiceAsyncStub, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Route(request(**{field: ["smollm2-135m", "smollm2-135"]}))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_MODEL")
    assert [violation.field for violation in status.field_violations] == [f"constraints.{field}[1]"]
    assert "nearest: smollm2-135m" in status.field_violations[0].description


async def test_invalid_utf8_is_refused(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    service = build(tmp_path, blocked_event_loop_is_an_error, configuration(), Telemetry.off())
    try:
        async with serve(service.add_to, errors=service.errors) as running:
            channel: Any = running.channel
            call = channel.unary_unary("/emafusion.router.v1.RouterService/Route")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\x0a\x06\x08\x02\x12\x02\xff\xfe")
    finally:
        await service.aclose()
    assert read_status(caught.value).code == grpc.StatusCode.INVALID_ARGUMENT


async def test_empty_plan_says_what_excluded_each_model(stub: RouterServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Route(request(deny_models=["qwen2.5-coder-1.5b"], required_capabilities=["logprobs"], attempt_cost_max_nano_usd=1))
    status = read_status(caught.value)
    assert (status.code, status.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EMPTY_PLAN")
    assert [(violation.type, violation.subject) for violation in status.precondition_violations] == [
        ("CAUSE_DISABLED", "hosted"),
        ("CAUSE_COST_CEILING", "qwen2.5-coder-0.5b"),
        ("CAUSE_DENIED", "qwen2.5-coder-1.5b"),
        ("CAUSE_MISSING_CAPABILITY", "smollm2-135m"),
    ]
    assert status.metadata["smollm2-135m"] == "missing_capability"


async def test_batch_has_an_outcome_per_request_in_order(stub: RouterServiceAsyncStub) -> None:
    requests = [request(), request(user("")), request(deny_models=LOCAL), request(user("What is 6 * 7?"))]
    response = await stub.BatchRoute(router_service_pb2.BatchRouteRequest(requests=requests))
    assert [outcome.WhichOneof("outcome") for outcome in response.outcomes] == ["plan", "error", "error", "plan"]
    bad, empty = response.outcomes[1].error, response.outcomes[2].error
    assert (bad.code, bad.reason, bad.field) == (3, error_reason_pb2.ERROR_REASON_INVALID_FIELD, "messages[0].content")
    assert (empty.code, empty.reason) == (9, error_reason_pb2.ERROR_REASON_EMPTY_PLAN)
    assert empty.metadata["smollm2-135m"] == "denied"
    assert response.outcomes[3].plan.taxonomy.axes[1].label == "math"
    assert response.timing.total.ToNanoseconds() > 0


async def test_batch_gives_the_plans_of_single_calls(stub: RouterServiceAsyncStub) -> None:
    requests = [request(user(text)) for text in ("What is 6 * 7?", "Write a poem about snow. " * 30, "Who wrote Hamlet?")]
    batch = await stub.BatchRoute(router_service_pb2.BatchRouteRequest(requests=requests))
    for one, outcome in zip(requests, batch.outcomes, strict=True):
        single = (await stub.Route(one)).plan
        assert [model.model for model in outcome.plan.models] == [model.model for model in single.models]
        for ours, theirs in zip(outcome.plan.taxonomy.axes, single.taxonomy.axes, strict=True):
            assert ours.probability == pytest.approx(theirs.probability, abs=1e-5)


@pytest.mark.parametrize("count", [0, 65])
async def test_size_of_a_batch_is_bounded(stub: RouterServiceAsyncStub, count: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.BatchRoute(router_service_pb2.BatchRouteRequest(requests=[request()] * count))
    assert [violation.field for violation in read_status(caught.value).field_violations] == ["requests"]


async def test_models_are_listed_in_order_of_name(stub: RouterServiceAsyncStub) -> None:
    models = (await stub.ListModels(router_service_pb2.ListModelsRequest())).models
    assert [model.name for model in models] == sorted(("hosted", *LOCAL))
    assert [(model.enabled, bool(model.disabled_reason)) for model in models] == [
        (False, True),
        (True, False),
        (True, False),
        (True, False),
    ]
    assert models[3].price.output_nano_usd_per_mtok == 200_000_000


async def test_full_queue_is_refused_with_retry_info(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    router = {"encoder": {"batcher": {"batch_max": 1, "queue_max": 1}}}
    async with served(tmp_path, blocked_event_loop_is_an_error, router=router) as stub:
        response = await stub.BatchRoute(router_service_pb2.BatchRouteRequest(requests=[request()] * 8))
    kinds = [outcome.WhichOneof("outcome") for outcome in response.outcomes]
    refused = [outcome.error for outcome in response.outcomes if outcome.HasField("error")]
    assert kinds[:2] == ["plan", "plan"]
    assert len(refused) == 6
    assert {(error.code, error.reason) for error in refused} == {(8, error_reason_pb2.ERROR_REASON_OVERLOADED)}


async def test_a_call_is_one_server_span_over_encode_and_classify(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    recorder = record_telemetry("router_service")
    async with served(tmp_path, blocked_event_loop_is_an_error, telemetry=recorder.telemetry) as stub:
        recorder.clear()
        await stub.Route(request())
    server = recorder.only("emafusion.router.v1.RouterService/Route", kind="SERVER")
    children = [span.name for span in recorder.spans if span.parent and server.context and span.parent.span_id == server.context.span_id]
    assert children == [semconv.SPAN_ENCODE, semconv.SPAN_CLASSIFY]
    attributes = recorder.only(semconv.SPAN_CLASSIFY).attributes or {}
    assert attributes[semconv.EMAFUSION_ROUTER_KIND] == "taxonomy"
    assert semconv.METRIC_ROUTER_PLANS in recorder.metrics()
    assert "capital of France" not in json.dumps([span.to_json() for span in recorder.spans])
