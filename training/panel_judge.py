"""Asks the `llm` judge of a configuration about every answer of a recording; one JSON line per answer beside the recording's tables.

The journal is what makes it resume: an answer that has a line is not judged again, and two models that say the same cost one call.
"""

from __future__ import annotations

import asyncio
import json
import random
import string
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from judge_service.adapters.llm_judge import LlmJudge, LlmJudgeOptions
from judge_service.domain.candidates import Candidate, Case, Speaker, Turn
from judge_service.domain.errors import JudgeFailed
from providers.port import ChatModel
from servicekit.settings.judge import LlmJudgeSettings
from servicekit.settings.root import Settings
from training.panel_recording import SCORES_FILE, RecordedRow, Scores, read_scores

Tell = Callable[[str], None]


def llm_settings(settings: Settings) -> LlmJudgeSettings:
    """The first `llm` judge of the panel. Ends the program when there is none."""
    found = next((judge for judge in settings.judge.judges if isinstance(judge, LlmJudgeSettings)), None)
    if found is None:
        raise SystemExit("the configuration's panel has no judge of kind `llm`; fit without its scores, or add one")
    return found


async def judge_recording(
    folder: Path, rows: Sequence[RecordedRow], *, judge: LlmJudgeSettings, model: ChatModel, cost_max_nano_usd: int, tell: Tell
) -> None:
    """Judges every row without a score and appends the scores question by question.

    Ends early, and says so, before the call that might exceed ``cost_max_nano_usd``, earlier runs not counted.
    """
    scores = await asyncio.to_thread(read_scores, folder)
    waiting: dict[str, list[RecordedRow]] = {}
    for row in rows:
        if (row.row.question_id, row.row.model) not in scores:
            waiting.setdefault(row.row.question_id, []).append(row)
    started, spent = time.monotonic(), 0
    for count, (question_id, answers) in enumerate(waiting.items(), start=1):
        asked = _judge(model, judge, question_id)
        worst = sum(asked.cost_max_nano_usd(_case(row)) for row in answers)
        if spent + worst > cost_max_nano_usd:
            tell(f"stopped at the cost ceiling: {len(waiting) - count + 1} questions are left")
            return
        found, cost = await _scores(asked, answers)
        spent += cost
        await asyncio.to_thread(_append, folder / SCORES_FILE, found)
        pace = (time.monotonic() - started) / count
        tell(f"{count}/{len(waiting)} questions, {pace:.1f} s each, {pace * (len(waiting) - count) / 60:.0f} min left")


def _judge(model: ChatModel, judge: LlmJudgeSettings, question_id: str) -> LlmJudge:
    """The judge as the service has it. The nonce depends on the question, so that a recording can be repeated."""
    source = random.Random(question_id)  # noqa: S311 a recording must be repeatable; the service draws from `secrets`

    def draw() -> str:
        return "".join(source.choices(string.ascii_lowercase + string.digits, k=8))

    options = LlmJudgeOptions(
        name=judge.name,
        style=judge.style,
        max_output_tokens=judge.max_output_tokens,
        timeout_s=judge.timeout_ms / 1_000,
        not_for_own_answers=judge.not_for_own_answers,
    )
    return LlmJudge(model, options, draw_nonce=draw)


async def _scores(judge: LlmJudge, answers: Sequence[RecordedRow]) -> tuple[Scores, int]:
    """Scores by question and model, None where the judge failed or kept silent, and what they cost in nano-USD."""
    by_text: dict[str, float | None] = {}
    found: Scores = {}
    cost = 0
    for answer in answers:
        text = answer.row.answer
        if text not in by_text:
            by_text[text], spent = await _score(judge, _case(answer))
            cost += spent
        found[answer.row.question_id, answer.row.model] = by_text[text]
    return found, cost


async def _score(judge: LlmJudge, case: Case) -> tuple[float | None, int]:
    try:
        opinion = await judge.judge(case)
    except JudgeFailed as error:
        return None, error.cost_nano_usd
    return opinion.score, opinion.cost_nano_usd


def _case(row: RecordedRow) -> Case:
    candidate = Candidate(id="answer", text=row.row.answer, model=row.row.model)
    return Case(conversation=(Turn(Speaker.USER, row.row.question),), candidate=candidate)


def _append(path: Path, scores: Mapping[tuple[str, str], float | None]) -> None:
    with path.open("a", encoding="utf-8") as file:
        for (question_id, model), score in scores.items():
            file.write(json.dumps({"question_id": question_id, "model": model, "score": score}) + "\n")
