"""Telemetry of calls to models, by the OpenTelemetry GenAI conventions v1.41: a span ``chat {model}`` per call, and metrics.

The span is never made current: a generator may be resumed and closed in other contexts than the one it began in. Whoever needs the
span's context gets it explicitly, the upstream HTTP call in headers that travel with the request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from providers.errors import ProviderError
from providers.instruments import Instruments
from providers.port import ChatEvent, ChatModel, ChatRequest, Chunk, EndpointLog, Finished, ModelCard
from providers.traced import traced
from servicekit import semconv

CANCELLED: Final = "cancelled"
"""``error.type`` of a call that its caller closed; no error of the model's, so the span's status stays unset."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class InstrumentedModel:
    """Reports each call; the events pass unchanged. ``clock`` counts seconds."""

    def __init__(
        self,
        inner: ChatModel,
        *,
        tracer: Tracer,
        instruments: Instruments,
        clock: Callable[[], float],
        record_text: bool = False,
    ) -> None:
        self._inner = inner
        self._tracer = tracer
        self._instruments = instruments
        self._clock = clock
        self._record_text = record_text

    @property
    def card(self) -> ModelCard:
        """The card of the model underneath."""
        return self._inner.card

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answers as the model underneath. The span's parent is the context in which the first event is asked for."""
        call = _Call(self.card, request, tracer=self._tracer, instruments=self._instruments, clock=self._clock, text=self._record_text)
        try:
            asked = traced(call.request, headers=call.headers(), on_retry=call.on_retry)
            async with aclosing(self._inner.stream(asked)) as events:
                async for event in events:
                    call.on_event(event)
                    yield event
        except ProviderError as error:
            call.on_error(error.kind, str(error))
            raise
        except (GeneratorExit, asyncio.CancelledError):
            call.on_cancel()
            raise
        except Exception as error:
            call.on_error(type(error).__qualname__, "")
            raise
        finally:
            call.end()

    async def aclose(self) -> None:
        """Closes the model underneath."""
        await self._inner.aclose()


class _Call:
    """The telemetry of one call."""

    def __init__(
        self,
        card: ModelCard,
        request: ChatRequest,
        *,
        tracer: Tracer,
        instruments: Instruments,
        clock: Callable[[], float],
        text: bool,
    ) -> None:
        self._instruments = instruments
        self._clock = clock
        self._started = clock()
        self._first_chunk_s: float | None = None
        self._finished: Finished | None = None
        self._error_type: str | None = None
        self._retries = 0
        self._pieces: list[str] | None = [] if text else None
        self._labels = _labels(card)
        self._endpoints = request.endpoints or EndpointLog()
        self.request = replace(request, endpoints=self._endpoints)
        self._span: Span = tracer.start_span(
            f"{semconv.OPERATION_CHAT} {card.upstream_model}",
            kind=SpanKind.INTERNAL if card.provider == "recorded" else SpanKind.CLIENT,
            attributes={**self._labels, **_request_attributes(request), **({_INPUT: _messages(request)} if text else {})},
        )
        self._context: Context = trace.set_span_in_context(self._span)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The W3C trace context of the span, as HTTP headers."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, context=self._context)
        return tuple(carrier.items())

    def on_event(self, event: ChatEvent) -> None:
        match event:
            case Chunk(text):
                if self._first_chunk_s is None:
                    self._first_chunk_s = self._clock() - self._started
                if self._pieces is not None:
                    self._pieces.append(text)
            case Finished():
                self._finished = event

    def on_retry(self, error: ProviderError, wait_s: float) -> None:
        self._retries += 1
        self._span.add_event(semconv.EVENT_PROVIDER_RETRY, {semconv.ERROR_TYPE: error.kind, semconv.EMAFUSION_PROVIDER_WAIT_S: wait_s})

    def on_error(self, error_type: str, text: str) -> None:
        self._error_type = error_type
        self._span.set_status(Status(StatusCode.ERROR, text))

    def on_cancel(self) -> None:
        if self._finished is None:
            self._error_type = CANCELLED

    def end(self) -> None:
        """Ends the span and records the metrics."""
        labels = dict(self._labels)
        if self._error_type is not None:
            labels[semconv.ERROR_TYPE] = self._error_type
            self._span.set_attribute(semconv.ERROR_TYPE, self._error_type)
        if self._retries:
            self._span.set_attribute(semconv.EMAFUSION_PROVIDER_RETRIES, self._retries)
        self._tell_endpoints()
        if self._pieces is not None:
            self._span.set_attribute(semconv.GEN_AI_OUTPUT_MESSAGES, _output("".join(self._pieces), self._finished))
        if self._first_chunk_s is not None:
            self._span.set_attribute(semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, self._first_chunk_s)
            self._instruments.first_chunk.record(self._first_chunk_s, labels, context=self._context)
        if self._finished is not None:
            self._end_answer(self._finished, labels)
        self._instruments.duration.record(self._clock() - self._started, labels, context=self._context)
        self._span.end()

    def _tell_endpoints(self) -> None:
        """Which endpoint answered, for a model with several."""
        log = self._endpoints
        if not log.asked:
            return
        self._span.set_attribute(semconv.EMAFUSION_PROVIDER_ENDPOINT, log.asked[-1] if log.answered is None else log.answered)
        self._span.set_attribute(semconv.EMAFUSION_PROVIDER_HEDGED, log.rival is not None)
        if log.rival is not None:
            winner = "none" if log.answered is None else "rival" if log.answered == log.rival else "first"
            labels = {semconv.EMAFUSION_PROVIDER_MODEL: self._labels[semconv.EMAFUSION_PROVIDER_MODEL]}
            self._instruments.hedges.add(1, {**labels, semconv.EMAFUSION_PROVIDER_HEDGE_WINNER: winner}, context=self._context)

    def _end_answer(self, finished: Finished, labels: dict[str, str | int]) -> None:
        usage = finished.usage
        attributes: dict[str, str | int | bool | tuple[str, ...]] = {
            semconv.GEN_AI_RESPONSE_FINISH_REASONS: (finished.finish_reason.value,),
            semconv.GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
            semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cached_input_tokens,
            semconv.EMAFUSION_PROVIDER_USAGE_ESTIMATED: usage.estimated,
            semconv.EMAFUSION_PROVIDER_COST_NANO_USD: finished.cost_nano_usd,
        }
        if finished.response_id:
            attributes[semconv.GEN_AI_RESPONSE_ID] = finished.response_id
        if finished.response_model:
            attributes[semconv.GEN_AI_RESPONSE_MODEL] = finished.response_model
        self._span.set_attributes(attributes)
        read = {**labels, semconv.GEN_AI_TOKEN_TYPE: semconv.TOKEN_TYPE_INPUT}
        written = {**labels, semconv.GEN_AI_TOKEN_TYPE: semconv.TOKEN_TYPE_OUTPUT}
        self._instruments.tokens.record(usage.input_tokens, read, context=self._context)
        self._instruments.tokens.record(usage.output_tokens, written, context=self._context)
        self._instruments.cost.add(finished.cost_nano_usd, labels, context=self._context)


