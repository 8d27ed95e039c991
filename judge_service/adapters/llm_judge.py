"""A judge that asks a language model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, assert_never

from judge_service.domain import rubric
from judge_service.domain.candidates import Case, Turn
from judge_service.domain.errors import JudgeFailed, UnreadableReply
from judge_service.domain.verdicts import Opinion, TokenUsage
from providers.errors import ProviderError
from providers.port import ChatMessage, ChatModel, ChatRequest, Chunk, Finished, FinishReason, Role, TokenLogprob, Usage

ALTERNATIVES = 20
"""Alternatives asked for with style `yes_no`: the most that providers return."""

REPLY_CHARS_MAX = 20_000
"""A longer reply is no rubric; reading stops there."""

TEMPLATE_TOKENS_MAX = 64
"""Allowance for what a provider's chat template adds to two turns."""

_LONGEST_NONCE = "n" * 16

Style = Literal["rubric", "yes_no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmJudgeOptions:
    """How a language model is asked. ``max_output_tokens`` bounds the reply of style `rubric`; `yes_no` needs one token."""

    name: str
    style: Style
    max_output_tokens: int
    timeout_s: float
    not_for_own_answers: bool


@dataclass(frozen=True, slots=True)
class _Reply:
    text: str
    first: TokenLogprob | None
    finished: Finished


class LlmJudge:
    """Asks a language model whether an answer is right (style `yes_no`) or how good it is (style `rubric`).

    ``draw_nonce`` returns a new random word on each call; it fences what the candidate wrote.
    """

    kind = "llm"
    finds_defects = False

    def __init__(self, model: ChatModel, options: LlmJudgeOptions, *, draw_nonce: Callable[[], str]) -> None:
        self._chat = model
        self._options = options
        self._draw_nonce = draw_nonce

    @property
    def name(self) -> str:
        """Name in the configuration."""
        return self._options.name

    @property
    def model(self) -> str:
        """Name of the model that is asked."""
        return self._chat.card.name

    @property
    def timeout_s(self) -> float | None:
        """Longest wait for the model in seconds."""
        return self._options.timeout_s

    def cost_max_nano_usd(self, case: Case) -> int:
        """Most that judging ``case`` can cost: every byte of the prompt a token, the chat template, and the longest reply."""
        if self._stays_silent(case):
            return 0
        prompt_bytes = sum(len(turn.content.encode()) for turn in self._turns(case, _LONGEST_NONCE))
        usage = Usage(input_tokens=prompt_bytes + TEMPLATE_TOKENS_MAX, output_tokens=self._output_tokens)
        return self._chat.card.price.cost_nano_usd(usage)

    async def judge(self, case: Case) -> Opinion:
        """Asks the model. Raises ``JudgeFailed`` when the call fails or the reply can't be read."""
        if self._stays_silent(case):
            return Opinion(score=None, explanation="the answer was written by the judge's own model")
        turns = self._turns(case, rubric.fresh_nonce(self._draw_nonce, [text for _, text in rubric.sections(case)]))
        reply = await self._ask(turns)
        usage = _usage(reply.finished.usage)
        cost = reply.finished.cost_nano_usd
        try:
            match self._options.style:
                case "yes_no":
                    score = rubric.yes_probability(_alternatives(reply.first))
                    return Opinion(score=score, explanation="probability of Yes against No", cost_nano_usd=cost, usage=usage)
                case "rubric":
                    criteria = rubric.read_rubric(_whole(reply))
                    return Opinion(
                        score=rubric.rubric_score(criteria),
                        explanation="rubric of seven criteria",
                        criteria=tuple(criteria.items()),
                        cost_nano_usd=cost,
                        usage=usage,
                    )
                case _:
                    assert_never(self._options.style)
        except UnreadableReply as error:
            raise JudgeFailed(str(error), cost_nano_usd=cost, usage=usage) from error

    @property
    def _output_tokens(self) -> int:
        return 1 if self._options.style == "yes_no" else self._options.max_output_tokens

    def _stays_silent(self, case: Case) -> bool:
        return self._options.not_for_own_answers and case.candidate.model == self.model

    def _turns(self, case: Case, nonce: str) -> tuple[Turn, ...]:
        return rubric.yes_no_turns(case, nonce) if self._options.style == "yes_no" else rubric.rubric_turns(case, nonce)

    async def _ask(self, turns: tuple[Turn, ...]) -> _Reply:
        yes_no = self._options.style == "yes_no"
        request = ChatRequest(
            messages=tuple(ChatMessage(Role(turn.speaker.value), turn.content) for turn in turns),
            max_output_tokens=self._output_tokens,
            logprobs=yes_no,
            top_logprobs=ALTERNATIVES if yes_no else 0,
            timeout_s=self._options.timeout_s,
        )
        text, first = "", None
        try:
            async with aclosing(self._chat.stream(request)) as events:
                async for event in events:
                    match event:
                        case Chunk():
                            first = first or next(iter(event.logprobs), None)
                            text += event.text
                        case Finished():
                            return _Reply(text, first, event)
                        case _:
                            assert_never(event)
                    if len(text) > REPLY_CHARS_MAX:
                        raise JudgeFailed(f"the reply is longer than {REPLY_CHARS_MAX} characters")
        except ProviderError as error:
            raise JudgeFailed(f"model `{self.model}` could not be asked: {error.kind}") from error
        raise JudgeFailed(f"model `{self.model}` stopped without finishing its reply")


def _alternatives(first: TokenLogprob | None) -> tuple[tuple[str, float], ...]:
    if first is None:
        raise UnreadableReply("the model returned no log-probabilities")
    return first.alternatives or ((first.token, first.logprob),)


def _whole(reply: _Reply) -> str:
    if reply.finished.finish_reason is FinishReason.LENGTH:
        raise UnreadableReply("the reply was cut off")
    return reply.text


def _usage(usage: Usage) -> TokenUsage:
    return TokenUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        estimated=usage.estimated,
    )
