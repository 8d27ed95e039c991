"""Telemetry of calls to models: spans on every path, trace context upstream, metrics, and text only when switched on."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from providers.errors import RateLimited, ServerFault
from providers.instrumented import InstrumentedModel
from providers.instruments import Instruments
from providers.port import ChatModel, Chunk
from providers.retry import RetryingModel, RetryPolicy
from servicekit import semconv
from tests.support.chat_models import KEY, PROMPT, ask, card, model_at
from tests.support.models import Gate, ScriptedModel, collect, says
from tests.support.spans import Recorder, record_telemetry
from tests.support.upstream import FakeUpstream, answers, fails


def ticking() -> Callable[[], float]:
    """A clock that moves on by a second each time it is read."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def instrumented(inner: ChatModel, recorder: Recorder, *, record_text: bool = False) -> InstrumentedModel:
    telemetry = recorder.telemetry
    return InstrumentedModel(
        inner, tracer=telemetry.tracer, instruments=Instruments(telemetry.meter), clock=ticking(), record_text=record_text
    )


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def points(metrics: Mapping[str, Metric], name: str) -> list[HistogramDataPoint | NumberDataPoint]:
    return [point for point in metrics[name].data.data_points if isinstance(point, HistogramDataPoint | NumberDataPoint)]


async def test_the_span_of_a_whole_answer() -> None:
    recorder = record_telemetry()
    labels = ((semconv.EMAFUSION_CASCADE_TIER, 1), (semconv.EMAFUSION_CASCADE_REASON, "low_confidence"))
    async with FakeUpstream(answers("The ", "sky", input_tokens=8)) as upstream, model_at(upstream) as model:
        await collect(instrumented(model, recorder).stream(ask(labels=labels, seed=7, stop=("END",))))
    span = recorder.only("chat small-upstream")
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "small-upstream",
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "fake-model",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 1.0,
        "gen_ai.usage.input_tokens": 8,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "emafusion.provider.model": "small",
        "emafusion.provider.cost_nano_usd": 28,
        "emafusion.provider.usage_estimated": False,
        "emafusion.cascade.tier": 1,
        "emafusion.cascade.reason": "low_confidence",
    }
    assert PROMPT not in repr(attributes(span))


async def test_labels_are_not_sent_and_the_trace_context_is() -> None:
    recorder = record_telemetry()
    with recorder.telemetry.tracer.start_as_current_span("parent") as parent:
        async with FakeUpstream(fails(500), answers("a")) as upstream, model_at(upstream) as model:
            retrying = RetryingModel(model, RetryPolicy(backoff_initial_s=0.001))
            await collect(instrumented(retrying, recorder).stream(ask(labels=(("tier", 1),))))
    span = recorder.only("chat small-upstream")
    assert span.parent is not None
    assert span.context is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    for request in upstream.requests:
        assert "tier" not in json.dumps(request.body)
        _, trace_id, span_id, _ = request.headers["traceparent"].split("-")
        assert int(trace_id, 16) == span.context.trace_id
        assert int(span_id, 16) == span.context.span_id


async def test_the_span_is_never_made_current() -> None:
    recorder = record_telemetry()
    inner = ScriptedModel("m", "a b")
    async for _ in instrumented(inner, recorder).stream(ask()):
        assert not trace.get_current_span().get_span_context().is_valid


async def test_retries_are_events_of_the_one_span() -> None:
    recorder = record_telemetry()
    inner = ScriptedModel("m", ServerFault("no", model="m"), RateLimited("no", model="m"), "yes")
    retrying = RetryingModel(inner, RetryPolicy(backoff_initial_s=0.001))
    await collect(instrumented(retrying, recorder).stream(ask()))
    span = recorder.only("chat m")
    assert [(event.name, (event.attributes or {})["error.type"]) for event in span.events] == [
        ("emafusion.provider.retry", "server_error"),
        ("emafusion.provider.retry", "rate_limited"),
    ]
    assert attributes(span)["emafusion.provider.retries"] == 2
    assert "error.type" not in attributes(span)


async def test_an_error_ends_the_span_with_its_kind() -> None:
    recorder = record_telemetry()
    async with FakeUpstream(fails(401, error={"message": f"{KEY} {PROMPT}"})) as upstream, model_at(upstream) as model:
        with pytest.raises(Exception, match="401"):
            await collect(instrumented(model, recorder).stream(ask()))
    span = recorder.only("chat small-upstream")
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "authentication_failed"
    assert KEY not in span.to_json()
    assert PROMPT not in span.to_json()
    (duration,) = points(recorder.metrics(), "gen_ai.client.operation.duration")
    assert (duration.attributes or {})["error.type"] == "authentication_failed"


