"""Models over the fake upstream, and requests for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx

from providers.anthropic import AnthropicDialect
from providers.dialect import Dialect
from providers.gemini import GeminiDialect
from providers.http import HttpChatModel
from providers.openai import OpenAIDialect
from providers.patience import Timeouts
from providers.port import ChatMessage, ChatRequest, ModelCard, Price, Role
from servicekit.settings.secrets import Secret
from tests.support.upstream import FakeUpstream

KEY = "sk-canary-5f0a7c91"
"""A planted key: it must never be seen outside a request's headers."""
PROMPT = "canary prompt: what is the colour of the sky?"
"""A planted prompt: it must never be seen outside a request's body."""
PATIENT = Timeouts(connect_s=5.0, first_chunk_s=10.0, idle_s=10.0, total_s=20.0)


def ask(text: str = PROMPT, **fields: object) -> ChatRequest:
    """A request of one user message; ``fields`` are further fields of ``ChatRequest``."""
    return ChatRequest(**{"messages": (ChatMessage(Role.USER, text),), "max_output_tokens": 64, **fields})  # pyright: ignore[reportArgumentType] - fields of the caller's choice


def card(name: str = "small", **fields: object) -> ModelCard:
    """A card with easily checked prices: 2 nano-USD per input token, 6 per output token."""
    values: dict[str, object] = {
        "name": name,
        "provider": "openai_compatible",
        "upstream_model": f"{name}-upstream",
        "price": Price(input_nano_usd_per_mtok=2_000_000, output_nano_usd_per_mtok=6_000_000),
        "context_tokens": 4_096,
        "max_output_tokens": 1_024,
        "capabilities": frozenset({"logprobs", "seed"}),
        **fields,
    }
    return ModelCard(**values)  # pyright: ignore[reportArgumentType] - fields of the caller's choice


def openai_dialect(model_card: ModelCard) -> Dialect:
    return OpenAIDialect(model_card, api_key=Secret(KEY), extra_body={})


def anthropic_dialect(model_card: ModelCard) -> Dialect:
    return AnthropicDialect(model_card, api_key=Secret(KEY))


def gemini_dialect(model_card: ModelCard) -> Dialect:
    return GeminiDialect(model_card, api_key=Secret(KEY))


@asynccontextmanager
async def model_at(
    upstream: FakeUpstream,
    *,
    dialect: Callable[[ModelCard], Dialect] = openai_dialect,
    model_card: ModelCard | None = None,
    timeouts: Timeouts = PATIENT,
) -> AsyncGenerator[HttpChatModel]:
    """An adapter, without wrappers, whose endpoint is ``upstream``."""
    model_card = model_card or card()
    client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=timeouts.connect_s), trust_env=False)
    model = HttpChatModel(model_card, endpoint=upstream.base_url, dialect=dialect(model_card), client=client, timeouts=timeouts)
    try:
        yield model
    finally:
        await model.aclose()
