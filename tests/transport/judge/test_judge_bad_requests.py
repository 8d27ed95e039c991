"""Requests that are wrong: INVALID_ARGUMENT with the field's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from emafusion.common.v1 import chat_pb2
from emafusion.judge.v1 import judge_service_pb2

from servicekit.errors import RemoteStatus, read_status
from tests.support.judge_server import judge_request, judge_settings, judging

Request = judge_service_pb2.JudgeRequest
Change = Callable[[Request], object]


def _add_candidates(request: Request) -> None:
    request.candidates.extend(judge_service_pb2.Candidate(id=f"x{i}") for i in range(17))


def _add_peers(request: Request) -> None:
    request.peers.extend(judge_service_pb2.Candidate(id=f"p{i}") for i in range(17))


def _set(path: str, value: object) -> Change:
    """Sets a field such as `panel.accept_threshold` or `candidates.1.id`."""

    def change(request: Request) -> None:
        *parents, name = path.split(".")
        target: Any = request
        for part in parents:
            target = target[int(part)] if part.isdigit() else getattr(target, part)
        setattr(target, name, value)

    return change


BAD: list[tuple[str, Change, str, str]] = [
    ("no messages", lambda r: r.ClearField("messages"), "messages", "INVALID_FIELD"),
    ("no role", _set("messages.0.role", 0), "messages[0].role", "INVALID_FIELD"),
    ("unknown role", _set("messages.0.role", 9), "messages[0].role", "INVALID_FIELD"),
    ("empty content", _set("messages.0.content", ""), "messages[0].content", "INVALID_FIELD"),
    ("long content", _set("messages.0.content", "x" * 1_001), "messages[0].content", "INVALID_FIELD"),
    ("control characters", _set("messages.0.content", "a\x00b"), "messages[0].content", "INVALID_FIELD"),
    ("last turn not the user's", _set("messages.0.role", 3), "messages[0].role", "INVALID_FIELD"),
    ("no candidates", lambda r: r.ClearField("candidates"), "candidates", "INVALID_FIELD"),
    ("too many candidates", _add_candidates, "candidates", "INVALID_FIELD"),
    ("too many peers", _add_peers, "peers", "INVALID_FIELD"),
    ("no id", _set("candidates.2.id", ""), "candidates[2].id", "INVALID_FIELD"),
    ("long id", _set("candidates.1.id", "x" * 65), "candidates[1].id", "INVALID_FIELD"),
    ("control characters in id", _set("candidates.1.id", "a\x07"), "candidates[1].id", "INVALID_FIELD"),
    ("id twice", _set("candidates.2.id", "c0"), "candidates[2].id", "INVALID_FIELD"),
    ("id of a candidate and a peer", lambda r: r.peers.add(id="c1"), "peers[0].id", "INVALID_FIELD"),
    ("long text", _set("candidates.2.text", "x" * 5_001), "candidates[2].text", "INVALID_FIELD"),
    ("long model", _set("candidates.0.model", "x" * 129), "candidates[0].model", "INVALID_FIELD"),
    ("unknown finish reason", _set("candidates.0.finish_reason", 99), "candidates[0].finish_reason", "INVALID_FIELD"),
    ("no logprob tokens", _set("candidates.0.logprobs.tokens", 0), "candidates[0].logprobs.tokens", "INVALID_FIELD"),
    ("threshold not finite", _set("panel.accept_threshold", math.nan), "panel.accept_threshold", "INVALID_FIELD"),
    ("threshold infinite", _set("panel.accept_threshold", math.inf), "panel.accept_threshold", "INVALID_FIELD"),
    ("threshold too high", _set("panel.accept_threshold", 1.01), "panel.accept_threshold", "INVALID_FIELD"),
    ("threshold too low", _set("panel.accept_threshold", -0.01), "panel.accept_threshold", "INVALID_FIELD"),
    ("negative cost", _set("panel.cost_max_nano_usd", -1), "panel.cost_max_nano_usd", "INVALID_FIELD"),
    ("unknown judge", lambda r: r.panel.judges.extend(["checks", "cheks"]), "panel.judges[1]", "UNKNOWN_JUDGE"),
    ("judge twice", lambda r: r.panel.judges.extend(["checks", "checks"]), "panel.judges[1]", "INVALID_FIELD"),
    ("too many judges", lambda r: r.panel.judges.extend(["checks"] * 33), "panel.judges", "INVALID_FIELD"),
    ("unknown form", _set("output.kind", 77), "output.kind", "INVALID_FIELD"),
    ("schema without JSON", _set("output.json_schema", "{}"), "output.json_schema", "INVALID_FIELD"),
    ("unusable schema", lambda r: r.output.CopyFrom(_json('{"type": 5}')), "output.json_schema", "INVALID_FIELD"),
    ("schema that is no JSON", lambda r: r.output.CopyFrom(_json("{")), "output.json_schema", "INVALID_FIELD"),
    ("schema too long", lambda r: r.output.CopyFrom(_json(" " * 70_000)), "output.json_schema", "INVALID_FIELD"),
]


def _json(schema: str) -> chat_pb2.OutputContract:
    return chat_pb2.OutputContract(kind=chat_pb2.OutputContract.KIND_JSON, json_schema=schema)


def _bad(change: Change) -> Request:
    request = judge_request("one", "two", "three")
    change(request)
    return request


@pytest.mark.parametrize(("change", "field", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
async def test_bad_requests(tmp_path: Path, change: Change, field: str, reason: str) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Judge(_bad(change))
    status: RemoteStatus = read_status(caught.value)
    assert status.code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in [violation.field for violation in status.field_violations]
    assert status.reason == reason


async def test_the_streams_fields_have_their_prefix(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        bad = judge_service_pb2.StreamJudgeRequest(request=_bad(_set("candidates.2.id", "")))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [message async for message in stub.StreamJudge(bad)]
        assert [violation.field for violation in read_status(caught.value).field_violations] == ["request.candidates[2].id"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [message async for message in stub.StreamJudge(judge_service_pb2.StreamJudgeRequest())]
        assert [violation.field for violation in read_status(caught.value).field_violations] == ["request"]


async def test_an_unknown_judge_gets_the_nearest_name(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Judge(_bad(lambda request: request.panel.judges.append("cheks")))
    assert "nearest: checks" in (caught.value.details() or "")


async def test_errors_never_quote_the_conversation(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Judge(_bad(_set("messages.0.content", "my secret plan\x00")))
    assert "secret" not in str(caught.value)
