"""A language-model provider as a model of the cascade."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from cascade_service.domain.chat import FinishReason, GenerationParams, LogprobSummary, Message, Usage
from cascade_service.domain.errors import FailureClass, ModelFailed
from cascade_service.domain.model import AnswerEnd, EndpointUse, ModelCall, ModelCard, ModelEvent, TextChunk
from cascade_service.domain.pricing import Price
from providers import errors as provider_errors
from providers import port
from servicekit import semconv

_COUNT_MAX = 10**15
_UNCERTAIN_BELOW = math.log(0.5)


class ProviderModel:
    """Asks a ``providers.port.ChatModel``."""

    def __init__(self, chat_model: port.ChatModel) -> None:
        self._chat_model = chat_model
        card = chat_model.card
        self._card = ModelCard(
            name=card.name,
            max_output_tokens=card.max_output_tokens,
            price=Price(
                input_nano_usd_per_mtok=card.price.input_nano_usd_per_mtok,
                output_nano_usd_per_mtok=card.price.output_nano_usd_per_mtok,
                cached_input_nano_usd_per_mtok=card.price.cached_input_nano_usd_per_mtok,
            ),
            prefill="prefill" in card.capabilities,
        )
        self._with_logprobs = "logprobs" in card.capabilities

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        return self._card

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        """The model's answer. Raises ``ModelFailed``; closing the generator closes the call to the provider."""
        tokens, log = LogprobTally(), port.EndpointLog(may_hedge=call.may_hedge)
        try:
            async with aclosing(self._chat_model.stream(self._request(call, log))) as events:
                async for event in events:
                    _tell(call, log)
                    match event:
                        case port.Chunk(text=text, logprobs=logprobs):
                            tokens.add(logprobs)
                            yield TextChunk(sendable(text), tokens.summary())
                        case port.Finished():
                            yield _end(event, tokens.summary())
        except provider_errors.ProviderError as error:
            raise _failure(error) from error
        finally:
            _tell(call, log)

    def _request(self, call: ModelCall, log: port.EndpointLog) -> port.ChatRequest:
        params: GenerationParams = call.params
        return port.ChatRequest(
            messages=tuple(_message(message) for message in call.messages),
            max_output_tokens=call.max_output_tokens,
            temperature=0.0 if params.temperature is None else params.temperature,
            top_p=1.0 if params.top_p is None else params.top_p,
            seed=params.seed,
            stop=params.stop,
            logprobs=self._with_logprobs,
            timeout_s=call.timeout_s,
            labels=((semconv.EMAFUSION_CASCADE_TIER, call.tier), (semconv.EMAFUSION_CASCADE_ATTEMPT, call.attempt)),
            endpoints=log,
        )


def _tell(call: ModelCall, log: port.EndpointLog) -> None:
    """Tells which endpoints were asked so far, where there are several."""
    if log.asked:
        endpoint = log.asked[-1] if log.answered is None else log.answered
        call.on_endpoint(EndpointUse(endpoint=endpoint, hedged=log.rival is not None, skipped=tuple(log.skipped)))


class LogprobTally:
    """Sums up token log-probabilities as they come, in constant memory."""

    def __init__(self) -> None:
        self._tokens = 0
        self._uncertain = 0
        self._sum = 0.0
        self._min = 0.0
        self._first = 0.0

    def add(self, logprobs: tuple[port.TokenLogprob, ...]) -> None:
        """Takes in the tokens of one chunk. Figures that are no log-probabilities count as the nearest one that is."""
        for token in logprobs:
            # Some servers send -inf or -9999 for a token of probability zero, and rounding can push certainty above 0.
            value = min(0.0, max(token.logprob, -100.0)) if not math.isnan(token.logprob) else -100.0
            if self._tokens == 0:
                self._first = value
            self._tokens += 1
            self._uncertain += value < _UNCERTAIN_BELOW
            self._sum += value
            self._min = min(self._min, value)

    def summary(self) -> LogprobSummary | None:
        """The summary; ``None`` without a token."""
        if self._tokens == 0:
            return None
        return LogprobSummary(
            tokens=self._tokens,
            mean=self._sum / self._tokens,
            min=self._min,
            share_uncertain=self._uncertain / self._tokens,
            first=self._first,
        )


def sendable(text: str) -> str:
    """``text`` with lone surrogates replaced: a provider's JSON may escape them, and no UTF-8 message can carry them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _message(message: Message) -> port.ChatMessage:
    return port.ChatMessage(role=port.Role[message.role.name], content=message.content)


def _end(finished: port.Finished, logprobs: LogprobSummary | None) -> AnswerEnd:
    unknown = finished.finish_reason is port.FinishReason.UNKNOWN
    usage = finished.usage
    return AnswerEnd(
        finish_reason=FinishReason.UNSPECIFIED if unknown else FinishReason[finished.finish_reason.name],
        usage=Usage(
            input_tokens=_count(usage.input_tokens),
            output_tokens=_count(usage.output_tokens),
            cached_input_tokens=_count(usage.cached_input_tokens),
            estimated=usage.estimated,
        ),
        cost_nano_usd=_count(finished.cost_nano_usd),
        logprobs=logprobs,
    )


def _count(reported: int) -> int:
    """What a provider reports, held within what messages and records can carry."""
    return min(max(reported, 0), _COUNT_MAX)


def _failure(error: provider_errors.ProviderError) -> ModelFailed:
    status = "" if error.status_code is None else f" (HTTP {error.status_code})"
    # The provider's own words stay in the log: they may name endpoints and accounts that are not the caller's business.
    return ModelFailed(f"{error.kind.replace('_', ' ')}{status}", kind=error.kind, failure_class=_failure_class(error))


def _failure_class(error: provider_errors.ProviderError) -> FailureClass:
    match error:
        case provider_errors.ProviderTimeout():
            return FailureClass.TIMEOUT
        case provider_errors.AuthenticationFailed():
            return FailureClass.AUTHENTICATION
        case provider_errors.ContentPolicyViolation():
            return FailureClass.CONTENT_POLICY
        case provider_errors.RequestRejected():
            return FailureClass.REJECTED
        case _:
            return FailureClass.ESCALATE if error.escalatable else FailureClass.REJECTED
