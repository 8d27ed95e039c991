"""Commands as processes against servers in this process: what they print where, and how they end."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import grpc
from emafusion.cascade.v1 import cascade_service_pb2 as cascade
from emafusion.cascade.v1 import event_pb2

from tests.support import client_fakes
from tests.support.client_fakes import Failure, bad_request, serving, try_later
from tests.support.command_line import Ended, minimal_configuration

Response = cascade.StreamCompleteResponse


def _accepted() -> list[Response]:
    return [
        Response(routed=event_pb2.Routed(decision_id="d1", plan=client_fakes.plan(), threshold=0.7, policy="balanced")),
        Response(attempt_started=event_pb2.AttemptStarted(model="small")),
        Response(judged=event_pb2.Judged(verdict=client_fakes.verdict(0.8), accepted=True)),
        Response(delta=event_pb2.Delta(sequence=1, text="Paris")),
        Response(committed=event_pb2.Committed(through_sequence=1)),
        Response(completed=event_pb2.Completed(completion=client_fakes.completion("Paris"))),
    ]


async def _run(*arguments: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "emafusion_cli", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def test_ask_tells_events_apart_from_the_answer() -> None:
    async with serving() as fakes:
        fakes.cascade.events = _accepted()
        ended = await _run("ask", "capital of France?", "--target", fakes.target, "--threshold", "0.7", "--max-cost", "0.001")
        request = fakes.cascade.requests[0].request
    assert (ended.exit_code, ended.out) == (0, "Paris\n")
    assert [line.split()[0] for line in ended.err.splitlines()] == ["routed", "attempt", "judged", "commit", "done"]
    assert (request.accept_threshold, request.ceilings.cost_max_nano_usd) == (0.7, 1_000_000)


async def test_ask_prints_one_json_object_per_event() -> None:
    async with serving() as fakes:
        fakes.cascade.events = _accepted()
        ended = await _run("ask", "hi", "--json", "--target", fakes.target, "--models", "small, large", "--delivery", "speculative")
        request = fakes.cascade.requests[0]
    assert [json.loads(line)["event"] for line in ended.out.splitlines()][-1] == "completed"
    assert (list(request.request.fixed_plan), request.delivery) == (["small", "large"], event_pb2.DELIVERY_MODE_SPECULATIVE)


async def test_errors_are_told_with_their_details_and_an_exit_code() -> None:
    async with serving() as fakes:
        fakes.cascade.failures = [
            Failure(grpc.StatusCode.INVALID_ARGUMENT, "bad request", bad_request("request.policy", "`x` is not configured")),
            Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", try_later(2)),
        ]
        invalid = await _run("ask", "hi", "--target", fakes.target)
        busy = await _run("ask", "hi", "--target", fakes.target)
        fakes.cascade.events, fakes.cascade.hang = _accepted()[:1], True
        late = await _run("ask", "hi", "--target", fakes.target, "--timeout", "0.5")
    assert (invalid.exit_code, busy.exit_code, late.exit_code) == (2, 1, 4)
    assert "bad request [INVALID_FIELD]\n  request.policy: `x` is not configured" in invalid.err
    assert "too many requests [OVERLOADED]\nTry again in 2 seconds." in busy.err
    assert "--timeout" in late.err
    assert not any("Traceback" in ended.err for ended in (invalid, busy, late))


async def test_an_unfinished_stream_is_no_answer() -> None:
    async with serving() as fakes:
        fakes.cascade.events = _accepted()[:-1]
        ended = await _run("ask", "hi", "--target", fakes.target)
    assert (ended.exit_code, ended.out) == (3, "")
    assert "without its last event" in ended.err


async def test_route_judge_and_feedback_print_what_the_services_say(tmp_path: Path) -> None:
    async with serving() as fakes:
        port = int(fakes.target.rpartition(":")[2])
        config = await asyncio.to_thread(minimal_configuration, tmp_path, port=port)
        routed = await _run("route", "hi", "--config", str(config))
        judged = await _run("judge", "hi", "Paris", "--config", str(config))
        told = await _run("feedback", "d1", "--wrong", "--config", str(config))
        traced = await _run("trace", "d1", "--config", str(config))
    assert "route: taxonomy, category clear" in routed.out
    assert "without large: disabled no key" in routed.out
    assert "0.75" in judged.out
    assert "llm timed_out" in judged.out
    assert "recorded for d1: correct=False" in told.out
    assert "No spans are known for it" in traced.out
    assert "decision d1: completed" in traced.out


async def test_route_explained_shows_the_numbers_of_every_model() -> None:
    async with serving() as fakes:
        explained = await _run("route", "hi", "--explain", "--target", fakes.target)
        asked = fakes.router.requests[-1]
        as_json = await _run("route", "hi", "--explain", "--json", "--target", fakes.target)
    assert asked.explain
    assert "measured success rates of the request's category" in explained.out
    lines = {line.split()[1]: line.split() for line in explained.out.splitlines() if " small " in line or " large " in line}
    assert lines["small"][:9] == ["0", "small", "0.40", "0.10", "none", "0.50", "0.00", "77", "$0"]
    assert lines["large"][:10] == ["–", "large", "0.90", "0.05", "1,200", "0.91", "0.00", "0", "$0", "disabled:"]
    assert "geography  0.90        other 0.10" in explained.out
    assert json.loads(as_json.out)["plan"]["weighed"][0]["observations"] == 1200


async def test_what_keys_use_is_shown_with_their_limits() -> None:
    async with serving() as fakes:
        ended = await _run("keys", "usage", "--target", fakes.target)
        as_json = await _run("keys", "usage", "--json", "--target", fakes.target)
    (web,) = [line for line in ended.out.splitlines() if line.startswith(" key:web")]
    assert web.split() == ["key:web", "3", "of", "60", "0", "1", "2026-11-22", "7", "1,234", "$0.5000", "of", "$2.0000", "$0"]
    assert [(quota["scope"], quota["requests_per_minute"]) for quota in json.loads(as_json.out)] == [("key:web", 60), ("service", None)]
