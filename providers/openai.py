"""The chat-completions API of OpenAI and of the many servers that speak it, such as vLLM, Ollama and llama.cpp.

The servers differ in details, so this is tolerant: token usage may stand in the last chunk, in any chunk or nowhere; a first chunk may
carry only a role; contents may be null; ``[DONE]`` may be missing after a finish reason, a finish reason before ``[DONE]``; errors may
come inside the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from httpx_sse import ServerSentEvent
from pydantic import JsonValue, ValidationError

from providers.dialect import Ending, HttpCall, IfReadable, Wire, finite_logprob
from providers.errors import MalformedResponse
from providers.failures import error_from_payload
from providers.port import ChatRequest, Chunk, FinishReason, ModelCard, Role, TokenLogprob, Usage
from servicekit.settings.secrets import Secret

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class _Alternative(Wire):
    token: str
    logprob: float | None = None


class _Token(_Alternative):
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(Wire):
    content: list[_Token] | None = None


class _Delta(Wire):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: JsonValue = None


class _Choice(Wire):
    index: int = 0
    delta: _Delta | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Details(Wire):
    cached_tokens: int | None = None


class _Usage(Wire):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Frame(Wire):
    id: str | None = None
    object: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Annotated[_Usage | None, IfReadable] = None
    error: JsonValue = None
    message: str | None = None
    code: JsonValue = None


class OpenAIDialect:
    """Requests and answers of chat completions.

    ``token_limit_field`` is ``max_tokens`` or, for OpenAI's own newer models, ``max_completion_tokens``. ``extra_body`` may override
    sampling but never what makes the request ours.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        api_key: Secret | None,
        extra_body: Mapping[str, str | int | float | bool],
        token_limit_field: str = "max_tokens",  # noqa: S107 - the name of a field
    ) -> None:
        self._card = card
        self._api_key = api_key
        self._extra_body = extra_body
        self._token_limit_field = token_limit_field

    def call(self, request: ChatRequest) -> HttpCall:
        """``POST {endpoint}/chat/completions``."""
        body: dict[str, object] = {"temperature": request.temperature, "top_p": request.top_p}
        if request.seed is not None and "seed" in self._card.capabilities:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = list(request.stop)
        if self._wants_logprobs(request):
            body["logprobs"] = True
            body["top_logprobs"] = max(request.top_logprobs, 1)  # llama.cpp takes 0 as "no log-probabilities at all"
        body |= self._extra_body
        body |= {
            "model": self._card.upstream_model,
            "messages": [{"role": message.role.value, "content": message.content} for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._token_limit_field: min(request.max_output_tokens, self._card.max_output_tokens),
        }
        if request.messages[-1].role is Role.ASSISTANT and "prefill" in self._card.capabilities:  # vLLM would begin a new turn
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        headers = {} if self._api_key is None else {"authorization": f"Bearer {self._api_key.reveal()}"}
        return HttpCall(path="/chat/completions", headers=headers, body=body)

    def reader(self, request: ChatRequest) -> OpenAIReader:
        """A reader that passes log-probabilities on only when they were asked for."""
        return OpenAIReader(self._card.name, with_logprobs=self._wants_logprobs(request), alternatives_max=request.top_logprobs)

    def _wants_logprobs(self, request: ChatRequest) -> bool:
        return request.logprobs and "logprobs" in self._card.capabilities


class OpenAIReader:
    """Reads one stream of chat-completions chunks."""

    def __init__(self, model: str, *, with_logprobs: bool, alternatives_max: int) -> None:
        self._model = model
        self._with_logprobs = with_logprobs
        self._alternatives_max = alternatives_max
        self._finish_reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._id = ""
        self._response_model = ""
        self.progress = 0
        self.over = False

    @property
    def complete(self) -> bool:
        """True once a finish reason or ``[DONE]`` was seen."""
        return self._finish_reason is not None or self.over

    def read(self, event: ServerSentEvent) -> Sequence[Chunk]:
        """The piece in one event, if there is one."""
        if event.data.strip() == "[DONE]":
            self.over = True
            return ()
        if not event.data:
            return ()
        try:
            frame = _Frame.model_validate_json(event.data)
        except ValidationError:
            # The error quotes its input, which is the model's answer.
            raise MalformedResponse(f"{self._model}: an event is no chat-completions chunk", model=self._model) from None
        self._raise_error_in(frame)
        self._id = frame.id or self._id
        self._response_model = frame.model or self._response_model
        if frame.usage is not None:
            self._usage = _usage(frame.usage) or self._usage
        choice = next((choice for choice in frame.choices or () if choice.index == 0), None)
        return () if choice is None else self._read_choice(choice)

    def ending(self) -> Ending:
        """How the answer ended. ``[DONE]`` without a finish reason, as some servers have it, is the finish reason UNKNOWN."""
        if not self.complete or (self._finish_reason is None and self.progress == 0):
            raise MalformedResponse(f"{self._model}: the stream ended without a finish reason", model=self._model)
        return Ending(
            finish_reason=self._finish_reason or FinishReason.UNKNOWN,
            usage=self._usage,
            response_id=self._id,
            response_model=self._response_model,
        )

    def _read_choice(self, choice: _Choice) -> Sequence[Chunk]:
        if choice.finish_reason:
            self._finish_reason = _FINISH_REASONS.get(choice.finish_reason.lower(), FinishReason.UNKNOWN)
        delta = choice.delta or _Delta()
        text = (delta.content or "") + (delta.refusal or "")
        logprobs: tuple[TokenLogprob, ...] = ()
        if self._with_logprobs and choice.logprobs is not None:
            logprobs = tuple(_token(token, self._alternatives_max) for token in choice.logprobs.content or ())
        if text or logprobs or delta.reasoning_content or delta.reasoning:
            self.progress += 1
        return (Chunk(text=text, logprobs=logprobs),) if text or logprobs else ()

    def _raise_error_in(self, frame: _Frame) -> None:
        if frame.error is not None:
            raise error_from_payload(self._model, frame.error)
        if frame.object == "error":  # vLLM
            raise error_from_payload(self._model, {"message": frame.message, "code": frame.code})


def _usage(usage: _Usage) -> Usage | None:
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details is not None else None
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_input_tokens=min(max(cached or 0, 0), max(usage.prompt_tokens, 0)),
    )


def _token(token: _Token, alternatives_max: int) -> TokenLogprob:
    alternatives = tuple((other.token, finite_logprob(other.logprob)) for other in (token.top_logprobs or ())[:alternatives_max])
    return TokenLogprob(token=token.token, logprob=finite_logprob(token.logprob), alternatives=alternatives)
