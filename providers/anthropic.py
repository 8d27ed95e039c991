"""Anthropic's Messages API, streamed.

Its events: ``message_start`` with the input's tokens, ``content_block_start|delta|stop``, ``message_delta`` with the stop reason and the
tokens so far, ``message_stop``; ``ping`` and ``error`` anywhere. New kinds of events are ignored, as the API's versioning policy asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from httpx_sse import ServerSentEvent
from pydantic import JsonValue, ValidationError

from providers.dialect import Ending, HttpCall, IfReadable, Wire
from providers.errors import MalformedResponse
from providers.failures import error_from_payload
from providers.port import ChatRequest, Chunk, FinishReason, ModelCard, Role, Usage
from servicekit.settings.secrets import Secret

API_VERSION: Final = "2023-06-01"

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}


class _Usage(Wire):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(Wire):
    id: str = ""
    model: str = ""
    usage: Annotated[_Usage | None, IfReadable] = None


class _Delta(Wire):
    type: str = ""
    text: str = ""
    stop_reason: str | None = None


class _Event(Wire):
    type: str
    message: _Message | None = None
    delta: _Delta | None = None
    usage: Annotated[_Usage | None, IfReadable] = None
    error: JsonValue = None


class AnthropicDialect:
    """Requests and answers of the Messages API. It knows no seed and no log-probabilities; both are left out."""

    def __init__(self, card: ModelCard, *, api_key: Secret | None) -> None:
        self._card = card
        self._api_key = api_key

    def call(self, request: ChatRequest) -> HttpCall:
        """``POST {endpoint}/messages``. System messages move to the field of their own, joined by an empty line.

        Newer models refuse temperature and top_p together: ``top_p`` is sent only where ``temperature`` is at its default of 1.0, which
        is also its maximum here.
        """
        body: dict[str, object] = {
            "model": self._card.upstream_model,
            "max_tokens": min(request.max_output_tokens, self._card.max_output_tokens),
            "messages": [
                {"role": message.role.value, "content": message.content} for message in request.messages if message.role is not Role.SYSTEM
            ],
            "stream": True,
        }
        system = "\n\n".join(message.content for message in request.messages if message.role is Role.SYSTEM)
        if system:
            body["system"] = system
        if request.temperature < 1.0:
            body["temperature"] = request.temperature
        elif request.top_p < 1.0:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        headers = {"anthropic-version": API_VERSION}
        if self._api_key is not None:
            headers["x-api-key"] = self._api_key.reveal()
        return HttpCall(path="/messages", headers=headers, body=body)

    def reader(self, request: ChatRequest) -> AnthropicReader:  # noqa: ARG002 - the answer reads alike for every request
        """A fresh reader."""
        return AnthropicReader(self._card.name)


class AnthropicReader:
    """Reads one stream of the Messages API."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._stop_reason: str | None = None
        self._usage = _Usage()
        self._id = ""
        self._response_model = ""
        self.progress = 0
        self.over = False

    @property
    def complete(self) -> bool:
        """True once a stop reason was seen."""
        return self._stop_reason is not None

    def read(self, event: ServerSentEvent) -> Sequence[Chunk]:
        """The piece in one event, if there is one."""
        try:
            parsed = _Event.model_validate_json(event.data)
        except ValidationError:
            # The error quotes its input, which is the model's answer.
            raise MalformedResponse(f"{self._model}: an event is none of the Messages API", model=self._model) from None
        match parsed.type:
            case "error":
                raise error_from_payload(self._model, parsed.error)
            case "message_start" if parsed.message is not None:
                self._id, self._response_model = parsed.message.id, parsed.message.model
                self._count(parsed.message.usage)
            case "content_block_delta" if parsed.delta is not None:
                self.progress += 1
                if parsed.delta.type == "text_delta" and parsed.delta.text:
                    return (Chunk(text=parsed.delta.text),)
            case "message_delta":
                self._count(parsed.usage)
                if parsed.delta is not None:
                    self._stop_reason = parsed.delta.stop_reason or self._stop_reason
            case "message_stop":
                self.over = True
            case _:
                pass
        return ()

    def ending(self) -> Ending:
        """How the answer ended."""
        if self._stop_reason is None:
            raise MalformedResponse(f"{self._model}: the stream ended without a stop reason", model=self._model)
        return Ending(
            finish_reason=_FINISH_REASONS.get(self._stop_reason, FinishReason.UNKNOWN),
            usage=self._total(),
            response_id=self._id,
            response_model=self._response_model,
        )

    def _count(self, usage: _Usage | None) -> None:
        """Counts are running totals; a later event may repeat only some of them."""
        if usage is not None:
            self._usage = self._usage.model_copy(update=usage.model_dump(exclude_none=True))

    def _total(self) -> Usage | None:
        """The API counts input tokens without those read from or written to the cache; we count them all."""
        fresh, written = self._usage.input_tokens, self._usage.output_tokens
        if fresh is None or written is None:
            return None
        cached = max(self._usage.cache_read_input_tokens or 0, 0)
        created = max(self._usage.cache_creation_input_tokens or 0, 0)
        return Usage(input_tokens=fresh + cached + created, output_tokens=written, cached_input_tokens=cached)
