"""Replays recorded answers of real models: the whole system runs on them without a provider, at a chosen pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence

from providers.errors import DeadlineReached, MalformedResponse, NotRecorded
from providers.port import ChatEvent, ChatMessage, ChatRequest, Chunk, Finished, FinishReason, ModelCard, Role, Usage
from providers.recording import RecordedAnswer, Recording, RecordingUnreadable

CHUNK_S = 0.05
"""With a pace, a chunk comes about this often."""
CHUNK_TOKENS_UNPACED = 32
"""Tokens per chunk of a replay without delay."""


class RecordedModel:
    """A model whose answers were recorded.

    The prompt is looked up by the last user message, then by the whole conversation with an empty line between messages. Sampling,
    seeds and stop strings have no effect, and there are no log-probabilities. The token limit holds: a longer answer is cut in
    proportion to its tokens and ends with LENGTH. An unknown prompt raises ``NotRecorded``, which another model may do better on.
    """

    def __init__(
        self,
        card: ModelCard,
        recording: Recording,
        *,
        tokens_per_second: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._card = card
        self._recording = recording
        self._tokens_per_second = tokens_per_second
        self._sleep = sleep
        recording.announce(card.upstream_model)

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        return self._card

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Replays the recorded answer. ``timeout_s`` bounds the time that the replay takes at its pace."""
        answer = await self._find(request)
        limit = min(request.max_output_tokens, self._card.max_output_tokens)
        reasoning = min(answer.reasoning_tokens, limit)
        visible = min(answer.completion_tokens, limit - reasoning)
        text = answer.text if visible == answer.completion_tokens else answer.text[: len(answer.text) * visible // answer.completion_tokens]
        left_s = request.timeout_s
        left_s = await self._pause(reasoning, left_s)
        for tokens, piece in _pieces(text, visible, self._chunk_tokens()):
            left_s = await self._pause(tokens, left_s)
            if piece:
                yield Chunk(text=piece)
        usage = Usage(
            input_tokens=answer.input_tokens,
            output_tokens=reasoning + visible,
            estimated=answer.reasoning_tokens > 0,
        )
        cut = answer.truncated or reasoning + visible < answer.reasoning_tokens + answer.completion_tokens
        yield Finished(
            finish_reason=FinishReason.LENGTH if cut else FinishReason.STOP,
            usage=usage,
            cost_nano_usd=self._card.price.cost_nano_usd(usage),
            response_id=answer.question_id,
            response_model=self._card.upstream_model,
        )

    async def aclose(self) -> None:
        """Holds nothing that must be closed."""

    async def _find(self, request: ChatRequest) -> RecordedAnswer:
        name = self._card.name
        try:
            answer = await self._recording.find(self._card.upstream_model, _prompts(request.messages))
        except RecordingUnreadable as error:
            raise MalformedResponse(f"{name}: {error}", model=name) from error
        if answer is None:
            raise NotRecorded(f"{name}: the recording holds no answer of {self._card.upstream_model} to this prompt", model=name)
        return answer

    def _chunk_tokens(self) -> int:
        return max(1, round(self._tokens_per_second * CHUNK_S)) if self._tokens_per_second else CHUNK_TOKENS_UNPACED

    async def _pause(self, tokens: int, left_s: float | None) -> float | None:
        """Waits as long as ``tokens`` take; what is left of the time that the caller gave."""
        if not self._tokens_per_second or not tokens:
            return left_s
        pause_s = tokens / self._tokens_per_second
        if left_s is not None and pause_s >= left_s:
            await self._sleep(left_s)
            raise DeadlineReached(f"{self._card.name}: the replay takes longer than the caller gave", model=self._card.name)
        await self._sleep(pause_s)
        return None if left_s is None else left_s - pause_s


def _prompts(messages: Sequence[ChatMessage]) -> list[str]:
    """The texts under which an answer may be recorded."""
    last = next((message.content for message in reversed(messages) if message.role is Role.USER), None)
    whole = "\n\n".join(message.content for message in messages)
    return [whole] if last is None else [last, whole]


def _pieces(text: str, tokens: int, chunk_tokens: int) -> Iterator[tuple[int, str]]:
    """``text`` in order, cut as evenly as its ``tokens`` in chunks of ``chunk_tokens`` allow, each with its number of tokens."""
    if not tokens:
        yield 0, text
        return
    for first in range(0, tokens, chunk_tokens):
        last = min(first + chunk_tokens, tokens)
        yield last - first, text[len(text) * first // tokens : len(text) * last // tokens]
