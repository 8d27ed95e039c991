"""The chat-completions adapter against a real HTTP server on the loopback interface."""

from __future__ import annotations

import json

import pytest

from providers.errors import (
    AuthenticationFailed,
    ContentPolicyViolation,
    ContextTooLong,
    MalformedResponse,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFault,
)
from providers.openai import OpenAIDialect
from providers.port import ChatEvent, ChatMessage, ChatRequest, Chunk, Finished, FinishReason, Role, Usage
from tests.support.chat_models import KEY, ask, card, model_at
from tests.support.models import collect
from tests.support.upstream import Behaviour, FakeUpstream, answers, chunk, fails, sends_events, sends_raw, usage_chunk


async def events_of(behaviour: Behaviour, request: ChatRequest | None = None) -> list[ChatEvent]:
    async with FakeUpstream(behaviour) as upstream, model_at(upstream) as model:
        return [event async for event in model.stream(request or ask())]


async def test_streams_pieces_then_the_end_with_usage_and_cost() -> None:
    events = await events_of(answers("The ", "sky ", "is blue.", input_tokens=20, output_tokens=5))
    assert events[:-1] == [Chunk("The "), Chunk("sky "), Chunk("is blue.")]
    assert events[-1] == Finished(
        finish_reason=FinishReason.STOP,
        usage=Usage(input_tokens=20, output_tokens=5),
        cost_nano_usd=20 * 2 + 5 * 6,
        response_id="chatcmpl-1",
        response_model="fake-model",
    )


async def test_sends_what_was_asked() -> None:
    request = ChatRequest(
        messages=(ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Hi"), ChatMessage(Role.ASSISTANT, "Hello")),
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=3,
        stop=("END",),
        logprobs=True,
        top_logprobs=2,
        labels=(("tier", 1),),
    )
    async with FakeUpstream(answers("ok")) as upstream, model_at(upstream) as model:
        await collect(model.stream(request))
    sent = upstream.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body == {
        "model": "small-upstream",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
        ],
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["END"],
        "logprobs": True,
        "top_logprobs": 2,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_model_with_prefill_is_told_to_continue_the_last_turn() -> None:
    conversation = (ChatMessage(Role.USER, "Hi"), ChatMessage(Role.ASSISTANT, "Hello"))
    can = card(capabilities=frozenset({"prefill"}))
    async with FakeUpstream(answers(" you"), answers("ok")) as upstream, model_at(upstream, model_card=can) as model:
        await collect(model.stream(ChatRequest(messages=conversation, max_output_tokens=7)))
        await collect(model.stream(ChatRequest(messages=conversation[:1], max_output_tokens=7)))
    continued, fresh = (request.body for request in upstream.requests)
    assert (continued["continue_final_message"], continued["add_generation_prompt"]) == (True, False)
    assert not {"continue_final_message", "add_generation_prompt"} & set(fresh)


async def test_leaves_out_what_the_model_cannot_do() -> None:
    plain = card(capabilities=frozenset[str](), max_output_tokens=5)
    async with FakeUpstream(answers("ok", logprob=-0.1)) as upstream, model_at(upstream, model_card=plain) as model:
        events = [event async for event in model.stream(ask(logprobs=True, seed=1))]
    body = upstream.requests[0].body
    assert "logprobs" not in body
    assert "top_logprobs" not in body
    assert "seed" not in body
    assert body["max_tokens"] == 5
    assert events[0] == Chunk("ok")


def test_extra_body_changes_sampling_but_not_what_makes_the_request_ours() -> None:
    extra = {"temperature": 1.0, "top_k": 20, "model": "other", "stream": False}
    dialect = OpenAIDialect(card(), api_key=None, extra_body=extra, token_limit_field="max_completion_tokens")
    call = dialect.call(ask())
    assert call.body["temperature"] == 1.0
    assert call.body["top_k"] == 20
    assert call.body["model"] == "small-upstream"
    assert call.body["stream"] is True
    assert call.body["max_completion_tokens"] == 64
    assert "max_tokens" not in call.body
    assert "authorization" not in call.headers


async def test_no_alternatives_are_asked_for_as_one() -> None:
    async with FakeUpstream(answers("ok")) as upstream, model_at(upstream) as model:
        await collect(model.stream(ask(logprobs=True, top_logprobs=0)))
    assert upstream.requests[0].body["top_logprobs"] == 1  # llama.cpp sends no log-probabilities at all for 0


async def test_log_probabilities_when_asked() -> None:
    events = await events_of(answers("Yes", ".", logprob=-0.25), ask(logprobs=True, top_logprobs=1))
    first = events[0]
    assert isinstance(first, Chunk)
    assert first.logprobs[0].token == "Yes"
    assert first.logprobs[0].logprob == -0.25
    assert first.logprobs[0].alternatives == (("Yes", -0.25),)
    without = await events_of(answers("Yes", logprob=-0.25), ask(logprobs=True))
    assert isinstance(without[0], Chunk)
    assert without[0].logprobs[0].alternatives == ()


async def test_null_log_probability_is_a_finite_minimum() -> None:
    frame = chunk("x")
    frame["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": None}]}  # type: ignore[index]  # pyright: ignore[reportIndexIssue] - a plain JSON tree
    events = await events_of(sends_events(("", frame), ("", chunk(finish_reason="stop"))), ask(logprobs=True))
    assert isinstance(events[0], Chunk)
    assert events[0].logprobs[0].logprob == -9_999.0


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("tool_calls", FinishReason.UNKNOWN),
    ],
)
async def test_finish_reasons(reason: str, expected: FinishReason) -> None:
    finished = (await events_of(answers("a", finish_reason=reason)))[-1]
    assert isinstance(finished, Finished)
    assert finished.finish_reason is expected