async def test_an_unforeseen_error_ends_the_span_too() -> None:
    recorder = record_telemetry()
    with pytest.raises(AssertionError):
        await collect(instrumented(ScriptedModel("m"), recorder).stream(ask()))
    span = recorder.only("chat m")
    assert attributes(span)["error.type"] == "AssertionError"


async def test_a_close_in_mid_stream_ends_the_span_as_cancelled() -> None:
    recorder = record_telemetry()
    events = instrumented(ScriptedModel("m", (Chunk("half"), Gate())), recorder).stream(ask())
    await anext(events)
    assert recorder.spans == []
    await events.aclose()
    span = recorder.only("chat m")
    assert attributes(span)["error.type"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_cancelled_task_ends_the_span() -> None:
    recorder = record_telemetry()
    gate = Gate()
    task = asyncio.create_task(collect(instrumented(ScriptedModel("m", (gate,)), recorder).stream(ask())))
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attributes(recorder.only("chat m"))["error.type"] == "cancelled"


async def test_a_close_after_the_end_is_no_cancel() -> None:
    recorder = record_telemetry()
    events = instrumented(ScriptedModel("m", "a"), recorder).stream(ask())
    await anext(events)
    await anext(events)
    await events.aclose()
    assert "error.type" not in attributes(recorder.only("chat m"))


async def test_resuming_and_closing_in_other_tasks_is_harmless() -> None:
    recorder = record_telemetry()
    events = instrumented(ScriptedModel("m", "a b c"), recorder).stream(ask())

    async def step() -> None:
        await anext(events)

    async def close() -> None:
        await events.aclose()

    await asyncio.create_task(step())
    await asyncio.create_task(step())
    await asyncio.create_task(close())
    assert len(recorder.named("chat m")) == 1


async def test_metrics() -> None:
    recorder = record_telemetry()
    async with FakeUpstream(answers("a", "b", input_tokens=8)) as upstream, model_at(upstream) as model:
        await collect(instrumented(model, recorder).stream(ask()))
    metrics = recorder.metrics()  # once: exemplars are handed out once
    tokens = {(point.attributes or {})["gen_ai.token.type"]: point for point in points(metrics, "gen_ai.client.token.usage")}
    assert {kind: point.sum for kind, point in tokens.items() if isinstance(point, HistogramDataPoint)} == {"input": 8, "output": 2}
    (duration,) = points(metrics, "gen_ai.client.operation.duration")
    assert isinstance(duration, HistogramDataPoint)
    assert duration.sum == 2.0
    assert [exemplar.span_id for exemplar in duration.exemplars] == [_span_id(recorder)]
    (first,) = points(metrics, "gen_ai.client.operation.time_to_first_chunk")
    assert isinstance(first, HistogramDataPoint)
    assert first.sum == 1.0
    (cost,) = points(metrics, "emafusion.provider.cost")
    assert isinstance(cost, NumberDataPoint)
    assert cost.value == 28
    for point in [*tokens.values(), duration, first, cost]:
        assert set(point.attributes or {}) <= {
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.request.model",
            "gen_ai.token.type",
            "emafusion.provider.model",
        }


async def test_text_only_when_switched_on() -> None:
    recorder = record_telemetry()
    await collect(instrumented(ScriptedModel("m", says("blue sky")), recorder, record_text=True).stream(ask()))
    shown = attributes(recorder.only("chat m"))
    assert json.loads(str(shown["gen_ai.input.messages"])) == [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]
    assert json.loads(str(shown["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "blue sky"}], "finish_reason": "stop"}
    ]


@pytest.mark.parametrize(
    ("provider", "address", "name", "kind"),
    [
        ("openai_compatible", "api.openai.com", "openai", SpanKind.CLIENT),
        ("openai_compatible", "127.0.0.1", "openai_compatible", SpanKind.CLIENT),
        ("anthropic", "api.anthropic.com", "anthropic", SpanKind.CLIENT),
        ("gemini", "generativelanguage.googleapis.com", "gcp.gemini", SpanKind.CLIENT),
        ("recorded", "", "recorded", SpanKind.INTERNAL),
    ],
)
async def test_provider_names(provider: str, address: str, name: str, kind: SpanKind) -> None:
    recorder = record_telemetry()
    inner = ScriptedModel("m", "a")
    inner._card = card("m", provider=provider, server_address=address, server_port=443 if address else 0)
    await collect(instrumented(inner, recorder).stream(ask()))
    span = recorder.only("chat m-upstream")
    assert attributes(span)["gen_ai.provider.name"] == name
    assert attributes(span).get("server.address", "") == address
    assert attributes(span).get("server.port", 0) == (443 if address else 0)
    assert span.kind is kind


def _span_id(recorder: Recorder) -> int:
    context = recorder.only("chat small-upstream").context
    assert context is not None
    return context.span_id
