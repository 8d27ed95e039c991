"""Asks the local models the panel's own questions and the `llm` judge about each answer."""

from __future__ import annotations

import asyncio
import random
import string
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Literal, assert_never

from judge_service.adapters.llm_judge import LlmJudge, LlmJudgeOptions
from judge_service.domain.candidates import Candidate, Case, Ending, LogprobFigures, Speaker, Turn
from judge_service.domain.errors import JudgeFailed
from providers.port import ChatMessage, ChatModel, ChatRequest, Chunk, Finished, Role
from training.panel_grading import is_right
from training.panel_questions import PanelQuestion
from training.panel_rows import LADDER, AnswerRow, append_rows, read_rows

ANSWER_TOKENS_MAX = 64
JUDGE_MODEL = LADDER[-1]
CALL_TIMEOUT_S = 600.0

Tell = Callable[[str], None]


async def record(models: Mapping[str, ChatModel], questions: Sequence[PanelQuestion], *, path: Path, tell: Tell) -> None:
    """Asks every model every question that has no rows yet, and appends the rows question by question.

    Interrupt and start again at will. Raises ``ProviderError`` when a model can't be asked.
    """
    done = {row.question_id for row in await asyncio.to_thread(read_rows, path)}
    still_open = [question for question in questions if question.id not in done]
    started = time.monotonic()
    for count, question in enumerate(still_open, start=1):
        rows = await _ask_all(models, question)
        await asyncio.to_thread(append_rows, path, rows)
        pace = (time.monotonic() - started) / count
        left_min = pace * (len(still_open) - count) / 60
        tell(f"{len(done) + count}/{len(questions)} questions, {pace:.1f} s each, {left_min:.0f} min left")


async def _ask_all(models: Mapping[str, ChatModel], question: PanelQuestion) -> list[AnswerRow]:
    judge = _judge(models[JUDGE_MODEL], question)
    scores: dict[str, float | None] = {}
    rows: list[AnswerRow] = []
    for name in LADDER:
        candidate, tokens = await _ask(models[name], question)
        if candidate.text not in scores:
            scores[candidate.text] = await _score(judge, question, candidate)
        rows.append(_row(question, candidate, tokens, scores[candidate.text]))
    return rows


def _judge(model: ChatModel, question: PanelQuestion) -> LlmJudge:
    """The judge as the local configuration has it. The nonce depends on the question, so that a recording can be repeated."""
    source = random.Random(question.id)  # noqa: S311 a recording must be repeatable; the service draws from `secrets`

    def draw() -> str:
        return "".join(source.choices(string.ascii_lowercase + string.digits, k=8))

    style: Literal["yes_no"] = "yes_no"
    options = LlmJudgeOptions(name="llm", style=style, max_output_tokens=1, timeout_s=CALL_TIMEOUT_S, not_for_own_answers=False)
    return LlmJudge(model, options, draw_nonce=draw)


async def _ask(model: ChatModel, question: PanelQuestion) -> tuple[Candidate, tuple[int, int]]:
    request = ChatRequest(
        messages=(ChatMessage(Role.USER, question.text),),
        max_output_tokens=ANSWER_TOKENS_MAX,
        logprobs=True,
        timeout_s=CALL_TIMEOUT_S,
    )
    text, logprobs = "", list[float]()
    async with aclosing(model.stream(request)) as events:
        async for event in events:
            match event:
                case Chunk():
                    text += event.text
                    logprobs += [token.logprob for token in event.logprobs]
                case Finished():
                    candidate = Candidate(
                        id="answer",
                        text=text,
                        model=model.card.name,
                        ending=Ending(event.finish_reason.value),
                        logprobs=summary(logprobs),
                    )
                    return candidate, (event.usage.input_tokens, event.usage.output_tokens)
                case _:
                    assert_never(event)
    raise RuntimeError(f"{model.card.name} ended its stream without finishing")


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


UNCERTAIN_BELOW = -0.6931471805599453
"""Natural logarithm of one half."""


async def _score(judge: LlmJudge, question: PanelQuestion, candidate: Candidate) -> float | None:
    try:
        opinion = await judge.judge(Case(conversation=(Turn(Speaker.USER, question.text),), candidate=candidate))
    except JudgeFailed:
        return None
    return opinion.score


def _row(question: PanelQuestion, candidate: Candidate, tokens: tuple[int, int], llm_score: float | None) -> AnswerRow:
    return AnswerRow(
        question_id=question.id,
        question=question.text,
        domain=question.domain,
        reasoning_complexity=question.reasoning_complexity,
        model=candidate.model,
        answer=candidate.text,
        finish_reason=candidate.ending.value,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        logprobs=candidate.logprobs,
        llm_score=llm_score,
        correct=is_right(question, candidate.text, cut_off=candidate.ending is Ending.LENGTH),
    )
