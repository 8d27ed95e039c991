"""One request is one trace across three processes, as an OTLP receiver sees it."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from emafusion_client import EmafusionClient, Question
from emafusion_client.events import Completed
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from servicekit import semconv
from tests.support.otlp import OtlpReceiver, receive_otlp
from tests.support.suite import overrides, process_environ, run_suite, write_config
from tests.support.upstream import Exchange, FakeUpstream, answers

# The question is of the suite's own making, so that finding any of its words in telemetry means that text leaks.
QUESTION = "Which zyxomorphic gribble has four knees?"
ANSWER = ("The quixotane ", "gribble.")

# The third judging is that of the first answer against the second, because nothing was accepted.
EXPECTED = """
cascade_service SERVER emafusion.cascade.v1.CascadeService/StreamComplete
  cascade_service CLIENT emafusion.router.v1.RouterService/Route
    router_service SERVER emafusion.router.v1.RouterService/Route
      router_service INTERNAL encode
      router_service INTERNAL classify
  cascade_service CLIENT chat small
  cascade_service CLIENT emafusion.judge.v1.JudgeService/Judge
    judge_service SERVER emafusion.judge.v1.JudgeService/Judge
      judge_service INTERNAL judge checks
      judge_service INTERNAL judge llm
        judge_service CLIENT chat large
  cascade_service CLIENT chat large
  cascade_service CLIENT emafusion.judge.v1.JudgeService/Judge
    judge_service SERVER emafusion.judge.v1.JudgeService/Judge
      judge_service INTERNAL judge checks
      judge_service INTERNAL judge llm
        judge_service CLIENT chat large
  cascade_service CLIENT emafusion.judge.v1.JudgeService/Judge
    judge_service SERVER emafusion.judge.v1.JudgeService/Judge
      judge_service INTERNAL judge checks
      judge_service INTERNAL judge llm
        judge_service CLIENT chat large
""".strip()


@dataclass(frozen=True)
class Told:
    """Spans of one trace, as received."""

    spans: list[tuple[str, Span]]

    @property
    def tree(self) -> str:
        """One line per span: service, kind, name; children below their parent in order of their start, equals by name."""
        known = {span.span_id for _, span in self.spans}
        children: dict[bytes, list[tuple[str, Span]]] = defaultdict(list)
        for service, span in sorted(self.spans, key=lambda item: item[1].start_time_unix_nano):
            children[span.parent_span_id if span.parent_span_id in known else b""].append((service, span))

        def lines(parent: bytes, depth: int) -> list[str]:
            rows: list[str] = []
            below = children[parent]
            if any(span.name.startswith(f"{semconv.SPAN_JUDGE} ") for _, span in below):
                below = sorted(below, key=lambda item: item[1].name)  # judges start together
            for service, span in below:
                kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
                rows += [f"{'  ' * depth}{service} {kind} {span.name}", *lines(span.span_id, depth + 1)]
            return rows

        return "\n".join(lines(b"", 0))

    def named(self, name: str, kind: str) -> list[Span]:
        return [span for _, span in self.spans if span.name == name and Span.SpanKind.Name(span.kind).endswith(kind)]


def attributes(of: Span | Span.Event) -> dict[str, object]:
    values: dict[str, object] = {}
    for item in of.attributes:
        field = item.value.WhichOneof("value")
        if field == "array_value":
            values[item.key] = [entry.string_value for entry in item.value.array_value.values]
        elif field is not None:
            values[item.key] = getattr(item.value, field)
    return values


async def large(exchange: Exchange) -> None:
    """Answers questions, and judges with a Yes of probability 0.8."""
    if exchange.request.body.get("top_logprobs"):
        alternatives = [{"token": "Yes", "logprob": math.log(0.8)}, {"token": "No", "logprob": math.log(0.2)}]
        token = {"token": "Yes", "logprob": math.log(0.8), "top_logprobs": alternatives}
        await exchange.start()
        choice = {"index": 0, "delta": {"content": "Yes"}, "finish_reason": None, "logprobs": {"content": [token]}}
        end: dict[str, object] = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
        await exchange.event({"id": "judge-1", "model": "large", "choices": [choice]})
        await exchange.event({"id": "judge-1", "model": "large", "choices": [end]})
        await exchange.event("[DONE]")
        await exchange.end()
    else:
        await answers(*ANSWER, logprob=-0.1)(exchange)


async def answered(tmp_path: Path, receiver: OtlpReceiver, *, extra: dict[str, str] | None = None) -> tuple[Completed, list[str]]:
    """Runs one request that escalates once and is then the best seen. Returns its completion and the upstreams' trace headers."""
    judges = [{"kind": "checks"}, {"kind": "llm", "model": "large", "style": "yes_no"}]
    async with FakeUpstream(answers(*ANSWER, logprob=-0.3)) as small, FakeUpstream(default=large) as strong:
        urls = {"small": small.base_url, "large": strong.base_url}
        config = await asyncio.to_thread(write_config, tmp_path, models=urls, judge={"judges": judges, "early_stop": False})
        environ = process_environ() | overrides(telemetry__otlp_endpoint=receiver.endpoint, telemetry__metric_interval_ms=200)
        async with (
            run_suite(config, environ=environ | (extra or {})) as addresses,
            EmafusionClient(cascade=addresses.cascade) as client,
        ):
            question = replace(Question.of(QUESTION), accept_threshold=1.0)
            async with aclosing(client.stream(question, timeout_s=60)) as stream:
                events = [event async for event in stream]
        completed = events[-1]
        assert isinstance(completed, Completed)
        return completed, [request.headers.get("traceparent", "") for request in (*small.requests, *strong.requests)]


