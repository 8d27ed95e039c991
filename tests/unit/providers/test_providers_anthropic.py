"""The Messages API adapter against a real HTTP server on the loopback interface."""

from __future__ import annotations

import pytest

from providers.errors import (
    AuthenticationFailed,
    ContextTooLong,
    MalformedResponse,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRejected,
    ServerFault,
)
from providers.port import ChatMessage, ChatRequest, Finished, FinishReason, Role, Usage
from tests.support.chat_models import KEY, anthropic_dialect, ask, model_at
from tests.support.models import collect
from tests.support.upstream import Behaviour, FakeUpstream, fails, sends_events


def start(**usage: int) -> tuple[str, object]:
    message: dict[str, object] = {
        "id": "msg_1",
        "type": "message",
        "model": "claude-x",
        "content": [],
        "usage": {"output_tokens": 1, **usage},
    }
    return "message_start", {"type": "message_start", "message": message}


def text(piece: str) -> tuple[str, object]:
    return "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}


def stop(reason: str, output_tokens: int) -> tuple[str, object]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return "message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}}


OVER: tuple[str, object] = ("message_stop", {"type": "message_stop"})
PING: tuple[str, object] = ("ping", {"type": "ping"})


async def collected(behaviour: Behaviour, request: ChatRequest | None = None) -> tuple[str, Finished]:
    async with FakeUpstream(behaviour) as upstream, model_at(upstream, dialect=anthropic_dialect) as model:
        return await collect(model.stream(request or ask()))


async def test_reads_an_answer_with_its_tokens() -> None:
    thinking = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}
    events = (
        start(input_tokens=10, cache_read_input_tokens=6, cache_creation_input_tokens=4),
        PING,
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", thinking),
        text("The sky "),
        text("is blue."),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("brand_new", {"type": "brand_new", "anything": [1]}),
        stop("end_turn", 15),
        OVER,
    )
    answer, finished = await collected(sends_events(*events))
    assert answer == "The sky is blue."
    assert finished.finish_reason is FinishReason.STOP
    assert finished.usage == Usage(input_tokens=20, output_tokens=15, cached_input_tokens=6)
    assert finished.cost_nano_usd == 20 * 2 + 15 * 6
    assert (finished.response_id, finished.response_model) == ("msg_1", "claude-x")


async def test_sends_what_was_asked() -> None:
    messages = (
        ChatMessage(Role.SYSTEM, "Be brief."),
        ChatMessage(Role.USER, "Hi"),
        ChatMessage(Role.ASSISTANT, "Hello"),
        ChatMessage(Role.SYSTEM, "Be kind."),
        ChatMessage(Role.USER, "Bye"),
    )
    request = ChatRequest(messages=messages, max_output_tokens=9, temperature=0.5, top_p=0.9, seed=3, stop=("END",), logprobs=True)
    events = (start(input_tokens=1), stop("end_turn", 1), OVER)
    async with FakeUpstream(sends_events(*events)) as upstream, model_at(upstream, dialect=anthropic_dialect) as model:
        await collect(model.stream(request))
    sent = upstream.requests[0]
    assert sent.path == "/v1/messages"
    assert sent.headers["x-api-key"] == KEY
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in sent.headers
    assert sent.body == {
        "model": "small-upstream",
        "max_tokens": 9,
        "system": "Be brief.\n\nBe kind.",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}],
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "stream": True,
    }


async def test_top_p_travels_where_temperature_is_at_its_default() -> None:
    events = (start(input_tokens=1), stop("end_turn", 1), OVER)
    async with FakeUpstream(sends_events(*events)) as upstream, model_at(upstream, dialect=anthropic_dialect) as model:
        await collect(model.stream(ask(temperature=1.5, top_p=0.9)))
    assert upstream.requests[0].body["top_p"] == 0.9
    assert "temperature" not in upstream.requests[0].body


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("refusal", FinishReason.CONTENT_FILTER),
        ("pause_turn", FinishReason.UNKNOWN),
    ],
)
async def test_stop_reasons(reason: str, expected: FinishReason) -> None:
    _, finished = await collected(sends_events(start(input_tokens=1), text("a"), stop(reason, 1), OVER))
    assert finished.finish_reason is expected


async def test_missing_usage_is_estimated() -> None:
    _, finished = await collected(sends_events(text("abcdefgh"), stop("end_turn", 2)))
    assert finished.usage.estimated


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("overloaded_error", "Overloaded", Overloaded),
        ("rate_limit_error", "", RateLimited),
        ("api_error", "", ServerFault),
        ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
        ("invalid_request_error", "messages: at least one", RequestRejected),
        ("new_error", "", ServerFault),
    ],
)
async def test_an_error_event_is_raised(kind: str, message: str, expected: type[ProviderError]) -> None:
    error = ("error", {"type": "error", "error": {"type": kind, "message": message}})
    with pytest.raises(ProviderError) as caught:
        await collected(sends_events(start(input_tokens=1), text("par"), error))
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (529, "overloaded_error", Overloaded),
        (429, "rate_limit_error", RateLimited),
        (401, "authentication_error", AuthenticationFailed),
        (403, "permission_error", AuthenticationFailed),
        (413, "request_too_large", ContextTooLong),
        (404, "not_found_error", RequestRejected),
        (500, "api_error", ServerFault),
    ],
)
async def test_http_errors(status: int, kind: str, expected: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        await collected(fails(status, error={"type": kind, "message": "no"}))
    assert type(caught.value) is expected
    assert caught.value.status_code == status


async def test_an_end_without_a_stop_reason_is_malformed() -> None:
    with pytest.raises(MalformedResponse, match="without a stop reason"):
        await collected(sends_events(start(input_tokens=1), text("par"), OVER))


async def test_garbage_is_malformed() -> None:
    with pytest.raises(MalformedResponse):
        await collected(sends_events(("message_start", {"no": "type"})))
