"""Asking: limits, ceilings, failures, interruptions. Models are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from providers.errors import AuthenticationFailed, ContextTooLong, ProviderError, ServerFault
from providers.port import Chunk, Price
from tests.support.models import Gate, ScriptedModel, says
from tests.support.recording import TERMS, asked, opened
from training.record.asking import request_of, summary
from training.record.ceiling import CostCeiling, worst_case_nano_usd
from training.record.entries import AnswerKey, FailedCall, GivenAnswer
from training.record.journal import Journal
from training.record.session import FAILURES_TO_GIVE_UP, NotAsked, Session, open_keys

DEAR = Price(input_nano_usd_per_mtok=1_000_000, output_nano_usd_per_mtok=1_000_000)
"""One nano-USD per token."""


class Seen:
    def __init__(self) -> None:
        self.events: list[GivenAnswer | FailedCall] = []

    def answered(self, answer: GivenAnswer) -> None:
        self.events.append(answer)

    def failed(self, failure: FailedCall) -> None:
        self.events.append(failure)


async def run(
    folder: Path,
    *models: ScriptedModel,
    questions: int = 2,
    samples: int = 1,
    ceiling: int | None = None,
    concurrency: int = 4,
    stop: asyncio.Event | None = None,
) -> tuple[Journal, Seen, list[NotAsked]]:
    seen = Seen()
    async with opened(folder) as journal:
        await asyncio.to_thread(journal.add, [] if journal.terms else [TERMS, *(asked(f"q{n}") for n in range(questions))])
        keys = open_keys(journal.questions.values(), [model.card.name for model in models], samples=samples, journal=journal)
        session = Session(
            journal,
            TERMS,
            ceiling=CostCeiling(ceiling, spent_nano_usd=journal.spent_nano_usd),
            concurrency_max=concurrency,
            watcher=seen,
            stop=stop or asyncio.Event(),
        )
        lanes = {model.card.name: 2 for model in models}
        not_asked = await session.ask_all(keys, {model.card.name: model for model in models}, lanes_max=lanes)
    return journal, seen, not_asked


async def test_every_model_answers_every_question_once(tmp_path: Path) -> None:
    small, large = ScriptedModel("small", "5", "5"), ScriptedModel("large", says("five", logprob=-0.5), "5")
    journal, seen, not_asked = await run(tmp_path, small, large)
    assert sorted(journal.answers) == [AnswerKey(question, model) for question in ("q0", "q1") for model in ("large", "small")]
    assert (len(seen.events), not_asked) == (4, [])
    answer = journal.answers[AnswerKey("q0", "large")]
    assert (answer.text, answer.finish_reason, answer.input_tokens, answer.output_tokens) == ("five", "stop", 10, 1)
    assert answer.logprobs is not None
    assert answer.logprobs.mean == pytest.approx(-0.5)
    again, seen, _ = await run(tmp_path, small, large)
    assert (seen.events, again.answers) == ([], journal.answers)
    small.assert_script_done()


async def test_a_failure_is_told_and_asked_again_in_the_next_run(tmp_path: Path) -> None:
    model = ScriptedModel("small", ServerFault("down", model="small"), "5")
    journal, _, not_asked = await run(tmp_path, model, concurrency=1)
    assert [failure.error for failure in journal.failures.values()] == ["server_error"]
    assert (len(journal.answers), not_asked) == (1, [])
    model.then("5")
    journal, _, _ = await run(tmp_path, model)
    assert (journal.failures, len(journal.answers)) == ({}, 2)


async def test_a_call_that_broke_off_is_taken_to_have_cost_its_worst_case(tmp_path: Path) -> None:
    broken = (Chunk(text="five"), ServerFault("gone", model="small"))
    model = ScriptedModel("small", broken, ServerFault("down", model="small"), price=DEAR)
    journal, _, _ = await run(tmp_path, model, concurrency=1)
    worst = worst_case_nano_usd(model.card, request_of("What is 2 + 3?", TERMS, sample=0))
    assert [failure.cost_nano_usd for failure in journal.failures.values()] == [worst, 0]
    assert journal.spent_nano_usd == worst == 14 + 64 + 64


@pytest.mark.parametrize(
    ("error", "calls", "why"),
    [
        (ServerFault("down", model="small"), FAILURES_TO_GIVE_UP, "given up after 5 failures in a row, the last one server_error"),
        (AuthenticationFailed("no", model="small"), 1, "the provider refuses the key"),
    ],
)
async def test_a_model_that_keeps_failing_is_left_alone(tmp_path: Path, error: ProviderError, calls: int, why: str) -> None:
    model = ScriptedModel("small", *[error] * calls)
    journal, _, not_asked = await run(tmp_path, model, questions=9, concurrency=1)
    assert (len(journal.failures), {entry.why for entry in not_asked}, len(not_asked)) == (calls, {why}, 9 - calls)


async def test_what_is_wrong_with_one_question_says_nothing_about_the_next(tmp_path: Path) -> None:
    model = ScriptedModel("small", *[ContextTooLong("long", model="small")] * 8, "5")
    journal, _, not_asked = await run(tmp_path, model, questions=9, concurrency=1)
    assert (len(journal.failures), len(journal.answers), not_asked) == (8, 1, [])


@pytest.mark.parametrize("answers", [0, 1, 2, 3])
async def test_no_call_is_made_that_might_exceed_the_ceiling(tmp_path: Path, answers: int) -> None:
    worst = 14 + 64 + 64
    cost = 10 + 1
    ceiling = (answers - 1) * cost + worst if answers else worst - 1
    model = ScriptedModel("small", *["5"] * answers, price=DEAR)
    journal, _, not_asked = await run(tmp_path, model, questions=5, ceiling=ceiling)
    assert (len(journal.answers), {entry.why for entry in not_asked}) == (answers, {"cost ceiling"})
    assert journal.spent_nano_usd == answers * cost <= ceiling
    model.assert_script_done()


async def test_the_ceiling_counts_what_earlier_runs_cost(tmp_path: Path) -> None:
    model = ScriptedModel("small", "5", "5", price=DEAR)
    await run(tmp_path, model)
    journal, _, not_asked = await run(tmp_path, model, samples=2, ceiling=22 + 14 + 64 + 64 - 1)
    assert (journal.spent_nano_usd, len(not_asked)) == (22, 2)


async def test_worst_cases_in_flight_are_held_back(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel("small", (gate, *says("5").steps(request_of("?", TERMS, sample=0), DEAR, "small")), "5", price=DEAR)
    task = asyncio.create_task(run(tmp_path, model, ceiling=2 * (14 + 64 + 64) - 1))
    await gate.reached.wait()
    await asyncio.sleep(0.05)
    assert model.in_flight == 1
    gate.opened.set()
    journal, _, not_asked = await task
    assert (len(journal.answers), not_asked) == (2, [])


@pytest.mark.parametrize(("concurrency", "peak"), [(1, 1), (3, 2)])
async def test_calls_keep_to_the_common_limit_and_to_the_model_own(tmp_path: Path, concurrency: int, peak: int) -> None:
    model = ScriptedModel("small", *["5"] * 6)
    await run(tmp_path, model, questions=6, concurrency=concurrency)
    assert model.in_flight_peak == peak


async def test_further_samples_are_drawn_and_the_first_answer_is_not(tmp_path: Path) -> None:
    model = ScriptedModel("small", "5", "6", "7")
    journal, _, _ = await run(tmp_path, model, questions=1, samples=3, concurrency=1)
    assert [key.sample for key in sorted(journal.answers)] == [0, 1, 2]
    assert [(asking.temperature, asking.seed) for asking in model.requests] == [(0.0, None), (0.8, 1), (0.8, 2)]


async def test_stopping_lets_the_calls_in_flight_finish(tmp_path: Path) -> None:
    gate, stop = Gate(), asyncio.Event()
    steps: Sequence[object] = (gate, *says("5").steps(request_of("?", TERMS, sample=0), Price(), "small"))
    model = ScriptedModel("small", tuple(steps))  # pyright: ignore[reportArgumentType] - steps of a script
    task = asyncio.create_task(run(tmp_path, model, questions=4, concurrency=1, stop=stop))
    await gate.reached.wait()
    stop.set()
    gate.opened.set()
    journal, _, not_asked = await task
    assert (len(journal.answers), {entry.why for entry in not_asked}, len(not_asked)) == (1, {"stopped"}, 3)


def test_the_summary_of_log_probabilities() -> None:
    figures = summary([-0.1, -2.0, 0.0, -0.7])
    assert figures is not None
    assert figures.mean == pytest.approx(-0.7)
    assert (figures.tokens, figures.minimum, figures.share_uncertain, figures.first) == (4, -2.0, 0.5, -0.1)
    assert summary([]) is None
