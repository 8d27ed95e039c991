"""Google's Gemini API, ``streamGenerateContent`` with server-sent events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final
from urllib.parse import quote

from httpx_sse import ServerSentEvent
from pydantic import AliasGenerator, ConfigDict, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from providers.dialect import Ending, HttpCall, IfReadable, Wire, finite_logprob
from providers.errors import ContentPolicyViolation, MalformedResponse
from providers.failures import error_from_payload
from providers.port import ChatRequest, Chunk, FinishReason, ModelCard, Role, TokenLogprob, Usage
from servicekit.settings.secrets import Secret

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
}
_ROLES: Final[Mapping[Role, str]] = {Role.USER: "user", Role.ASSISTANT: "model"}


class _CamelWire(Wire):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=AliasGenerator(validation_alias=to_camel))


class _Part(_CamelWire):
    text: str | None = None
    thought: bool = False


class _Content(_CamelWire):
    parts: list[_Part] | None = None


class _Alternative(_CamelWire):
    token: str = ""
    log_probability: float | None = None


class _TopCandidates(_CamelWire):
    candidates: list[_Alternative] | None = None


class _Logprobs(_CamelWire):
    chosen_candidates: list[_Alternative] | None = None
    top_candidates: list[_TopCandidates] | None = None


class _Candidate(_CamelWire):
    index: int = 0
    content: _Content | None = None
    finish_reason: str | None = None
    logprobs_result: _Logprobs | None = None


class _Usage(_CamelWire):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None


class _Feedback(_CamelWire):
    block_reason: str | None = None


class _Frame(_CamelWire):
    candidates: list[_Candidate] | None = None
    usage_metadata: Annotated[_Usage | None, IfReadable] = None
    prompt_feedback: _Feedback | None = None
    model_version: str = ""
    response_id: str = ""
    error: JsonValue = None


class GeminiDialect:
    """Requests and answers of ``streamGenerateContent``. The key travels in a header, never in the URL, which gets logged."""

    def __init__(self, card: ModelCard, *, api_key: Secret | None) -> None:
        self._card = card
        self._api_key = api_key

    def call(self, request: ChatRequest) -> HttpCall:
        """``POST {endpoint}/models/{model}:streamGenerateContent?alt=sse``."""
        generation: dict[str, object] = {
            "maxOutputTokens": min(request.max_output_tokens, self._card.max_output_tokens),
            "temperature": request.temperature,
            "topP": request.top_p,
            "candidateCount": 1,
        }
        if request.stop:
            generation["stopSequences"] = list(request.stop)
        if request.seed is not None and "seed" in self._card.capabilities:
            generation["seed"] = request.seed
        if self._wants_logprobs(request):
            generation["responseLogprobs"] = True
            if request.top_logprobs:
                generation["logprobs"] = request.top_logprobs
        body: dict[str, object] = {
            "contents": [
                {"role": _ROLES[message.role], "parts": [{"text": message.content}]}
                for message in request.messages
                if message.role is not Role.SYSTEM
            ],
            "generationConfig": generation,
        }
        system = [{"text": message.content} for message in request.messages if message.role is Role.SYSTEM]
        if system:
            body["systemInstruction"] = {"parts": system}
        headers = {} if self._api_key is None else {"x-goog-api-key": self._api_key.reveal()}
        path = f"/models/{quote(self._card.upstream_model.removeprefix('models/'), safe='')}:streamGenerateContent?alt=sse"
        return HttpCall(path=path, headers=headers, body=body)

    def reader(self, request: ChatRequest) -> GeminiReader:
        """A reader that passes log-probabilities on only when they were asked for."""
        return GeminiReader(self._card.name, with_logprobs=self._wants_logprobs(request))

    def _wants_logprobs(self, request: ChatRequest) -> bool:
        return request.logprobs and "logprobs" in self._card.capabilities


class GeminiReader:
    """Reads one stream of ``GenerateContentResponse``; it is over when the HTTP body ends."""

    def __init__(self, model: str, *, with_logprobs: bool) -> None:
        self._model = model
        self._with_logprobs = with_logprobs
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._id = ""
        self._response_model = ""
        self.progress = 0
        self.over = False

    @property
    def complete(self) -> bool:
        """True once a finish reason was seen."""
        return self._finish_reason is not None

    def read(self, event: ServerSentEvent) -> Sequence[Chunk]:
        """The piece in one event, if there is one."""
        try:
            frame = _Frame.model_validate_json(event.data)
        except ValidationError:
            # The error quotes its input, which is the model's answer.
            raise MalformedResponse(f"{self._model}: an event is no GenerateContentResponse", model=self._model) from None
        if frame.error is not None:
            raise error_from_payload(self._model, frame.error)
        if frame.prompt_feedback is not None and frame.prompt_feedback.block_reason:
            raise ContentPolicyViolation(f"{self._model}: the provider blocked the prompt", model=self._model)
        self._id = frame.response_id or self._id
        self._response_model = frame.model_version or self._response_model
        if frame.usage_metadata is not None:
            self._usage = _usage(frame.usage_metadata) or self._usage
        candidate = next((candidate for candidate in frame.candidates or () if candidate.index == 0), None)
        return () if candidate is None else self._read_candidate(candidate)

    def ending(self) -> Ending:
        """How the answer ended."""
        if self._finish_reason is None:
            raise MalformedResponse(f"{self._model}: the stream ended without a finish reason", model=self._model)
        return Ending(
            finish_reason=_FINISH_REASONS.get(self._finish_reason, FinishReason.UNKNOWN),
            usage=self._usage,
            response_id=self._id,
            response_model=self._response_model,
        )

    def _read_candidate(self, candidate: _Candidate) -> Sequence[Chunk]:
        self._finish_reason = candidate.finish_reason or self._finish_reason
        parts = (candidate.content.parts if candidate.content is not None else None) or []
        if parts:
            self.progress += 1
        text = "".join(part.text or "" for part in parts if not part.thought)
        logprobs: tuple[TokenLogprob, ...] = ()
        if self._with_logprobs and candidate.logprobs_result is not None:
            logprobs = _tokens(candidate.logprobs_result)
        return (Chunk(text=text, logprobs=logprobs),) if text or logprobs else ()


def _usage(usage: _Usage) -> Usage | None:
    if usage.prompt_token_count is None:
        return None
    input_tokens = max(usage.prompt_token_count, 0)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=max(usage.candidates_token_count or 0, 0) + max(usage.thoughts_token_count or 0, 0),
        cached_input_tokens=min(max(usage.cached_content_token_count or 0, 0), input_tokens),
    )


def _tokens(logprobs: _Logprobs) -> tuple[TokenLogprob, ...]:
    chosen = logprobs.chosen_candidates or []
    top = logprobs.top_candidates or []
    return tuple(
        TokenLogprob(
            token=token.token,
            logprob=finite_logprob(token.log_probability),
            alternatives=tuple((other.token, finite_logprob(other.log_probability)) for other in top[place].candidates or ())
            if place < len(top)
            else (),
        )
        for place, token in enumerate(chosen)
    )