async def received(receiver: OtlpReceiver, trace_id: str) -> Told:
    """The whole trace; the processes have flushed what they had when they ended."""
    return Told([(service, span) for service, span in receiver.spans if span.trace_id.hex() == trace_id])


async def test_one_request_is_one_trace_over_three_processes(tmp_path: Path) -> None:
    async with receive_otlp() as receiver:
        completed, traceparents = await answered(tmp_path, receiver)
        told = await received(receiver, completed.completion.trace_id)
    assert told.tree == EXPECTED
    assert {header.split("-")[1] for header in traceparents} == {completed.completion.trace_id}
    chat_spans = {span.span_id.hex() for _, span in told.spans if span.name.startswith("chat ")}
    assert {header.split("-")[2] for header in traceparents} == chat_spans


async def test_spans_carry_what_an_audit_needs_and_no_text(tmp_path: Path) -> None:
    async with receive_otlp() as receiver:
        completed, _ = await answered(tmp_path, receiver)
        told = await received(receiver, completed.completion.trace_id)
    (small,) = told.named("chat small", "CLIENT")
    seen = attributes(small)
    assert seen[semconv.GEN_AI_OPERATION_NAME] == "chat"
    assert seen[semconv.GEN_AI_REQUEST_MODEL] == "small"
    assert seen[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] == len(ANSWER)
    assert seen[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == ["stop"]
    assert (seen[semconv.EMAFUSION_CASCADE_TIER], seen[semconv.EMAFUSION_CASCADE_ATTEMPT]) == (0, 0)
    (server,) = told.named("emafusion.cascade.v1.CascadeService/StreamComplete", "SERVER")
    (escalated,) = [event for event in server.events if event.name == semconv.EVENT_CASCADE_ESCALATED]
    why = attributes(escalated)
    assert why[semconv.EMAFUSION_CASCADE_REASON] == "low_confidence"
    assert why[semconv.EMAFUSION_CASCADE_THRESHOLD] == 1.0
    assert 0.0 < float(str(why[semconv.EMAFUSION_CASCADE_CONFIDENCE])) < 1.0
    for judge in ("checks", "llm"):
        for span in told.named(f"judge {judge}", "INTERNAL"):
            (verdict,) = [event for event in span.events if event.name == semconv.EVENT_GEN_AI_EVALUATION_RESULT]
            said = attributes(verdict)
            assert said[semconv.GEN_AI_EVALUATION_NAME] == judge
            assert 0.0 <= float(str(said[semconv.GEN_AI_EVALUATION_SCORE_VALUE])) <= 1.0
    everything = "".join(str(span) for _, span in receiver.spans) + "".join(str(metric) for _, metric in receiver.metrics)
    for word in ("zyxomorphic", "gribble", "quixotane"):
        assert word not in everything


async def test_metrics_count_tokens_cost_attempts_and_escalations(tmp_path: Path) -> None:
    async with receive_otlp() as receiver:
        await answered(tmp_path, receiver)
    names = {metric.name for _, metric in receiver.metrics}
    assert names >= {
        semconv.METRIC_GEN_AI_TOKEN_USAGE,
        semconv.METRIC_GEN_AI_OPERATION_DURATION,
        semconv.METRIC_GEN_AI_TIME_TO_FIRST_CHUNK,
        semconv.METRIC_PROVIDER_COST,
        semconv.METRIC_CASCADE_ATTEMPTS,
        semconv.METRIC_CASCADE_ESCALATIONS,
        semconv.METRIC_CASCADE_COST,
        semconv.METRIC_CASCADE_TOKENS,
        semconv.METRIC_RPC_SERVER_CALL_DURATION,
    }
    escalations = [metric for _, metric in receiver.metrics if metric.name == semconv.METRIC_CASCADE_ESCALATIONS][-1]
    (point,) = escalations.sum.data_points
    labels = {item.key: item.value.string_value for item in point.attributes}
    assert labels[semconv.EMAFUSION_CASCADE_REASON] == "low_confidence"
    assert point.as_int == 1


async def test_text_is_in_spans_only_when_the_operator_turns_it_on(tmp_path: Path) -> None:
    async with receive_otlp() as receiver:
        completed, _ = await answered(tmp_path, receiver, extra=overrides(telemetry__record_text="true"))
        told = await received(receiver, completed.completion.trace_id)
    (small,) = told.named("chat small", "CLIENT")
    assert "zyxomorphic" in str(attributes(small)[semconv.GEN_AI_INPUT_MESSAGES])
    assert "quixotane" in str(attributes(small)[semconv.GEN_AI_OUTPUT_MESSAGES])
