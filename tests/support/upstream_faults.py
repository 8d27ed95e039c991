"""Ways in which a provider's stream goes wrong, or ends, after what it has written so far.

What sends a broken event then keeps the connection open: it is the client that has to close it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

from tests.support.upstream import Behaviour, Exchange, begin, chunk, usage_chunk

Finale = Callable[[Exchange], Awaitable[None]]
"""How a stream goes on after its text."""


def writes(
    pieces: Sequence[str],
    finale: Finale,
    *,
    gate: asyncio.Event | None = None,
    later: Sequence[str] = (),
    writing: asyncio.Event | None = None,
) -> Behaviour:
    """Streams ``pieces``, sets ``writing``, waits for ``gate``, streams ``later``, and plays ``finale``."""

    async def play(exchange: Exchange) -> None:
        await begin(exchange, pieces)
        if writing is not None:
            writing.set()
        while gate is not None and not gate.is_set():
            await exchange.event(chunk(reasoning_content="hm"))  # so that no idle time runs out meanwhile
            await asyncio.sleep(0.02)
            if exchange.gone.is_set():
                return
        for piece in later:
            await exchange.event(chunk(piece))
        await finale(exchange)

    return play


def ends(finish_reason: str = "stop", *, usage: object = None) -> Finale:
    """The orderly end; ``usage`` is what it reports as usage, by default 12 tokens read and 2 written."""

    async def play(exchange: Exchange) -> None:
        await exchange.event(chunk(finish_reason=finish_reason))
        await exchange.event(usage_chunk(12, 2) if usage is None else {**usage_chunk(0, 0), "usage": usage})
        await exchange.event("[DONE]")
        await exchange.end()

    return play


async def ends_without_usage(exchange: Exchange) -> None:
    """The orderly end of a server that counts no tokens."""
    await exchange.event(chunk(finish_reason="stop"))
    await exchange.event("[DONE]")
    await exchange.end()


async def ends_open(exchange: Exchange) -> None:
    """The body ends in good order and nothing says why."""
    await exchange.end()


async def stalls(exchange: Exchange) -> None:
    """Nothing more comes."""
    await exchange.hang()


async def pings(exchange: Exchange) -> None:
    """Nothing more comes but keep-alive comments."""
    while not exchange.gone.is_set():
        await exchange.send(b": still here\n\n")
        await asyncio.sleep(0.01)


async def resets(exchange: Exchange) -> None:
    """The connection is reset."""
    await asyncio.sleep(0.05)  # a reset overtakes what the client has not read yet
    exchange.reset()


async def closes(exchange: Exchange) -> None:
    """The connection is closed in the middle of the body."""
    exchange.close()


async def sends_garbage(exchange: Exchange) -> None:
    """Bytes that are no event of any kind, as from a proxy's error page, and the end of the body."""
    await exchange.send(b"<html>bad gateway</html>\n\n" + bytes(range(128)))
    await exchange.end()


async def sends_no_json(exchange: Exchange) -> None:
    """An event that is not JSON."""
    await exchange.event("{'content': 'half")
    await exchange.hang()


async def sends_half_json(exchange: Exchange) -> None:
    """An event that stops in the middle."""
    await exchange.send(b"data: " + json.dumps(chunk("2")).encode()[:-25] + b"\n\n")
    await exchange.hang()


async def sends_no_utf8(exchange: Exchange) -> None:
    """An event whose text is not UTF-8."""
    await exchange.send(b'data: {"choices": [{"index": 0, "delta": {"content": "\xff\xfe"}}]}\n\n')
    await exchange.hang()


async def sends_half_surrogate(exchange: Exchange) -> None:
    """An event whose text no UTF-8 message can carry on."""
    await exchange.event(chunk("\ud83d"))
    await exchange.hang()


async def sends_error(exchange: Exchange) -> None:
    """An error object in the stream."""
    await exchange.event({"error": {"message": "the worker died", "code": 500}})
    await exchange.hang()


async def never_ends(exchange: Exchange) -> None:
    """Text without end."""
    while not exchange.gone.is_set():
        await exchange.event(chunk(" and so on" * 10))
        await asyncio.sleep(0)


def late(seconds: float, *pieces: str) -> Behaviour:
    """A whole answer whose first token comes after ``seconds``."""

    async def play(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await writes(pieces, ends())(exchange)

    return play


def with_ids(*pieces: str) -> Behaviour:
    """A whole answer whose chunks all have the same id, as OpenAI's do, with the role told before each piece."""

    async def play(exchange: Exchange) -> None:
        await exchange.start()
        for piece in pieces:
            await exchange.event(chunk("", role="assistant"))
            await exchange.event(chunk(piece))
        await ends()(exchange)

    return play
