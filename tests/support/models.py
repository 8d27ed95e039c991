"""A language model in memory for unit tests: it plays a script and complains when the script is not followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

from providers.errors import ProviderError
from providers.port import ChatEvent, ChatRequest, Chunk, Finished, FinishReason, ModelCard, Price, TokenLogprob, Usage


@dataclass(frozen=True)
class Gate:
    """A step of a script: sets ``reached`` and waits until ``opened`` is set. A gate that nobody opens is a model that hangs."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)


Step = ChatEvent | ProviderError | Gate


@dataclass(frozen=True)
class Answer:
    """A whole answer: its pieces with token log-probabilities, its end and its token counts.

    ``logprobs`` are natural logarithms, one per piece; they are sent only when the request asks for them.
    """

    pieces: tuple[str, ...]
    input_tokens: int = 10
    output_tokens: int | None = None
    finish_reason: FinishReason = FinishReason.STOP
    logprobs: tuple[float, ...] = ()

    def steps(self, request: ChatRequest, price: Price, model: str) -> Iterable[Step]:
        for index, piece in enumerate(self.pieces):
            tokens: tuple[TokenLogprob, ...] = ()
            if request.logprobs and self.logprobs:
                tokens = (TokenLogprob(token=piece, logprob=self.logprobs[index]),)
            yield Chunk(text=piece, logprobs=tokens)
        output_tokens = len(self.pieces) if self.output_tokens is None else self.output_tokens
        usage = Usage(input_tokens=self.input_tokens, output_tokens=output_tokens)
        yield Finished(
            finish_reason=self.finish_reason,
            usage=usage,
            cost_nano_usd=price.cost_nano_usd(usage),
            response_id=f"{model}-response",
            response_model=model,
        )


def says(
    text: str,
    *,
    input_tokens: int = 10,
    output_tokens: int | None = None,
    finish_reason: FinishReason = FinishReason.STOP,
    logprob: float | None = None,
) -> Answer:
    """An answer whose pieces are the words of ``text``, each with the log-probability ``logprob`` if one is given."""
    words = text.split(" ") if text else []
    return Answer(
        pieces=tuple(word if index == 0 else f" {word}" for index, word in enumerate(words)),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        finish_reason=finish_reason,
        logprobs=() if logprob is None else (logprob,) * len(words),
    )


Script = str | Answer | ProviderError | tuple[Step, ...]


class ScriptedModel:
    """Plays one script per call, in order.

    A script is a text (streamed word by word), an ``Answer``, a ``ProviderError`` to raise, or a tuple of steps. A call beyond the
    last script and a script that was never asked for (checked by ``aclose`` and ``assert_script_done``) are ``AssertionError``.
    ``requests`` holds what was asked; ``closed_early`` counts calls that were closed or cancelled before they ended, and
    ``early_close`` is set with the first of them; ``in_flight`` and ``in_flight_peak`` count calls at a time.
    """

    def __init__(
        self,
        name: str,
        *scripts: Script,
        price: Price | None = None,
        capabilities: frozenset[str] = frozenset({"logprobs"}),
        context_tokens: int = 8_192,
        max_output_tokens: int = 1_024,
    ) -> None:
        self._card = ModelCard(
            name=name,
            provider="openai_compatible",
            upstream_model=name,
            price=Price() if price is None else price,
            context_tokens=context_tokens,
            max_output_tokens=max_output_tokens,
            capabilities=capabilities,
        )
        self._scripts = list(scripts)
        self.requests: list[ChatRequest] = []
        self.closed_early = 0
        self.early_close = asyncio.Event()
        self.in_flight = 0
        self.in_flight_peak = 0
        self.closed = False

    @property
    def card(self) -> ModelCard:
        return self._card

    def then(self, *scripts: Script) -> None:
        """Adds scripts for further calls."""
        self._scripts.extend(scripts)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        assert not self.closed, f"{self._card.name} was asked after aclose()"
        self.requests.append(request)
        assert self._scripts, f"{self._card.name} was asked {len(self.requests)} times, more often than scripted"
        steps = self._steps(self._scripts.pop(0), request)
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        try:
            for step in steps:
                await asyncio.sleep(0)
                match step:
                    case ProviderError():
                        raise step
                    case Gate(opened, reached):
                        reached.set()
                        await opened.wait()
                    case Chunk() | Finished():
                        yield step
        except (GeneratorExit, asyncio.CancelledError):
            self.closed_early += 1
            self.early_close.set()
            raise
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        self.closed = True
        self.assert_script_done()

    def assert_script_done(self) -> None:
        assert not self._scripts, f"{self._card.name}: {len(self._scripts)} scripted answers were never asked for"

    def _steps(self, script: Script, request: ChatRequest) -> Iterable[Step]:
        match script:
            case str():
                return says(script).steps(request, self._card.price, self._card.name)
            case Answer():
                return script.steps(request, self._card.price, self._card.name)
            case ProviderError():
                return (script,)
            case tuple():
                return script


async def collect(events: AsyncGenerator[ChatEvent, None]) -> tuple[str, Finished]:
    """The whole text of a stream and its end; fails when the stream does not obey the port's grammar."""
    pieces: list[str] = []
    finished: Finished | None = None
    async for event in events:
        assert finished is None, "an event after Finished"
        match event:
            case Chunk(text, logprobs):
                assert text or logprobs, "a chunk without text and log-probabilities"
                pieces.append(text)
            case Finished():
                finished = event
    assert finished is not None, "the stream ended without Finished"
    return "".join(pieces), finished
