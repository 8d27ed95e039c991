"""Whatever models and judges do with the parts of a request: ceilings hold for the sum, text is joined in order, final text stays final."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_service.domain.ceilings import Ceilings, Spent
from cascade_service.domain.chat import FinishReason, Message, Role, Usage
from cascade_service.domain.decision import DecisionStatus
from cascade_service.domain.decomposition.options import DecompositionOptions
from cascade_service.domain.decomposition.shares import Shares, part_deadline_s, rounds
from cascade_service.domain.decomposition.splitting import Part, Split, SplitLimits
from cascade_service.domain.errors import CascadeError, FailureClass, ModelFailed
from cascade_service.domain.events import AttemptStarted, Committed, Completed, Decomposed, DeliveryMode, Delta, Judged, Outcome, Retracted
from cascade_service.domain.model import AnswerEnd, ModelCall, ModelEvent, TextChunk
from cascade_service.domain.ports import JointQuestion, JudgeQuestion
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.pricing import Price
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.value import NextAnswerGain, ValuePolicy
from cascade_service.domain.verdict import Verdict
from tests.support.cascade import Reader, ScriptedJudge, ScriptedLlm, Stage, ask, collect_until_error, verdict


@dataclass(frozen=True)
class Line:
    """What one model does with one part, and what the panel thinks of it."""

    pieces: tuple[str, ...]
    fails: bool
    finish: FinishReason
    tokens: int
    confidence: float | None
    rests: int


LINES = st.builds(
    Line,
    pieces=st.lists(st.text("ab \n", max_size=6), max_size=4).map(tuple),
    fails=st.sampled_from([False, False, False, True]),
    finish=st.sampled_from([FinishReason.STOP, FinishReason.STOP, FinishReason.LENGTH]),
    tokens=st.integers(0, 4_000),
    confidence=st.none() | st.floats(0.0, 1.0) | st.floats(0.6, 1.0),
    rests=st.sampled_from([0, 1, 5]),
)
PRICES = st.builds(Price, input_nano_usd_per_mtok=st.integers(0, 10**9), output_nano_usd_per_mtok=st.integers(0, 10**9))


POLICIES = st.builds(
    ValuePolicy,
    name=st.just("dial"),
    answer_worth_nano_usd=st.integers(1, 10**9),
    threshold=st.floats(0.0, 1.0),
    prefix_threshold=st.floats(0.0, 1.0),
)
"""Of kind value; without one the policy is of kind threshold."""


@dataclass(frozen=True)
class Situation:
    """``lines[part][model]``; ``needs_earlier`` by part."""

    lines: tuple[tuple[Line, ...], ...]
    prices: tuple[Price, ...]
    needs_earlier: tuple[bool, ...]
    prefill: bool
    parallel_max: int
    split_cost: int
    judge_share: float
    request: CascadeRequest


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    parts, models = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    request = ask(
        delivery=draw(st.sampled_from(DeliveryMode)),
        threshold=draw(st.floats(0.0, 1.0)),
        cost_max=draw(st.just(10**12) | st.integers(0, 8 * 10**6)),
        attempts_max=draw(st.integers(parts, 12)),
        output_tokens_max=draw(st.just(10**6) | st.integers(parts, 9_000)),
        prefix=PrefixRules(hold_tokens=1, checkpoint_tokens=1),
        policy=draw(st.none() | POLICIES),
        prefix_threshold=draw(st.none() | st.floats(0.0, 1.0)),
        messages=(Message(Role.USER, "compound"),),
        parts_max=8,
        deadline_at_s=1_000.0,
    )
    return Situation(
        lines=tuple(tuple(draw(LINES) for _ in range(models)) for _ in range(parts)),
        prices=tuple(draw(PRICES) for _ in range(models)),
        needs_earlier=tuple(draw(st.sampled_from([False, False, True])) for _ in range(parts)),
        prefill=draw(st.booleans()),
        parallel_max=draw(st.integers(1, 4)),
        split_cost=draw(st.sampled_from([0, 0, 10**5])),
        judge_share=draw(st.sampled_from([0.0, 0.1, 1.0])),
        request=request,
    )


@dataclass
class Scissors:
    """Splits as told, at a price that is within the limits."""

    situation: Situation
    name = "scissors"
    spent: int = 0

    async def split(self, text: str, limits: SplitLimits) -> Split:
        del text
        self.spent = min(self.situation.split_cost, limits.cost_max_nano_usd)
        parts = tuple(
            Part(text=part_text(index), label=f"{index + 1}.", needs_earlier=needs and index > 0)
            for index, needs in enumerate(self.situation.needs_earlier)
        )
        return Split(parts=parts, cost_nano_usd=self.spent)


def part_text(index: int) -> str:
    return f"part number {index} of the whole request"


class PartLlm(ScriptedLlm):
    """Plays another script for each part, within what each call allows."""

    def __init__(self, name: str, lines: tuple[Line, ...], *, price: Price, prefill: bool) -> None:
        super().__init__(name, (), price=price, prefill=prefill)
        self._lines = lines

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        self.calls.append(call)
        asked = [message.content for message in call.messages if message.role is Role.USER][-1]
        line = self._lines[int(asked.split()[2])]
        for piece in line.pieces:
            yield TextChunk(piece)
            for _ in range(line.rests):
                await asyncio.sleep(0)
        if line.fails:
            raise ModelFailed("no", kind="server_fault", failure_class=FailureClass.ESCALATE)
        usage = Usage(input_tokens=10, output_tokens=min(line.tokens, call.max_output_tokens))
        cost = self.price.bound_nano_usd(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        yield AnswerEnd(finish_reason=line.finish, usage=usage, cost_nano_usd=cost)


class PartJudge(ScriptedJudge):
    """Has an opinion by part and model, and spends a share of what it may."""

    def __init__(self, situation: Situation) -> None:
        super().__init__()
        self.situation = situation

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        line = self.situation.lines[int(question.messages[-1].content.split()[2])][int(question.candidate.model[1:])]
        scripted = ScriptedJudge({} if line.confidence is None else {question.candidate.model: verdict(line.confidence)})
        given = await scripted.judge(question, timeout_s=timeout_s)
        return replace(given, cost_nano_usd=int(question.cost_max_nano_usd * self.situation.judge_share))

    async def judge_all(self, question: JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        del timeout_s
        lines = self.situation.lines[int(question.messages[-1].content.split()[2])]
        confidences = [lines[int(candidate.model[1:])].confidence for candidate in question.candidates]
        return tuple(None if confidence is None else verdict(confidence) for confidence in confidences)


def stage_of(situation: Situation) -> tuple[Stage, Scissors]:
    scissors = Scissors(situation)
    models = [
        PartLlm(f"m{index}", tuple(lines[index] for lines in situation.lines), price=price, prefill=situation.prefill)
        for index, price in enumerate(situation.prices)
    ]
    options = DecompositionOptions(splitter=scissors, parallel_max=situation.parallel_max)
    stage = Stage(models, PartJudge(situation), decomposition=options, gain_model=NextAnswerGain())
    return stage, scissors


@given(situation=situations())
@settings(max_examples=400)
def test_ceilings_hold_for_the_sum_of_the_parts(situation: Situation) -> None:
    stage, scissors = stage_of(situation)
    events, error = asyncio.run(collect_until_error(stage.cascade().answer(situation.request)))
    assert error is None or isinstance(error, CascadeError), error
    (record,) = stage.store.saved
    attempts = [attempt.summary for attempt in record.attempts]
    ceilings = situation.request.ceilings
    assert [attempt.attempt for attempt in attempts] == list(range(len(attempts)))
    assert len(attempts) == sum(isinstance(event, AttemptStarted) for event in events) <= ceilings.attempts_max
    spent = scissors.spent + sum(attempt.cost_nano_usd + attempt.judge_cost_nano_usd for attempt in attempts)
    assert spent <= ceilings.cost_max_nano_usd
    assert sum(attempt.usage.output_tokens for attempt in attempts) <= ceilings.output_tokens_max
    assert sorted(call.attempt for model in stage.models for call in model.calls) == list(range(len(attempts)))
    last = events[-1]
    if isinstance(last, Completed):
        assert last.completion.cost_nano_usd == spent
        assert sum(part.cost_nano_usd for part in last.completion.parts) == spent - scissors.spent


@given(situation=situations())
@settings(max_examples=400)
def test_final_text_stays_and_stands_in_the_order_of_the_parts(situation: Situation) -> None:
    stage, _ = stage_of(situation)
    events, error = asyncio.run(collect_until_error(stage.cascade().answer(situation.request)))
    reader, part_of, shown = Reader(), dict[int, int | None](), list[int | None]()
    for event in events:
        reader.read(event)
        if isinstance(event, AttemptStarted):
            part_of[event.attempt] = event.part
        if isinstance(event, Delta | Committed | Retracted):
            shown.append(part_of[event.attempt])
        if situation.request.delivery is DeliveryMode.BUFFERED:
            assert not isinstance(event, Retracted), "buffered text is never withdrawn"
    assert isinstance(events[0], Decomposed)
    assert shown == sorted(shown, key=lambda part: -1 if part is None else part), "a later part was shown before an earlier one had ended"
    assert not reader.provisional
    assert sum(isinstance(event, Completed) for event in events) + (error is not None) == 1
    assert [record.status for record in stage.store.saved] == [DecisionStatus.COMPLETED if error is None else DecisionStatus.FAILED]


@given(situation=situations())
@settings(max_examples=300)
def test_the_answer_is_what_came_of_its_parts(situation: Situation) -> None:
    stage, _ = stage_of(situation)
    events, error = asyncio.run(collect_until_error(stage.cascade().answer(situation.request)))
    if error is not None:
        return
    last = events[-1]
    assert isinstance(last, Completed)
    done = last.completion
    assert len(done.parts) == len(situation.lines)
    rebuilt = ""
    for part in done.parts:
        if part.model is not None:
            rebuilt += ("\n\n" if rebuilt else "") + part.label + "\n"
            assert part.text_start == len(rebuilt)
            rebuilt += done.text[part.text_start : part.text_end]
            assert part.error_reason == ""
        else:
            assert part.error_reason
            assert part.text_start == part.text_end
    assert done.text == rebuilt
    outcomes = {part.outcome for part in done.parts}
    assert (done.outcome is Outcome.ACCEPTED) == (outcomes <= {Outcome.ACCEPTED, None})
    assert {attempt.attempt for attempt in done.attempts if attempt.chosen} == {
        part.attempt for part in done.parts if part.attempt is not None
    }
    assert done.incomplete or None not in outcomes
    if isinstance(situation.request.policy, ValuePolicy):
        return  # it may accept an answer whose verdict is an older one
    accepted = {event.attempt for event in events if isinstance(event, Judged) and event.accepted}
    assert all(part.attempt in accepted for part in done.parts if part.outcome is Outcome.ACCEPTED)


@given(situation=situations(), leave_after=st.integers(0, 25))
@settings(max_examples=200)
def test_leaving_at_any_event_ends_every_part_and_records_once(situation: Situation, leave_after: int) -> None:
    stage, _ = stage_of(situation)

    async def leave() -> tuple[str, int]:
        events, seen, end = stage.cascade().answer(situation.request), 0, "left"
        try:
            async for event in events:
                end = "completed" if isinstance(event, Completed) else end
                seen += 1
                if seen > leave_after:
                    break
            else:
                end = "completed"
        except CascadeError:
            end = "failed"
        await events.aclose()
        return end, len(asyncio.all_tasks())

    end, tasks = asyncio.run(leave())
    assert tasks == 1, "a part goes on after the caller has left"
    expected = {"left": DecisionStatus.CANCELLED, "completed": DecisionStatus.COMPLETED, "failed": DecisionStatus.FAILED}
    assert [record.status for record in stage.store.saved] == [expected[end]]


USES = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))


@given(
    total=st.builds(
        Ceilings, cost_max_nano_usd=st.integers(0, 10**6), attempts_max=st.integers(8, 16), output_tokens_max=st.integers(8, 10**5)
    ),
    uses=st.lists(USES, min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_shares_only_grow_and_never_exceed_the_whole(total: Ceilings, uses: list[tuple[float, float, float]], order: random.Random) -> None:
    shares, open_parts = Shares(total, len(uses)), list(range(len(uses)))
    order.shuffle(open_parts)
    used = Spent()
    for done, part in enumerate(list(open_parts)):
        own = shares.of(part)
        assert own.attempts_max >= 1
        left = open_parts[done:]
        assert used.cost_nano_usd + sum(shares.of(index).cost_max_nano_usd for index in left) == total.cost_max_nano_usd
        assert used.attempts + sum(shares.of(index).attempts_max for index in left) == total.attempts_max
        assert used.output_tokens + sum(shares.of(index).output_tokens_max for index in left) == total.output_tokens_max
        cost, attempts, tokens = uses[part]
        spent = Spent(
            cost_nano_usd=int(cost * own.cost_max_nano_usd),
            attempts=int(attempts * own.attempts_max),
            output_tokens=int(tokens * own.output_tokens_max),
        )
        before = [shares.of(index) for index in left[1:]]
        assert sorted(shares.settle(part, spent)) == sorted(left[1:])
        assert all(
            shares.of(index).cost_max_nano_usd >= old.cost_max_nano_usd and shares.of(index).attempts_max >= old.attempts_max
            for index, old in zip(left[1:], before, strict=True)
        )
        used = Spent(
            cost_nano_usd=used.cost_nano_usd + spent.cost_nano_usd,
            attempts=used.attempts + spent.attempts,
            output_tokens=used.output_tokens + spent.output_tokens,
        )


@given(needs=st.lists(st.booleans(), min_size=1, max_size=9), parallel_max=st.integers(1, 5), left_s=st.floats(0.0, 1e4))
def test_parts_share_the_time_that_is_left(needs: list[bool], parallel_max: int, left_s: float) -> None:
    parts = [Part(text="x", label="x", needs_earlier=need) for need in needs]
    placed = rounds(parts, parallel_max=parallel_max)
    assert placed == sorted(placed)
    assert all(placed.count(number) <= parallel_max for number in placed)
    assert all(before < after for before, after, need in zip(placed, placed[1:], needs[1:], strict=False) if need)
    now, end = 5.0, 5.0 + left_s
    for number in range(placed[-1] + 1):
        now = part_deadline_s(now_s=now, deadline_at_s=end, rounds_left=placed[-1] - number + 1)
        assert now <= end + 1e-9
    assert now == end
