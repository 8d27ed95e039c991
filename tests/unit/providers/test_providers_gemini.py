"""The Gemini adapter against a real HTTP server on the loopback interface."""

from __future__ import annotations

import pytest

from providers.errors import (
    AuthenticationFailed,
    ContentPolicyViolation,
    ContextTooLong,
    MalformedResponse,
    ProviderError,
    RateLimited,
    RequestRejected,
)
from providers.port import ChatMessage, ChatRequest, Chunk, Finished, FinishReason, Role, TokenLogprob, Usage
from tests.support.chat_models import KEY, ask, card, gemini_dialect, model_at
from tests.support.models import collect
from tests.support.upstream import Behaviour, FakeUpstream, fails, sends_events


def frame(*parts: dict[str, object], finish: str | None = None, **extra: object) -> tuple[str, object]:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return "", {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1", **extra}


async def collected(behaviour: Behaviour, request: ChatRequest | None = None) -> tuple[str, Finished]:
    async with FakeUpstream(behaviour) as upstream, model_at(upstream, dialect=gemini_dialect) as model:
        return await collect(model.stream(request or ask()))


async def test_reads_an_answer_with_its_tokens() -> None:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "cachedContentTokenCount": 2}
    events = (
        frame({"text": "secret thought", "thought": True}, usageMetadata={"promptTokenCount": 9}),
        frame({"text": "The sky "}, {"text": "is "}),
        frame({"text": "blue."}, finish="STOP", usageMetadata=usage),
    )
    text, finished = await collected(sends_events(*events))
    assert text == "The sky is blue."
    assert finished.finish_reason is FinishReason.STOP
    assert finished.usage == Usage(input_tokens=9, output_tokens=7, cached_input_tokens=2)
    assert (finished.response_id, finished.response_model) == ("r1", "gemini-x")


async def test_sends_what_was_asked() -> None:
    request = ChatRequest(
        messages=(ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Hi"), ChatMessage(Role.ASSISTANT, "Hello")),
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        seed=3,
        stop=("END",),
        logprobs=True,
        top_logprobs=2,
    )
    odd = card(upstream_model="models/gemini x/../secret")
    async with (
        FakeUpstream(sends_events(frame({"text": "ok"}, finish="STOP"))) as upstream,
        model_at(upstream, dialect=gemini_dialect, model_card=odd) as model,
    ):
        await collect(model.stream(request))
    sent = upstream.requests[0]
    assert sent.path == "/v1/models/gemini%20x%2F..%2Fsecret:streamGenerateContent?alt=sse"
    assert sent.headers["x-goog-api-key"] == KEY
    assert KEY not in sent.path
    assert sent.body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Hello"}]}],
        "generationConfig": {
            "maxOutputTokens": 9,
            "temperature": 0.5,
            "topP": 0.9,
            "candidateCount": 1,
            "stopSequences": ["END"],
            "seed": 3,
            "responseLogprobs": True,
            "logprobs": 2,
        },
    }


async def test_log_probabilities() -> None:
    result = {
        "chosenCandidates": [{"token": "Yes", "logProbability": -0.5}, {"token": "!", "logProbability": -2.0}],
        "topCandidates": [{"candidates": [{"token": "Yes", "logProbability": -0.5}, {"token": "No", "logProbability": -1.0}]}],
    }
    candidate = {"content": {"parts": [{"text": "Yes!"}]}, "finishReason": "STOP", "logprobsResult": result}
    events = sends_events(("", {"candidates": [candidate]}))
    async with FakeUpstream(events) as upstream, model_at(upstream, dialect=gemini_dialect) as model:
        first = await anext(stream := model.stream(ask(logprobs=True)))
        await stream.aclose()
    assert first == Chunk("Yes!", (TokenLogprob("Yes", -0.5, (("Yes", -0.5), ("No", -1.0))), TokenLogprob("!", -2.0)))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("OTHER", FinishReason.UNKNOWN),
    ],
)
async def test_finish_reasons(reason: str, expected: FinishReason) -> None:
    _, finished = await collected(sends_events(("", {"candidates": [{"finishReason": reason}]})))
    assert finished.finish_reason is expected


async def test_a_blocked_prompt() -> None:
    with pytest.raises(ContentPolicyViolation):
        await collected(sends_events(("", {"promptFeedback": {"blockReason": "SAFETY"}})))


async def test_an_end_without_a_finish_reason_is_malformed() -> None:
    with pytest.raises(MalformedResponse, match="without a finish reason"):
        await collected(sends_events(frame({"text": "par"})))


@pytest.mark.parametrize(
    ("status", "error", "expected", "retry_after_s"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "The input token count (9) exceeds the maximum"}, ContextTooLong, None),
        (400, {"status": "INVALID_ARGUMENT", "message": "bad"}, RequestRejected, None),
        (403, {"status": "PERMISSION_DENIED", "message": "no"}, AuthenticationFailed, None),
        (429, {"status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x"}, {"retryDelay": "17.5s"}]}, RateLimited, 17.5),
    ],
)
async def test_http_errors(status: int, error: object, expected: type[ProviderError], retry_after_s: float | None) -> None:
    with pytest.raises(ProviderError) as caught:
        await collected(fails(status, error=error))
    assert type(caught.value) is expected
    assert caught.value.retry_after_s == retry_after_s


async def test_an_error_in_the_stream() -> None:
    with pytest.raises(RateLimited):
        await collected(sends_events(frame({"text": "par"}), ("", {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}})))


async def test_garbage_is_malformed() -> None:
    with pytest.raises(MalformedResponse):
        await collected(sends_events(("", {"candidates": 3})))
