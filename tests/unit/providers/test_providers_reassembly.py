"""However the bytes of a stream are cut on their way, the same answer comes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialect import Dialect
from providers.http import HttpChatModel
from providers.patience import Timeouts
from providers.port import Finished, FinishReason, ModelCard
from tests.support.chat_models import anthropic_dialect, ask, card, gemini_dialect, openai_dialect
from tests.support.models import collect
from tests.support.upstream import chunk, usage_chunk

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8)
CUTS = st.lists(st.integers(0, 4_000), max_size=20)
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
Frames = list[tuple[str, object]]


def openai_frames(pieces: Sequence[str]) -> Frames:
    return [
        ("", chunk("", role="assistant")),
        *(("", chunk(piece)) for piece in pieces),
        ("", chunk(finish_reason="stop")),
        ("", usage_chunk(3, 4)),
        ("", "[DONE]"),
    ]


def anthropic_frames(pieces: Sequence[str]) -> Frames:
    return [
        ("message_start", {"type": "message_start", "message": {"usage": {"input_tokens": 3}}}),
        *(("content_block_delta", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": each}}) for each in pieces),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
        ("message_stop", {"type": "message_stop"}),
    ]


def gemini_frames(pieces: Sequence[str]) -> Frames:
    return [
        *(("", {"candidates": [{"content": {"parts": [{"text": piece}]}}]}) for piece in pieces),
        ("", {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}}),
    ]


class Pieces(httpx.AsyncByteStream):
    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


def encode(frames: Frames, line_end: bytes, *, ascii_only: bool) -> bytes:
    body = b""
    for name, payload in frames:
        data = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=ascii_only)
        body += (b"event: " + name.encode() + line_end if name else b"") + b"data: " + data.encode() + line_end + line_end
    return body


def cut(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(body) + 1) for place in cuts), len(body)]
    return [body[first:last] for first, last in pairwise(places)]


async def read(parts: Sequence[bytes], dialect: Callable[[ModelCard], Dialect]) -> tuple[str, Finished]:
    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(parts))

    client = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    model_card = card()
    model = HttpChatModel(model_card, endpoint="http://test/v1", dialect=dialect(model_card), client=client, timeouts=Timeouts())
    try:
        return await collect(model.stream(ask()))
    finally:
        await model.aclose()


@pytest.mark.parametrize(
    ("dialect", "frames"),
    [(openai_dialect, openai_frames), (anthropic_dialect, anthropic_frames), (gemini_dialect, gemini_frames)],
)
@given(pieces=TEXTS, cuts=CUTS, line_end=LINE_ENDS, ascii_only=st.booleans())
def test_any_cut_gives_the_same_answer(
    *,
    dialect: Callable[[ModelCard], Dialect],
    frames: Callable[[Sequence[str]], Frames],
    pieces: list[str],
    cuts: list[int],
    line_end: bytes,
    ascii_only: bool,
) -> None:
    body = encode(frames(pieces), line_end, ascii_only=ascii_only)
    text, finished = asyncio.run(read(cut(body, cuts), dialect))
    assert text == "".join(pieces)
    assert finished.finish_reason is FinishReason.STOP
    assert (finished.usage.input_tokens, finished.usage.output_tokens) == (3, 4)