_INPUT: Final = semconv.GEN_AI_INPUT_MESSAGES


def _labels(card: ModelCard) -> dict[str, str | int]:
    """What spans and metrics have in common; few distinct values, all from the configuration."""
    labels: dict[str, str | int] = {
        semconv.GEN_AI_OPERATION_NAME: semconv.OPERATION_CHAT,
        semconv.GEN_AI_PROVIDER_NAME: _provider_name(card),
        semconv.GEN_AI_REQUEST_MODEL: card.upstream_model,
        semconv.EMAFUSION_PROVIDER_MODEL: card.name,
    }
    if card.server_address:
        labels |= {semconv.SERVER_ADDRESS: card.server_address, semconv.SERVER_PORT: card.server_port}
    return labels


def _provider_name(card: ModelCard) -> str:
    """The well-known name where the conventions have one, else our name of the provider's kind."""
    if card.server_address == "api.openai.com":
        return "openai"
    well_known: Mapping[str, str] = {"anthropic": "anthropic", "gemini": "gcp.gemini"}
    return well_known.get(card.provider, card.provider)


def _request_attributes(request: ChatRequest) -> dict[str, str | int | float | bool | tuple[str, ...]]:
    attributes: dict[str, str | int | float | bool | tuple[str, ...]] = {
        semconv.GEN_AI_REQUEST_MAX_TOKENS: request.max_output_tokens,
        semconv.GEN_AI_REQUEST_TEMPERATURE: request.temperature,
        semconv.GEN_AI_REQUEST_TOP_P: request.top_p,
        semconv.GEN_AI_REQUEST_STREAM: True,
        **dict(request.labels),
    }
    if request.seed is not None:
        attributes[semconv.GEN_AI_REQUEST_SEED] = request.seed
    if request.stop:
        attributes[semconv.GEN_AI_REQUEST_STOP_SEQUENCES] = request.stop
    return attributes


def _messages(request: ChatRequest) -> str:
    return json.dumps(
        [{"role": message.role.value, "parts": [{"type": "text", "content": message.content}]} for message in request.messages],
        ensure_ascii=False,
    )


def _output(text: str, finished: Finished | None) -> str:
    message: dict[str, object] = {"role": "assistant", "parts": [{"type": "text", "content": text}]}
    if finished is not None:
        message["finish_reason"] = finished.finish_reason.value
    return json.dumps([message], ensure_ascii=False)