async def test_usage_is_estimated_when_none_is_reported() -> None:
    finished = (await events_of(answers("abcdefgh", "ij", usage=False)))[-1]
    assert isinstance(finished, Finished)
    assert finished.usage.estimated
    assert finished.usage.output_tokens == 3
    assert finished.usage.input_tokens > 0
    assert finished.cost_nano_usd == finished.usage.input_tokens * 2 + 3 * 6


async def test_estimated_output_counts_tokens_that_came_with_log_probabilities() -> None:
    finished = (await events_of(answers("abcdefgh", "ij", usage=False, logprob=-0.1), ask(logprobs=True)))[-1]
    assert isinstance(finished, Finished)
    assert finished.usage.output_tokens == 2


async def test_done_is_optional_after_a_finish_reason() -> None:
    text, finished = await _collected(answers("hi", done=False))
    assert text == "hi"
    assert finished.finish_reason is FinishReason.STOP


async def test_a_finish_reason_is_optional_before_done() -> None:
    text, finished = await _collected(sends_events(("", chunk("hi")), ("", "[DONE]")))
    assert text == "hi"
    assert finished.finish_reason is FinishReason.UNKNOWN


async def test_usage_in_the_same_chunk_as_the_finish_reason() -> None:
    last = chunk(finish_reason="stop", usage={"prompt_tokens": 4, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 3}})
    _, finished = await _collected(sends_events(("", chunk("hi")), ("", last)))
    assert finished.usage == Usage(input_tokens=4, output_tokens=1, cached_input_tokens=3)


async def test_tolerates_oddities_of_servers() -> None:
    frames: list[tuple[str, object]] = [
        ("", {"choices": [], "prompt_filter_results": []}),  # Azure
        ("", chunk(None, role="assistant")),  # a role only
        ("", {"id": None, "choices": [{"index": 0, "delta": {"content": None}}]}),
        ("", {"choices": [{"delta": {"content": "", "reasoning_content": "hm"}}]}),  # vLLM with reasoning
        ("ping", ""),
        ("", chunk("ok", usage=None)),
        ("", {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}),
        ("", usage_chunk(1, 1)),
    ]
    text, finished = await _collected(sends_events(*frames))
    assert text == "ok"
    assert finished.usage == Usage(input_tokens=1, output_tokens=1)


async def test_an_empty_answer_is_an_answer() -> None:
    text, finished = await _collected(answers())
    assert text == ""
    assert finished.finish_reason is FinishReason.STOP


async def test_comments_and_other_line_ends_are_understood() -> None:
    body = b": keep-alive\r\n\r\ndata: " + json.dumps(chunk("hi", finish_reason="stop")).encode() + b"\r\n\r\n"
    assert (await _collected(sends_raw(body)))[0] == "hi"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "boom", "type": "server_error", "code": None}, ServerFault),
        ({"message": "slow down", "code": 429}, RateLimited),
        ({"message": "busy", "type": "overloaded_error"}, Overloaded),
        ({"message": "no", "code": "content_policy_violation"}, ContentPolicyViolation),
        ({"message": "too long", "code": "context_length_exceeded"}, ContextTooLong),
        ("just a text", ServerFault),
    ],
)
async def test_an_error_inside_the_stream_is_raised(error: object, expected: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        await events_of(sends_events(("", chunk("par")), ("", {"error": error})))
    assert type(caught.value) is expected


async def test_vllm_error_object_in_the_stream() -> None:
    with pytest.raises(ContextTooLong):
        await events_of(sends_events(("", {"object": "error", "message": "maximum context length is 10", "code": 400})))


@pytest.mark.parametrize(
    "frame",
    [{"choices": "none"}, {"choices": [{"delta": {"content": 7}}]}, [1], "{", {"usage": {"prompt_tokens": "x"}}],
)
async def test_garbage_is_malformed(frame: object) -> None:
    with pytest.raises(MalformedResponse):
        await events_of(sends_events(("", frame)))


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4097 tokens.",
        "the request exceeds the available context size, try increasing it",
        "Requested tokens exceed context window of 4096",
    ],
)
async def test_context_errors_are_told_from_other_rejections(message: str) -> None:
    with pytest.raises(ContextTooLong):
        await events_of(fails(400, error={"message": message, "type": "invalid_request_error"}))


async def test_refused_credentials() -> None:
    with pytest.raises(AuthenticationFailed):
        await events_of(fails(401, error={"message": "Incorrect API key provided", "code": "invalid_api_key"}))


async def _collected(behaviour: Behaviour) -> tuple[str, Finished]:
    async with FakeUpstream(behaviour) as upstream, model_at(upstream) as model:
        return await collect(model.stream(ask()))
