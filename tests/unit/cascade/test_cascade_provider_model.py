"""How a provider's answers and failures look to the cascade."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest

from cascade_service.adapters.provider_model import LogprobTally, ProviderModel, sendable
from cascade_service.domain.chat import FinishReason, GenerationParams
from cascade_service.domain.errors import FailureClass, ModelFailed
from cascade_service.domain.model import AnswerEnd, ModelCall, ModelEvent, TextChunk
from providers import errors, port
from servicekit import semconv
from tests.support.cascade import QUESTION

CALL = ModelCall(
    messages=QUESTION,
    params=GenerationParams(temperature=0.5, seed=3, stop=("END",)),
    max_output_tokens=9,
    timeout_s=4.0,
    tier=1,
    attempt=2,
)


@dataclass
class ChatDouble:
    """A ``ChatModel`` that plays events or fails."""

    script: tuple[port.ChatEvent | errors.ProviderError, ...]
    capabilities: frozenset[str] = frozenset({"logprobs"})
    requests: list[port.ChatRequest] = field(default_factory=list[port.ChatRequest])

    @property
    def card(self) -> port.ModelCard:
        price = port.Price(input_nano_usd_per_mtok=1, output_nano_usd_per_mtok=2, cached_input_nano_usd_per_mtok=3)
        return port.ModelCard(
            name="m",
            provider="p",
            upstream_model="u",
            price=price,
            context_tokens=100,
            max_output_tokens=10,
            capabilities=self.capabilities,
        )

    async def stream(self, request: port.ChatRequest) -> AsyncGenerator[port.ChatEvent, None]:
        self.requests.append(request)
        for step in self.script:
            if isinstance(step, errors.ProviderError):
                raise step
            yield step

    async def aclose(self) -> None:
        pass


def finished(**changes: object) -> port.Finished:
    usage = port.Usage(input_tokens=5, output_tokens=2, cached_input_tokens=1, estimated=True)
    values: dict[str, object] = {"finish_reason": port.FinishReason.STOP, "usage": usage, "cost_nano_usd": 7} | changes
    return port.Finished(**values)  # pyright: ignore[reportArgumentType] - by name


async def play(double: ChatDouble) -> list[ModelEvent]:
    return [event async for event in ProviderModel(double).stream(CALL)]


async def test_an_answer_with_its_log_probabilities_summed_up() -> None:
    chunks = (
        port.Chunk("4", (port.TokenLogprob("4", math.log(0.9)),)),
        port.Chunk("2", (port.TokenLogprob("2", math.log(0.4)), port.TokenLogprob("", math.log(0.5)))),
    )
    double = ChatDouble((*chunks, finished()))
    *texts, end = await play(double)
    assert [chunk.text for chunk in texts if isinstance(chunk, TextChunk)] == ["4", "2"]
    assert [chunk.logprobs.tokens for chunk in texts if isinstance(chunk, TextChunk) and chunk.logprobs] == [1, 3]
    assert isinstance(end, AnswerEnd)
    assert (end.finish_reason, end.cost_nano_usd, end.usage.estimated) == (FinishReason.STOP, 7, True)
    assert end.logprobs is not None
    assert (end.logprobs.tokens, end.logprobs.first) == (3, math.log(0.9))
    assert end.logprobs.min == math.log(0.4)
    assert end.logprobs.share_uncertain == pytest.approx(1 / 3)
    assert end.logprobs.mean == pytest.approx(math.log(0.9 * 0.4 * 0.5) / 3)


async def test_the_request_says_why_it_is_made() -> None:
    double = ChatDouble((finished(),))
    await play(double)
    (request,) = double.requests
    assert (request.max_output_tokens, request.timeout_s, request.temperature, request.top_p) == (9, 4.0, 0.5, 1.0)
    assert (request.seed, request.stop, request.logprobs) == (3, ("END",), True)
    assert dict(request.labels) == {semconv.EMAFUSION_CASCADE_TIER: 1, semconv.EMAFUSION_CASCADE_ATTEMPT: 2}
    plain = ChatDouble((finished(),), capabilities=frozenset())
    await play(plain)
    assert not plain.requests[0].logprobs


@pytest.mark.parametrize("reason", port.FinishReason)
async def test_every_finish_reason_has_its_like(reason: port.FinishReason) -> None:
    (end,) = await play(ChatDouble((finished(finish_reason=reason),)))
    assert isinstance(end, AnswerEnd)
    expected = FinishReason.UNSPECIFIED if reason is port.FinishReason.UNKNOWN else FinishReason[reason.name]
    assert end.finish_reason is expected
    assert end.logprobs is None


async def test_counts_that_no_message_can_carry_are_held_in_bounds() -> None:
    usage = port.Usage(input_tokens=-1, output_tokens=10**30)
    (end,) = await play(ChatDouble((finished(usage=usage, cost_nano_usd=10**30),)))
    assert isinstance(end, AnswerEnd)
    assert (end.usage.input_tokens, end.usage.output_tokens, end.cost_nano_usd) == (0, 10**15, 10**15)


CLASSES: dict[type[errors.ProviderError], FailureClass] = {
    errors.ProviderTimeout: FailureClass.TIMEOUT,
    errors.AuthenticationFailed: FailureClass.AUTHENTICATION,
    errors.RequestRejected: FailureClass.REJECTED,
    errors.ContentPolicyViolation: FailureClass.CONTENT_POLICY,
}


def _provider_errors() -> list[type[errors.ProviderError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ProviderError)]


@pytest.mark.parametrize("kind", _provider_errors())
async def test_every_provider_error_has_a_consequence(kind: type[errors.ProviderError]) -> None:
    double = ChatDouble((kind("key sk-123 at https://internal.example", model="m", status_code=499),))
    with pytest.raises(ModelFailed) as caught:
        await play(double)
    expected = next((CLASSES[base] for base in kind.__mro__ if base in CLASSES), FailureClass.ESCALATE)
    assert caught.value.failure_class is expected
    assert (caught.value.refusal("m") is None) == kind.escalatable
    assert caught.value.kind == kind.kind
    assert "sk-123" not in str(caught.value)
    assert "internal.example" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), -9999.0, 0.5])
def test_figures_that_are_no_log_probabilities_stay_in_bounds(value: float) -> None:
    tally = LogprobTally()
    tally.add((port.TokenLogprob("x", value), port.TokenLogprob("y", -0.1)))
    summary = tally.summary()
    assert summary is not None
    assert math.isfinite(summary.mean)
    assert -100.0 <= summary.min <= summary.mean <= 0.0


def test_lone_surrogates_are_replaced_and_pairs_are_joined() -> None:
    assert sendable("a\ud83db") == "a\ufffdb"
    assert sendable("\ud83d\ude00 ok") == "😀 ok"
