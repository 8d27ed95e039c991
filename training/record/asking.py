"""One call to one model, to its end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from typing import assert_never

from judge_service.domain.candidates import LogprobFigures
from providers.errors import ProviderError
from providers.port import ChatMessage, ChatModel, ChatRequest, Chunk, Finished, Role
from training.record.ceiling import worst_case_nano_usd
from training.record.entries import AnswerKey, FailedCall, GivenAnswer, Terms

UNCERTAIN_BELOW = -0.6931471805599453
"""Natural logarithm of one half."""


def request_of(prompt: str, terms: Terms, *, sample: int) -> ChatRequest:
    """What a model is asked. Samples beyond the first are drawn at another temperature, each with a seed of its own."""
    return ChatRequest(
        messages=(ChatMessage(Role.USER, prompt),),
        max_output_tokens=terms.max_output_tokens,
        temperature=terms.temperature if sample == 0 else terms.sample_temperature,
        seed=None if sample == 0 else sample,
        logprobs=True,
    )


async def ask(model: ChatModel, request: ChatRequest, key: AnswerKey) -> GivenAnswer | tuple[FailedCall, ProviderError]:
    """The answer, or how the call failed. A call that broke off after its first words is taken to have cost the worst case."""
    text, logprobs = "", list[float]()
    finished: Finished | None = None
    try:
        async with aclosing(model.stream(request)) as events:
            async for event in events:
                match event:
                    case Chunk():
                        text += event.text
                        logprobs += [token.logprob for token in event.logprobs]
                    case Finished():
                        finished = event
                    case _:
                        assert_never(event)
    except ProviderError as error:
        cost = worst_case_nano_usd(model.card, request) if text or logprobs else 0
        return FailedCall(key=key, error=error.kind, message=str(error), cost_nano_usd=cost), error
    if finished is None:
        raise RuntimeError(f"{model.card.name} ended its stream without finishing")
    return GivenAnswer(
        key=key,
        text=text,
        finish_reason=finished.finish_reason.value,
        input_tokens=finished.usage.input_tokens,
        output_tokens=finished.usage.output_tokens,
        estimated=finished.usage.estimated,
        cost_nano_usd=finished.cost_nano_usd,
        logprobs=summary(logprobs),
    )


def summary(logprobs: Iterable[float]) -> LogprobFigures | None:
    """The figures that a judge sees of the token log-probabilities of an answer; None when there are none."""
    values = [min(value, 0.0) for value in logprobs]
    if not values:
        return None
    return LogprobFigures(
        tokens=len(values),
        mean=sum(values) / len(values),
        minimum=min(values),
        share_uncertain=sum(value < UNCERTAIN_BELOW for value in values) / len(values),
        first=values[0],
    )
