"""A model provider on the loopback interface that answers, or misbehaves, as it is told.

Plain asyncio, HTTP/1.1 with keep-alive and chunked bodies. Each request takes the next behaviour from a queue. A behaviour is an
async function of an `Exchange`; the ready-made ones speak the OpenAI chat-completions stream.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

STATUS_TEXT = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass(frozen=True)
class UpstreamRequest:
    """A request as it arrived. Header names are lower case; ``body`` is the parsed JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class Exchange:
    """One request and the means to answer it, well or badly."""

    def __init__(self, request: UpstreamRequest, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.request = request
        self.gone = gone
        """Set when the client closes the connection before the answer is complete."""
        self.complete = False
        self._writer = writer

    async def reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer with a known length."""
        await self._head(status, {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))})
        await self._write(body)
        self.complete = True

    async def start(self, headers: Mapping[str, str] | None = None) -> None:
        """The head of a stream of events."""
        await self._head(200, {"content-type": "text/event-stream", **(headers or {}), "transfer-encoding": "chunked"})

    async def send(self, data: bytes) -> None:
        """A piece of the stream, as one HTTP chunk."""
        if data:
            await self._write(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, payload: object, *, name: str = "") -> None:
        """A server-sent event; a payload that is no string is sent as JSON."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        head = f"event: {name}\n" if name else ""
        await self.send(f"{head}data: {text}\n\n".encode())

    async def end(self) -> None:
        """The orderly end of the stream."""
        await self._write(b"0\r\n\r\n")
        self.complete = True

    async def hang(self) -> None:
        """Sends nothing more until the client goes away."""
        await self.gone.wait()

    def reset(self) -> None:
        """Resets the TCP connection."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Closes the TCP connection."""
        self._writer.close()

    async def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {STATUS_TEXT.get(status, 'Status')}", *(f"{name}: {value}" for name, value in headers.items())]
        await self._write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


Behaviour = Callable[[Exchange], Awaitable[None]]


class FakeUpstream:
    """A provider on a free loopback port.

    ``base_url`` ends in ``/v1``. ``requests`` lists what arrived. ``disconnected`` is set when a client goes away before its answer
    is complete. A request beyond the script (without ``default``) is answered with 500, and leaving the context then fails, as it
    does for behaviours that no request asked for.
    """

    def __init__(self, *behaviours: Behaviour, default: Behaviour | None = None) -> None:
        self.requests: list[UpstreamRequest] = []
        self.disconnected = asyncio.Event()
        self.arrived = asyncio.Event()
        """Set when a request has arrived; clear it to wait for the next."""
        self.connections = 0
        self._open = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._behaviours = list(behaviours)
        self._default = default
        self._unscripted = 0
        self._faults: list[Exception] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None, "the upstream is not running"
        return self._server.sockets[0].getsockname()[1]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *behaviours: Behaviour) -> None:
        """Adds behaviours for the next requests."""
        self._behaviours.extend(behaviours)

    async def quiet(self) -> None:
        """Returns when no request is being answered: every answer is complete or its connection closed."""
        await self._quiet.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None:
            assert not self._faults, f"a behaviour failed: {self._faults[0]!r}"
            assert not self._unscripted, f"{self._unscripted} requests came beyond the script"
            assert not self._behaviours, f"{len(self._behaviours)} scripted behaviours were never asked for"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (request := await _read_request(reader)) is not None:
                if not await self._answer(request, reader, writer):
                    break
        except asyncio.CancelledError:
            pass  # the context is left
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, request: UpstreamRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Plays the next behaviour; true when the connection can carry another request."""
        self.requests.append(request)
        self.arrived.set()
        exchange = Exchange(request, writer, asyncio.Event())
        self._open += 1
        self._quiet.clear()
        watch = asyncio.create_task(self._watch(reader, exchange))
        try:
            await self._next()(exchange)
        except OSError:
            pass  # the client went away while we wrote
        except Exception as error:  # noqa: BLE001 - reported when the context is left
            self._faults.append(error)
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            self._open -= 1
            if self._open == 0:
                self._quiet.set()
        return exchange.complete and not exchange.gone.is_set()

    def _next(self) -> Behaviour:
        if self._behaviours:
            return self._behaviours.pop(0)
        if self._default is not None:
            return self._default
        self._unscripted += 1
        return fails(500)

    async def _watch(self, reader: asyncio.StreamReader, exchange: Exchange) -> None:
        """Notices that the client is gone: nothing else makes its side readable before the answer is complete."""
        with suppress(OSError):
            await reader.read(1)
        if not exchange.complete:
            exchange.gone.set()
            self.disconnected.set()


async def _read_request(reader: asyncio.StreamReader) -> UpstreamRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, OSError):
        return None
    method, path, _ = first.split(" ", 2)
    return UpstreamRequest(method=method, path=path, headers=headers, body=json.loads(raw) if raw else None)


def chunk(
    content: str | None = None,
    *,
    finish_reason: str | None = None,
    role: str | None = None,
    reasoning_content: str | None = None,
    logprob: float | None = None,
    **extra: object,
) -> dict[str, object]:
    """The payload of one chat-completions chunk."""
    delta: dict[str, object] = {}
    if role is not None:
        delta["role"] = role
    if content is not None:
        delta["content"] = content
    if reasoning_content is not None:
        delta["reasoning_content"] = reasoning_content
    choice: dict[str, object] = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    if logprob is not None:
        choice["logprobs"] = {"content": [{"token": content, "logprob": logprob, "top_logprobs": [{"token": content, "logprob": logprob}]}]}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "fake-model", "choices": [choice], **extra}


def usage_chunk(input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> dict[str, object]:
    """The last chunk of a stream with ``include_usage``."""
    usage = {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "fake-model", "choices": [], "usage": usage}


def answers(
    *pieces: str,
    finish_reason: str = "stop",
    input_tokens: int = 12,
    output_tokens: int | None = None,
    logprob: float | None = None,
    usage: bool = True,
    done: bool = True,
) -> Behaviour:
    """A well-behaved answer in the given pieces; no piece at all is an empty answer. ``logprob`` is sent when asked for."""

    async def play(exchange: Exchange) -> None:
        asked = bool(exchange.request.body.get("logprobs"))
        await exchange.start()
        await exchange.event(chunk("", role="assistant"))
        for piece in pieces:
            await exchange.event(chunk(piece, logprob=logprob if asked else None))
        await exchange.event(chunk(finish_reason=finish_reason))
        if usage:
            await exchange.event(usage_chunk(input_tokens, len(pieces) if output_tokens is None else output_tokens))
        if done:
            await exchange.event("[DONE]")
        await exchange.end()

    return play


def answers_when(gate: asyncio.Event, *pieces: str) -> Behaviour:
    """Like `answers`, but the first token waits for ``gate``."""

    async def play(exchange: Exchange) -> None:
        if await _opened(gate, exchange):
            await answers(*pieces)(exchange)

    return play


def answers_in_two(gate: asyncio.Event, pieces: Sequence[str], later: Sequence[str], *, finish_reason: str | None = "stop") -> Behaviour:
    """Streams ``pieces``, waits for ``gate``, and streams ``later``; None for ``finish_reason`` ends in good order without one."""

    async def play(exchange: Exchange) -> None:
        await begin(exchange, pieces)
        if not await _opened(gate, exchange):
            return
        for piece in later:
            await exchange.event(chunk(piece))
        if finish_reason is not None:
            await exchange.event(chunk(finish_reason=finish_reason))
            await exchange.event(usage_chunk(12, len(pieces) + len(later)))
            await exchange.event("[DONE]")
        await exchange.end()

    return play


def fails(status: int, *, retry_after: str | None = None, error: object = None, body: bytes | None = None) -> Behaviour:
    """An HTTP error. ``error`` is the object under ``error`` in the JSON body; ``body`` replaces the whole body."""

    async def play(exchange: Exchange) -> None:
        payload = json.dumps({"error": error or {"message": "it failed", "type": "fake_error"}}).encode() if body is None else body
        await exchange.reply(status, payload, {} if retry_after is None else {"retry-after": retry_after})

    return play


def hangs() -> Behaviour:
    """Takes the request and never sends a byte; ends when the client goes away."""

    async def play(exchange: Exchange) -> None:
        await exchange.hang()

    return play


def stalls_after(*pieces: str) -> Behaviour:
    """Streams the pieces, then nothing more; ends when the client goes away."""

    async def play(exchange: Exchange) -> None:
        await begin(exchange, pieces)
        await exchange.hang()

    return play


def resets_after(*pieces: str) -> Behaviour:
    """Streams the pieces, then resets the connection; with no piece at all, before the head."""

    async def play(exchange: Exchange) -> None:
        if pieces:
            await begin(exchange, pieces)
            await asyncio.sleep(0.05)  # a reset overtakes what the client has not read yet
        exchange.reset()

    return play


def ends_after(*pieces: str) -> Behaviour:
    """Streams the pieces and ends in good order without a finish reason."""

    async def play(exchange: Exchange) -> None:
        await begin(exchange, pieces)
        await exchange.end()

    return play


def sends_raw(*parts: bytes, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Sends the bytes, each part as one HTTP chunk, and ends in good order."""

    async def play(exchange: Exchange) -> None:
        await exchange.start(headers)
        for part in parts:
            await exchange.send(part)
        await exchange.end()

    return play


def malformed_after(*pieces: str) -> Behaviour:
    """Streams the pieces, then an event that is not JSON."""

    async def play(exchange: Exchange) -> None:
        await begin(exchange, pieces)
        await exchange.event("<html>bad gateway</html>")
        await exchange.end()

    return play


def sends_events(*events: tuple[str, object]) -> Behaviour:
    """Sends named events (an empty name for none), for APIs other than OpenAI's."""

    async def play(exchange: Exchange) -> None:
        await exchange.start()
        for name, payload in events:
            await exchange.event(payload, name=name)
        await exchange.end()

    return play


async def _opened(gate: asyncio.Event, exchange: Exchange) -> bool:
    """Waits for the gate; False when the client went away before."""
    waits = [asyncio.ensure_future(gate.wait()), asyncio.ensure_future(exchange.gone.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return not exchange.gone.is_set()


async def begin(exchange: Exchange, pieces: Sequence[str]) -> None:
    """The head of a stream, the assistant's role, and the pieces."""
    await exchange.start()
    await exchange.event(chunk("", role="assistant"))
    for piece in pieces:
        await exchange.event(chunk(piece))
