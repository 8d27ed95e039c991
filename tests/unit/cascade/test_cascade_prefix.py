"""PREFIX_COMMIT: beginnings that pass become final, hopeless ones end their attempt, and what is final is continued."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cascade_service.domain.cascade import Cascade
from cascade_service.domain.chat import FinishReason, Message, OutputContract, OutputKind, Role
from cascade_service.domain.decision import DecisionStatus
from cascade_service.domain.errors import FailureClass, JudgeUnavailable, ModelFailed
from cascade_service.domain.events import (
    CascadeEvent,
    Committed,
    Completion,
    DeliveryMode,
    Delta,
    Escalated,
    EscalationReason,
    Outcome,
    Retracted,
)
from cascade_service.domain.model import TextChunk
from cascade_service.domain.plan import Plan, PlannedModel
from cascade_service.domain.ports import JudgeQuestion
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.verdict import Defect, Verdict
from tests.support.cascade import (
    PREFIX_GRAMMAR,
    QUESTION,
    Await,
    Hang,
    Reader,
    Rest,
    ScriptedJudge,
    ScriptedLlm,
    ScriptedRouter,
    Stage,
    Step,
    answer,
    ask,
    collect_until_error,
    completion_of,
    kinds,
    letters,
    verdict,
)

BROKEN = ModelFailed("connection broken", kind="connection_broken")
HOLD_4 = PrefixRules(hold_tokens=4, checkpoint_tokens=4)
BEGINNING, MIDDLE, END = "The answer to it", " is, as I know,", " forty-two."


def asked(**fields: object) -> CascadeRequest:
    return replace(ask(delivery=DeliveryMode.PREFIX_COMMIT, prefix=HOLD_4, prefix_threshold=0.5), **fields)  # pyright: ignore[reportArgumentType] - fields of the test's choice


def slowly(*pieces: str, then: Sequence[Step] = ()) -> list[Step]:
    """Writes the pieces and lets the judges speak after each."""
    return [*(step for piece in pieces for step in (TextChunk(piece), Rest(20))), *then]


def whole(*pieces: str, finish: FinishReason = FinishReason.STOP) -> list[Step]:
    return slowly(*pieces, then=answer(finish=finish))


async def run(stage: Stage, request: CascadeRequest | None = None) -> tuple[list[CascadeEvent], Completion]:
    """The events and what came of them; the rules of the stream are checked on the way."""
    events = await stage.run(request or asked())
    reader = Reader()
    for event in events:
        reader.read(event)
    assert re.fullmatch(PREFIX_GRAMMAR, letters(events)), letters(events)
    return events, completion_of(events)


def stage_of(*models: ScriptedLlm, verdicts: dict[str, Verdict], on_beginnings: dict[str, Verdict]) -> Stage:
    return Stage(models, ScriptedJudge(dict(verdicts), dict(on_beginnings)))


async def test_a_beginning_that_passes_is_final_while_its_model_writes_on() -> None:
    go_on = asyncio.Event()
    steps = [TextChunk(BEGINNING), Await(go_on), *answer(END)]
    stage = stage_of(ScriptedLlm("small", steps), verdicts={"small": verdict(0.9)}, on_beginnings={"small": verdict(0.6)})
    seen: list[CascadeEvent] = []
    async for event in stage.cascade().answer(asked()):
        seen.append(event)
        if isinstance(event, Committed):
            go_on.set()
    assert kinds(seen) == ["Routed", "AttemptStarted", "Delta", "Committed", "Delta", "Judged", "Committed", "Completed"]
    assert [event.text for event in seen if isinstance(event, Delta)] == [BEGINNING, END]
    assert completion_of(seen).outcome is Outcome.ACCEPTED


async def test_a_beginning_is_judged_by_the_cheap_judges_as_a_beginning() -> None:
    stage = stage_of(
        ScriptedLlm("small", whole("One", " after")),
        ScriptedLlm("large", whole(BEGINNING, END)),
        verdicts={"small": verdict(0.1), "large": verdict(0.9)},
        on_beginnings={"large": verdict(0.6)},
    )
    stage.cheap_judges = ("checks", "confidence")
    await run(stage, asked(output=OutputContract(kind=OutputKind.NUMBER)))
    beginnings = [question for question, _ in stage.judge.questions if question.judges]
    assert [question.candidate.text for question in beginnings] == [BEGINNING]
    (beginning,) = beginnings
    assert beginning.judges == ("checks", "confidence")
    assert beginning.candidate.finish_reason is FinishReason.UNSPECIFIED
    assert beginning.output == OutputContract()
    assert (beginning.peers, beginning.cost_max_nano_usd, beginning.accept_threshold) == ((), 0, 0.5)
    assert [timeout_s for question, timeout_s in stage.judge.questions if question.judges] == [2.0]


async def test_text_that_must_have_a_form_is_not_final_before_its_end() -> None:
    stage = stage_of(ScriptedLlm("small", whole(BEGINNING, END)), verdicts={"small": verdict(0.9)}, on_beginnings={"small": verdict(0.9)})
    events, _ = await run(stage, asked(output=OutputContract(kind=OutputKind.JSON)))
    assert kinds(events) == ["Routed", "AttemptStarted", "Judged", "Delta", "Committed", "Completed"]


async def test_checkpoints_commit_and_a_late_rejection_takes_back_only_what_came_after_the_last() -> None:
    steps = [*slowly(BEGINNING, MIDDLE), TextChunk(" yes"), *answer(finish=FinishReason.LENGTH)]
    large = ScriptedLlm("large", whole(" forty-two."), prefill=True)
    stage = stage_of(
        ScriptedLlm("small", steps), large, verdicts={"small": verdict(0.2), "large": verdict(0.9)}, on_beginnings={"small": verdict(0.6)}
    )
    events, completion = await run(stage)
    assert kinds(events)[1:9] == ["AttemptStarted", "Delta", "Committed", "Delta", "Committed", "Delta", "Judged", "Retracted"]
    assert [event for event in events if isinstance(event, Retracted)] == [Retracted(attempt=0, from_sequence=3)]
    assert completion.text == BEGINNING + MIDDLE + " forty-two."
    assert (completion.model, completion.outcome, completion.incomplete) == ("large", Outcome.ACCEPTED, False)
    assert [attempt.continues_attempt for attempt in completion.attempts] == [None, 0]
    (call,) = large.calls
    assert call.messages == (*QUESTION, Message(Role.ASSISTANT, BEGINNING + MIDDLE))
    assert stage.judge.questions[-1][0].candidate.text == completion.text
    assert stage.judge.questions[-1][0].messages == QUESTION


async def test_without_prefill_the_answer_is_finished_and_marked() -> None:
    large = ScriptedLlm("large", answer("never asked"))
    stage = stage_of(
        ScriptedLlm("small", whole(BEGINNING, END)), large, verdicts={"small": verdict(0.2)}, on_beginnings={"small": verdict(0.6)}
    )
    _, completion = await run(stage)
    assert large.calls == []
    assert (completion.text, completion.outcome, completion.confidence) == (BEGINNING + END, Outcome.BEST_SEEN, 0.2)
    assert completion.attempts[0].escalation_reason is EscalationReason.LOW_CONFIDENCE


async def test_models_without_prefill_are_passed_over() -> None:
    medium, large = ScriptedLlm("medium", answer("never asked")), ScriptedLlm("large", whole(END), prefill=True)
    stage = stage_of(
        ScriptedLlm("small", whole(BEGINNING, " nothing.")),
        medium,
        large,
        verdicts={"small": verdict(0.2), "large": verdict(0.9)},
        on_beginnings={"small": verdict(0.6)},
    )
    # the second checkpoint must not pass, or there is nothing left to take back
    events, completion = await run(stage, asked(prefix=replace(HOLD_4, checkpoint_tokens=1_000)))
    assert medium.calls == []
    assert completion.text == BEGINNING + END
    assert [event.next_model for event in events if isinstance(event, Escalated)] == ["large"]
    assert completion.attempts[-1].tier == 2


async def test_nothing_is_shown_of_an_answer_whose_beginning_does_not_pass() -> None:
    stage = stage_of(
        ScriptedLlm("small", whole(BEGINNING, END)),
        ScriptedLlm("large", answer("42")),
        verdicts={"small": verdict(0.2), "large": verdict(0.9)},
        on_beginnings={"small": verdict(0.4)},
    )
    events, completion = await run(stage)
    assert kinds(events)[1:4] == ["AttemptStarted", "Judged", "Escalated"]
    assert completion.text == "42"


@pytest.mark.parametrize(
    ("beginning", "reason"),
    [
        (verdict(0.9, defects=(Defect.REFUSED,)), EscalationReason.REFUSED),
        (verdict(0.9, defects=(Defect.DEGENERATE,)), EscalationReason.MALFORMED),
        (verdict(0.05, cost=7), EscalationReason.LOW_CONFIDENCE),
    ],
)
async def test_a_hopeless_beginning_is_broken_off(beginning: Verdict, reason: EscalationReason) -> None:
    small = ScriptedLlm("small", [TextChunk(BEGINNING), Hang()], max_output_tokens=100)
    stage = stage_of(small, ScriptedLlm("large", answer("42")), verdicts={"large": verdict(0.9)}, on_beginnings={"small": beginning})
    request = replace(asked(), policy=replace(asked().policy, prefix_hopeless_below=0.1))
    events, completion = await run(stage, request)
    assert small.left.is_set()
    assert kinds(events)[1:4] == ["AttemptStarted", "Judged", "Escalated"]
    first = completion.attempts[0]
    assert (first.aborted_early, first.escalation_reason, first.error) == (True, reason, "")
    assert (first.tokens_saved, first.usage.output_tokens, first.usage.estimated) == (96, 4, True)
    assert first.judge_cost_nano_usd == beginning.cost_nano_usd
    assert first.confidence == beginning.confidence
    assert stage.store.saved[0].attempts[0].verdict == beginning


async def test_tokens_saved_are_those_predicted_where_the_plan_predicts() -> None:
    small = ScriptedLlm("small", [TextChunk(BEGINNING), Hang()])
    stage = stage_of(
        small,
        ScriptedLlm("large", answer("42")),
        verdicts={"large": verdict(0.9)},
        on_beginnings={"small": verdict(0.9, defects=(Defect.REFUSED,))},
    )
    plan = Plan(models=(PlannedModel(model="small", predicted_output_tokens=30), PlannedModel(model="large")))
    stage.router = ScriptedRouter(plan)
    _, completion = await run(stage)
    assert completion.attempts[0].tokens_saved == 26


async def test_a_hopeless_beginning_is_finished_where_nothing_can_follow() -> None:
    stage = stage_of(
        ScriptedLlm("small", whole(BEGINNING, END)),
        verdicts={"small": verdict(0.2)},
        on_beginnings={"small": verdict(0.0, defects=(Defect.REFUSED,))},
    )
    _, completion = await run(stage)
    assert (completion.text, completion.outcome) == (BEGINNING + END, Outcome.BEST_SEEN)
    assert not completion.attempts[0].aborted_early


async def test_a_ceiling_that_forbids_the_next_attempt_keeps_a_hopeless_one_going() -> None:
    stage = stage_of(
        ScriptedLlm("small", whole(BEGINNING, END), max_output_tokens=100),
        ScriptedLlm("large", answer("42"), max_output_tokens=100),
        verdicts={"small": verdict(0.2)},
        on_beginnings={"small": verdict(0.0, defects=(Defect.REFUSED,))},
    )
    tokens = ask(output_tokens_max=100).ceilings  # the broken-off attempt counts with its worst case: none would be left
    _, completion = await run(stage, asked(ceilings=tokens))
    assert not completion.attempts[0].aborted_early


@pytest.mark.parametrize(
    "fault",
    [[BROKEN], [ModelFailed("too slow", kind="timeout", failure_class=FailureClass.TIMEOUT)], []],
    ids=["reset", "idle", "no end"],
)
@pytest.mark.parametrize("prefill", [True, False])
async def test_an_upstream_that_breaks_after_a_commit_is_continued_or_told(fault: list[Step], prefill: bool) -> None:
    steps = [*slowly(BEGINNING), TextChunk(" no"), *fault]
    stage = stage_of(
        ScriptedLlm("small", steps),
        ScriptedLlm("large", whole(END), prefill=prefill),
        verdicts={"large": verdict(0.9)},
        on_beginnings={"small": verdict(0.6)},
    )
    events, completion = await run(stage)
    assert "Retracted" in kinds(events)
    assert completion.text == BEGINNING + (END if prefill else "")
    assert completion.incomplete is not prefill
    assert completion.outcome is (Outcome.ACCEPTED if prefill else Outcome.BEST_SEEN)
    assert completion.attempts[0].error
    assert completion.attempts[-1].chosen


async def test_an_attempt_that_hangs_after_a_commit_ends_in_time() -> None:
    small = ScriptedLlm("small", [*slowly(BEGINNING), Hang()])
    stage = stage_of(small, verdicts={}, on_beginnings={"small": verdict(0.6)})
    stage.attempt_s = 0.05
    _, completion = await run(stage)
    assert small.left.is_set()
    assert (completion.text, completion.incomplete, completion.attempts[0].error) == (BEGINNING, True, "timeout")


async def test_a_refusal_of_the_provider_after_a_commit_does_not_take_the_text_back() -> None:
    rejected = ModelFailed("HTTP 400", kind="request_rejected", failure_class=FailureClass.REJECTED)
    stage = stage_of(
        ScriptedLlm("small", slowly(BEGINNING, then=[BROKEN])),
        ScriptedLlm("large", [rejected], prefill=True),
        verdicts={},
        on_beginnings={"small": verdict(0.6)},
    )
    _, completion = await run(stage)
    assert (completion.text, completion.incomplete, completion.model) == (BEGINNING, True, "small")


async def test_a_worse_continuation_gives_way_to_the_first_answer() -> None:
    stage = stage_of(
        ScriptedLlm("small", whole(BEGINNING, " 41.")),
        ScriptedLlm("large", whole(" 42."), prefill=True),
        verdicts={"small": verdict(0.4), "large": verdict(0.1)},
        on_beginnings={"small": verdict(0.6), "large": verdict(0.2)},
    )
    events, completion = await run(stage, asked(prefix=replace(HOLD_4, checkpoint_tokens=1_000)))
    assert (completion.text, completion.attempt, completion.outcome) == (BEGINNING + " 41.", 0, Outcome.BEST_SEEN)
    assert [event.text for event in events if isinstance(event, Delta)] == [BEGINNING, " 41.", " 41."]


async def test_white_space_at_the_end_of_a_beginning_stays_open() -> None:
    large = ScriptedLlm("large", whole("forty-two."), prefill=True)
    stage = stage_of(
        ScriptedLlm("small", slowly(BEGINNING + " \n", then=[BROKEN])),
        large,
        verdicts={"large": verdict(0.9)},
        on_beginnings={"small": verdict(0.6)},
    )
    _, completion = await run(stage)
    assert large.calls[0].messages[-1].content == BEGINNING
    assert completion.text == BEGINNING + "forty-two."


async def test_no_verdict_on_a_beginning_commits_nothing() -> None:
    stage = stage_of(ScriptedLlm("small", whole(BEGINNING, END)), verdicts={"small": verdict(0.9)}, on_beginnings={})
    events, _ = await run(stage)
    assert kinds(events) == ["Routed", "AttemptStarted", "Judged", "Delta", "Committed", "Completed"]


async def test_without_cheap_judges_nothing_is_final_before_the_end() -> None:
    stage = stage_of(ScriptedLlm("small", whole(BEGINNING, END)), verdicts={"small": verdict(0.9)}, on_beginnings={"small": verdict(0.9)})
    stage.cheap_judges = ()
    events, _ = await run(stage, asked())
    assert kinds(events) == ["Routed", "AttemptStarted", "Judged", "Delta", "Committed", "Completed"]
    assert len(stage.judge.questions) == 1


class SlowJudge(ScriptedJudge):
    """Takes its time on beginnings. ``left`` is set when a question was left unanswered."""

    left: asyncio.Event

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        if question.judges:
            self.questions.append((question, timeout_s))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.left.set()
                raise
        return await super().judge(question, timeout_s=timeout_s)


async def test_slow_judges_hold_up_neither_the_reading_nor_the_end() -> None:
    judge = SlowJudge({"small": verdict(0.9)})
    judge.left = asyncio.Event()
    stage = Stage([ScriptedLlm("small", whole(BEGINNING, MIDDLE, END))], judge)
    events, completion = await run(stage)
    assert judge.left.is_set()
    assert sum(bool(question.judges) for question, _ in judge.questions) == 1, "one beginning is judged at a time"
    assert kinds(events) == ["Routed", "AttemptStarted", "Judged", "Delta", "Committed", "Completed"]
    assert completion.text == BEGINNING + MIDDLE + END


class FaultyJudge(ScriptedJudge):
    """Fails in a way that nobody foresaw."""

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        if question.judges:
            raise ZeroDivisionError
        return await super().judge(question, timeout_s=timeout_s)


async def test_a_fault_of_our_own_in_the_background_ends_the_request() -> None:
    small = ScriptedLlm("small", slowly(BEGINNING, then=[Hang()]))
    stage = Stage([small], FaultyJudge())
    with pytest.raises(ZeroDivisionError):
        await stage.run(asked())
    assert small.left.is_set()
    assert stage.store.saved[0].status is DecisionStatus.FAILED


async def test_a_caller_who_leaves_after_a_commit_closes_the_call_and_the_judging() -> None:
    small = ScriptedLlm("small", [*slowly(BEGINNING), TextChunk(" and so on, for ever and ever"), Hang()])
    stage = stage_of(small, verdicts={}, on_beginnings={"small": verdict(0.6)})
    cascade: Cascade = stage.cascade()
    events = cascade.answer(asked())
    async for event in events:
        if isinstance(event, Committed):
            break
    await events.aclose()
    assert small.left.is_set()
    assert stage.store.saved[0].status is DecisionStatus.CANCELLED
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_operators_who_refuse_unjudged_answers_get_an_error_and_no_text_left_open() -> None:
    stage = stage_of(ScriptedLlm("small", whole(BEGINNING, END)), verdicts={}, on_beginnings={"small": verdict(0.6)})
    stage.refuse_unjudged = True
    events, error = await collect_until_error(stage.cascade().answer(asked(prefix=replace(HOLD_4, checkpoint_tokens=1_000))))
    assert isinstance(error, JudgeUnavailable)
    assert kinds(events)[2:] == ["Delta", "Committed", "Delta", "Retracted"]
