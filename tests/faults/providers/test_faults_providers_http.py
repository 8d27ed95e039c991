"""A misbehaving provider, over real HTTP on the loopback interface: what each fault becomes."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime

import httpx
import pytest

from providers.errors import (
    AuthenticationFailed,
    ConnectionBroken,
    DeadlineReached,
    MalformedResponse,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    ServerFault,
)
from providers.failures import parse_retry_after
from providers.http import ANSWER_BYTES_BASE, ANSWER_BYTES_PER_TOKEN, HttpChatModel
from providers.patience import Timeouts
from providers.port import ChatRequest, Chunk
from tests.support.chat_models import KEY, PATIENT, PROMPT, ask, card, model_at, openai_dialect
from tests.support.models import collect
from tests.support.upstream import (
    Behaviour,
    Exchange,
    FakeUpstream,
    answers,
    answers_when,
    chunk,
    ends_after,
    fails,
    hangs,
    malformed_after,
    resets_after,
    sends_raw,
    stalls_after,
)

SHORT = 0.05


async def outcome(behaviour: Behaviour, *, timeouts: Timeouts = PATIENT, request: ChatRequest | None = None) -> tuple[str, ProviderError]:
    """The text that came, and the error after it."""
    pieces: list[str] = []
    async with FakeUpstream(behaviour) as upstream, model_at(upstream, timeouts=timeouts) as model:
        try:
            async for event in model.stream(request or ask()):
                assert isinstance(event, Chunk), "the stream ended as if all were well"
                pieces.append(event.text)
        except ProviderError as error:
            return "".join(pieces), error
    raise AssertionError("the stream ended without an error")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, MalformedResponse),
        (400, RequestRejected),
        (401, AuthenticationFailed),
        (402, RateLimited),
        (403, AuthenticationFailed),
        (404, RequestRejected),
        (408, ProviderTimeout),
        (422, RequestRejected),
        (429, RateLimited),
        (500, ServerFault),
        (502, ServerFault),
        (503, Overloaded),
        (504, ServerFault),
        (529, Overloaded),
    ],
)
async def test_status(status: int, expected: type[ProviderError]) -> None:
    _, error = await outcome(fails(status))
    assert type(error) is expected
    assert error.status_code == status
    assert error.model == "small"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:07 GMT", 0.0),
        ("999999999999", 86_400.0),
        ("9" * 400, 86_400.0),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)) == seconds


async def test_retry_after_reaches_the_error() -> None:
    _, error = await outcome(fails(429, retry_after="7"))
    assert error.retry_after_s == 7.0


async def test_stall_before_the_first_chunk() -> None:
    _, error = await outcome(hangs(), timeouts=Timeouts(first_chunk_s=SHORT))
    assert type(error) is ProviderTimeout
    assert "first chunk" in str(error)


async def test_stall_after_the_head_is_a_stall_before_the_first_chunk() -> None:
    text, error = await outcome(stalls_after(), timeouts=Timeouts(first_chunk_s=SHORT, idle_s=10.0))
    assert text == ""
    assert "first chunk" in str(error)


async def test_stall_in_mid_stream() -> None:
    text, error = await outcome(stalls_after("half"), timeouts=Timeouts(idle_s=SHORT))
    assert text == "half"
    assert type(error) is ProviderTimeout
    assert "further chunk" in str(error)


async def test_keep_alives_are_no_sign_of_life() -> None:
    async def pings(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event(chunk("half"))
        while not exchange.gone.is_set():
            await exchange.send(b": still here\n\ndata: {}\n\n")
            await asyncio.sleep(0.01)

    text, error = await outcome(pings, timeouts=Timeouts(idle_s=SHORT))
    assert text == "half"
    assert type(error) is ProviderTimeout


async def test_total_time() -> None:
    async def drips(exchange: Exchange) -> None:
        await exchange.start()
        while not exchange.gone.is_set():
            await exchange.event(chunk("x"))
            await asyncio.sleep(0.01)

    text, error = await outcome(drips, timeouts=Timeouts(total_s=SHORT))
    assert text.startswith("x")
    assert type(error) is ProviderTimeout
    assert "an end within" in str(error)


async def test_the_callers_deadline_is_told_from_our_own() -> None:
    _, error = await outcome(hangs(), request=ask(timeout_s=SHORT))
    assert type(error) is DeadlineReached
    assert not error.retryable


async def test_a_stalled_error_body_still_says_its_status() -> None:
    async def stalls_in_body(exchange: Exchange) -> None:
        exchange._writer.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 10\r\nretry-after: 2\r\n\r\n")
        await exchange.hang()

    _, error = await outcome(stalls_in_body, timeouts=Timeouts(first_chunk_s=SHORT))
    assert type(error) is RateLimited
    assert error.retry_after_s == 2.0


async def test_reset_before_the_head() -> None:
    _, error = await outcome(resets_after())
    assert type(error) is ConnectionBroken


async def test_reset_in_mid_stream() -> None:
    text, error = await outcome(resets_after("half", " of it"))
    assert text == "half of it"
    assert type(error) is ConnectionBroken


async def test_reset_after_the_finish_reason_loses_nothing() -> None:
    async def resets_late(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event(chunk("whole", finish_reason="stop"))
        await asyncio.sleep(SHORT)
        exchange.reset()

    async with FakeUpstream(resets_late) as upstream, model_at(upstream) as model:
        text, finished = await collect(model.stream(ask()))
    assert text == "whole"
    assert finished.usage.estimated


async def test_refused_connection() -> None:
    async with FakeUpstream() as upstream, model_at(upstream) as model:
        assert upstream._server is not None
        upstream._server.close()
        with pytest.raises(ConnectionBroken, match="can't connect"):
            await collect(model.stream(ask()))


async def test_end_without_a_finish_reason() -> None:
    text, error = await outcome(ends_after("half"))
    assert text == "half"
    assert type(error) is MalformedResponse


async def test_nothing_at_all() -> None:
    assert type((await outcome(sends_raw()))[1]) is MalformedResponse
    assert type((await outcome(sends_raw(b"data: [DONE]\n\n")))[1]) is MalformedResponse


async def test_an_event_that_is_not_json() -> None:
    text, error = await outcome(malformed_after("half"))
    assert text == "half"
    assert type(error) is MalformedResponse


@pytest.mark.parametrize("cut", [1, 10, 60])
async def test_half_a_json(cut: int) -> None:
    data = b"data: " + json.dumps(chunk("half")).encode()
    assert type((await outcome(sends_raw(data[:-cut])))[1]) is MalformedResponse
    assert type((await outcome(sends_raw(data[:-cut] + b"\n\n")))[1]) is MalformedResponse


async def test_no_event_stream_at_all() -> None:
    async def answers_at_once(exchange: Exchange) -> None:
        await exchange.reply(200, b'{"choices": [{"message": {"content": "hi"}}]}')

    assert type((await outcome(answers_at_once))[1]) is MalformedResponse


async def test_unicode_split_over_chunks() -> None:
    text = "naïve 🦊 中文"
    frame = json.dumps(chunk(text, finish_reason="stop"), ensure_ascii=False).encode()
    body = b"data: " + frame + b"\n\ndata: [DONE]\n\n"
    async with FakeUpstream(sends_raw(*(bytes([byte]) for byte in body))) as upstream, model_at(upstream) as model:
        assert (await collect(model.stream(ask())))[0] == text


async def test_a_huge_error_body_is_not_read() -> None:
    async def floods(exchange: Exchange) -> None:
        nonlocal sent_bytes
        exchange._writer.write(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n")
        while not exchange.gone.is_set():
            await exchange.send(b"x" * 65_536)
            sent_bytes += 65_536

    sent_bytes = 0
    _, error = await outcome(floods)
    assert type(error) is ServerFault
    assert sent_bytes < 32 * 1024 * 1024  # the bound on the body, and what the sockets buffer


async def test_a_line_without_an_end_is_cut_off() -> None:
    async def floods(exchange: Exchange) -> None:
        await exchange.start()
        while not exchange.gone.is_set():
            await exchange.send(b"x" * 65_536)

    _, error = await outcome(floods, request=ask(max_output_tokens=1))
    assert type(error) is MalformedResponse
    assert str(ANSWER_BYTES_BASE + ANSWER_BYTES_PER_TOKEN) in str(error)


async def test_redirects_are_not_followed() -> None:
    async with FakeUpstream() as other, FakeUpstream() as upstream, model_at(upstream) as model:
        target = other.base_url

        async def redirects(exchange: Exchange) -> None:
            await exchange.reply(307, b"", {"location": f"{target}/chat/completions"})

        upstream.will(redirects)
        with pytest.raises(MalformedResponse):
            await collect(model.stream(ask()))
        assert other.requests == []


@pytest.mark.parametrize(
    ("raised", "expected", "text"),
    [
        (httpx.ConnectTimeout("secret"), ProviderTimeout, "no connection within 5 s"),
        (httpx.PoolTimeout("secret"), ProviderTimeout, "no connection within 5 s"),
        (httpx.ConnectError("secret"), ConnectionBroken, "can't connect"),
        (httpx.ReadError("secret"), ConnectionBroken, "ReadError"),
        (httpx.RemoteProtocolError("secret"), ConnectionBroken, "RemoteProtocolError"),
        (httpx.UnsupportedProtocol("secret"), ConnectionBroken, "UnsupportedProtocol"),
        (httpx.DecodingError("secret"), MalformedResponse, "content encoding"),
        (OSError("secret"), ConnectionBroken, "OSError"),
    ],
)
async def test_errors_of_the_http_client(raised: Exception, expected: type[ProviderError], text: str) -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise raised

    client = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    model = HttpChatModel(card(), endpoint="http://test/v1", dialect=openai_dialect(card()), client=client, timeouts=Timeouts())
    with pytest.raises(ProviderError, match=text) as caught:
        await collect(model.stream(ask()))
    await model.aclose()
    assert type(caught.value) is expected
    assert "secret" not in str(caught.value)


async def test_slow_first_token() -> None:
    gate = asyncio.Event()
    async with FakeUpstream(answers_when(gate, "late")) as upstream, model_at(upstream) as model:
        answer = asyncio.create_task(collect(model.stream(ask())))
        await upstream.arrived.wait()
        gate.set()
        assert (await answer)[0] == "late"


async def test_the_upstream_observes_a_close() -> None:
    async with FakeUpstream(stalls_after("half")) as upstream, model_at(upstream) as model:
        events = model.stream(ask())
        assert await anext(events) == Chunk("half")
        assert not upstream.disconnected.is_set()
        await events.aclose()
        await asyncio.wait_for(upstream.disconnected.wait(), 5.0)


@pytest.mark.parametrize("behaviour", [hangs(), stalls_after("half")])
async def test_the_upstream_observes_a_cancel(behaviour: Behaviour) -> None:
    async with FakeUpstream(behaviour) as upstream, model_at(upstream) as model:
        task = asyncio.create_task(collect(model.stream(ask())))
        await upstream.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.disconnected.wait(), 5.0)


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    async with FakeUpstream(answers("a"), answers("b"), fails(500), answers("c")) as upstream, model_at(upstream) as model:
        assert (await collect(model.stream(ask())))[0] == "a"
        assert (await collect(model.stream(ask())))[0] == "b"
        with pytest.raises(ServerFault):
            await collect(model.stream(ask()))
        assert (await collect(model.stream(ask())))[0] == "c"
    assert upstream.connections == 1


async def test_a_server_that_keeps_the_stream_open_after_done_does_not_hold_us() -> None:
    async def keeps_open(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event(chunk("hi", finish_reason="stop"))
        await exchange.event("[DONE]")
        await exchange.hang()

    async with FakeUpstream(keeps_open) as upstream, model_at(upstream) as model:
        async with asyncio.timeout(PATIENT.idle_s / 2):
            assert (await collect(model.stream(ask())))[0] == "hi"


ECHO = {"message": f"key {KEY} is wrong for: {PROMPT}", "type": f"{KEY}", "code": f"no {PROMPT}", "status": KEY}


@pytest.mark.parametrize(
    "behaviour",
    [
        *(fails(status, error=ECHO) for status in (400, 401, 413, 422, 429, 500, 503)),
        fails(500, body=f"{KEY} {PROMPT}".encode()),
        fails(400, error=f"{KEY} {PROMPT}"),
        sends_raw(f"data: {json.dumps({'error': ECHO})}\n\n".encode()),
        sends_raw(f"data: {KEY} {PROMPT}\n\n".encode()),
        sends_raw(f'data: {{"choices": "{KEY} {PROMPT}"}}\n\n'.encode()),
        resets_after(),
        ends_after(PROMPT),
    ],
)
async def test_neither_key_nor_prompt_is_ever_shown(behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _, error = await outcome(behaviour)
    shown = [str(error), repr(error), repr(error.__dict__), caplog.text, *_causes(error)]
    for text in shown:
        assert KEY not in text
        assert PROMPT not in text


async def test_neither_key_nor_prompt_is_in_a_repr() -> None:
    async with FakeUpstream() as upstream, model_at(upstream) as model:
        call = model._dialect.call(ask())
        for text in (repr(model), repr(model._dialect), repr(model._dialect.__dict__), repr(call)):
            assert KEY not in text
            assert PROMPT not in text


def _causes(error: BaseException) -> list[str]:
    """The texts of the exceptions that would be shown with ``error``."""
    shown: list[str] = []
    here: BaseException | None = error
    while here is not None:
        shown.append(f"{here} {here!r}")
        here = here.__cause__ or (None if here.__suppress_context__ else here.__context__)
    return shown
