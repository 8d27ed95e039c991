"""Whatever models and judges do: the grammar holds, committed text is the final text, ceilings hold, thresholds are monotone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_service.domain.chat import FinishReason, OutputContract, OutputKind, Usage, input_tokens_bound
from cascade_service.domain.decision import DecisionStatus
from cascade_service.domain.errors import CascadeError, CeilingTooLow, FailureClass, JudgeUnavailable, ModelFailed
from cascade_service.domain.events import AttemptStarted, Completed, DeliveryMode, Escalated, Judged, Outcome
from cascade_service.domain.model import AnswerEnd, ModelCall, ModelEvent, TextChunk
from cascade_service.domain.ports import JudgeQuestion
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.pricing import Price
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.verdict import Defect, Verdict
from tests.support.cascade import (
    GRAMMAR,
    PREFIX_GRAMMAR,
    QUESTION,
    Pass,
    Reader,
    Rest,
    ScriptedJudge,
    ScriptedLlm,
    Stage,
    Step,
    ask,
    collect_until_error,
    letters,
    verdict,
)

CONFIDENCES = st.floats(0.0, 1.0)
TEXTS = st.just(["a", "b"]) | st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=6), max_size=4)
INPUT_BOUND = input_tokens_bound(QUESTION)


@dataclass(frozen=True)
class Turn:
    """What one model and the panel do."""

    pieces: tuple[str, ...]
    failure: ModelFailed | None
    finish: FinishReason
    usage: Usage
    verdict: Verdict | None
    passes_s: float
    price: Price
    ends: bool = True
    prefill: bool = False
    on_beginnings: Verdict | None = None
    rests: int = 0

    def steps(self, *, max_output_tokens: int) -> list[Step]:
        """The script; the usage stays within what the attempt was allowed, as any provider's must."""
        usage = Usage(
            input_tokens=min(self.usage.input_tokens, INPUT_BOUND), output_tokens=min(self.usage.output_tokens, max_output_tokens)
        )
        cost = self.price.bound_nano_usd(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        written: list[Step] = [step for piece in self.pieces for step in (TextChunk(piece), Rest(self.rests))]
        steps: list[Step] = [Pass(self.passes_s), *written]
        if self.failure is not None:
            return [*steps, self.failure]
        return [*steps, AnswerEnd(finish_reason=self.finish, usage=usage, cost_nano_usd=cost)] if self.ends else steps


def _failed(kind: FailureClass) -> ModelFailed:
    return ModelFailed(kind.value, kind=kind.value, failure_class=kind)


FAILURES = st.sampled_from([kind for kind in FailureClass if kind is not FailureClass.CANCELLED]).map(_failed)
VERDICTS = st.builds(
    verdict, CONFIDENCES, disagreement=CONFIDENCES, defects=st.lists(st.sampled_from(Defect), max_size=1).map(tuple), cost=st.just(0)
)
TURNS = st.builds(
    Turn,
    pieces=TEXTS.map(tuple),
    failure=st.sampled_from([None] * 5) | FAILURES,
    finish=st.sampled_from([FinishReason.STOP, FinishReason.STOP, *FinishReason]),
    usage=st.builds(Usage, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6)),
    verdict=st.none() | VERDICTS | VERDICTS,
    passes_s=st.floats(0.0, 40.0),
    price=st.builds(
        Price,
        input_nano_usd_per_mtok=st.integers(0, 10**9),
        output_nano_usd_per_mtok=st.integers(0, 10**9),
        cached_input_nano_usd_per_mtok=st.none() | st.integers(0, 10**9),
    ),
    ends=st.sampled_from([True, True, True, False]),
    prefill=st.booleans(),
    on_beginnings=st.none() | VERDICTS | VERDICTS,
    rests=st.sampled_from([0, 1, 3, 10]),
)
CUT_SHORT = {FinishReason.LENGTH, FinishReason.CONTENT_FILTER}
SCRIPTS = st.lists(TURNS, min_size=1, max_size=5)
REQUESTS = st.builds(
    ask,
    delivery=st.sampled_from(DeliveryMode),
    threshold=st.just(1.0) | CONFIDENCES,
    disagreement_max=CONFIDENCES,
    cost_max=st.just(10**12) | st.integers(0, 3 * 10**6),
    attempts_max=st.just(5) | st.integers(1, 5),
    output_tokens_max=st.just(10**6) | st.integers(1, 2_500),
    max_output_tokens=st.none() | st.integers(1, 2_000),
    deadline_at_s=st.just(1_000.0) | st.floats(0.0, 100.0),
    prefix=st.builds(PrefixRules, hold_tokens=st.integers(1, 4), checkpoint_tokens=st.integers(1, 4)),
    prefix_threshold=st.none() | CONFIDENCES,
    prefix_hopeless_below=st.just(0.0) | CONFIDENCES,
    output=st.sampled_from([OutputContract()] * 4 + [OutputContract(kind=OutputKind.JSON)]),
)


def _committing(turn: Turn, **changes: Any) -> Turn:
    return replace(turn, **changes)


# Scripts in which beginnings pass, hopeless ones occur, and later models can continue what is final.
COMMITTING_TURNS = st.builds(
    _committing,
    TURNS,
    pieces=st.lists(st.text("ab ", min_size=1, max_size=9), min_size=1, max_size=6).map(tuple),
    passes_s=st.just(0.0),
    prefill=st.sampled_from([True, True, False]),
    on_beginnings=st.builds(verdict, st.floats(0.3, 1.0) | CONFIDENCES),
    verdict=st.none() | st.builds(verdict, st.floats(0.0, 0.6) | CONFIDENCES),
    rests=st.sampled_from([3, 10]),
)
COMMITTING_REQUESTS = st.builds(
    ask,
    delivery=st.just(DeliveryMode.PREFIX_COMMIT),
    threshold=st.floats(0.5, 1.0),
    cost_max=st.just(10**12) | st.integers(10**6, 10**7),
    attempts_max=st.integers(2, 5),
    output_tokens_max=st.just(10**6) | st.integers(1, 2_500),
    deadline_at_s=st.just(1_000.0),
    prefix=st.builds(PrefixRules, hold_tokens=st.integers(1, 3), checkpoint_tokens=st.integers(1, 3)),
    prefix_threshold=st.floats(0.0, 0.4),
    prefix_hopeless_below=st.sampled_from([0.0, 0.4]),
)
SITUATIONS: st.SearchStrategy[tuple[list[Turn], CascadeRequest]] = st.tuples(SCRIPTS, REQUESTS) | st.tuples(
    st.lists(COMMITTING_TURNS, min_size=1, max_size=4), COMMITTING_REQUESTS
)


# With PREFIX_COMMIT a low threshold makes text final that keeps models out which a high one would ask.
MONOTONE = {mode: DeliveryMode.BUFFERED if mode is DeliveryMode.PREFIX_COMMIT else mode for mode in DeliveryMode}


class ObedientLlm(ScriptedLlm):
    """Keeps its usage within what each call allows."""

    def __init__(self, name: str, turn: Turn) -> None:
        super().__init__(name, (), price=turn.price, prefill=turn.prefill)
        self._turn = turn

    def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        self.steps = self._turn.steps(max_output_tokens=call.max_output_tokens)
        return super().stream(call)


class SpendingJudge(ScriptedJudge):
    """Spends a share of what it may on every answer."""

    share: float = 0.0

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        given = await super().judge(question, timeout_s=timeout_s)
        return replace(given, cost_nano_usd=int(question.cost_max_nano_usd * self.share))


def stage_of(script: list[Turn], *, refuse_unjudged: bool = False) -> Stage:
    models = [ObedientLlm(f"m{index}", turn) for index, turn in enumerate(script)]
    judged = {f"m{index}": turn.verdict for index, turn in enumerate(script) if turn.verdict is not None}
    begun = {f"m{index}": turn.on_beginnings for index, turn in enumerate(script) if turn.on_beginnings is not None}
    return Stage(models, ScriptedJudge(dict(judged), dict(begun)), refuse_unjudged=refuse_unjudged)


@given(situation=SITUATIONS, refuse_unjudged=st.booleans())
@settings(max_examples=500)
def test_grammar_and_text_invariant(situation: tuple[list[Turn], CascadeRequest], refuse_unjudged: bool) -> None:
    script, request = situation
    stage = stage_of(script, refuse_unjudged=refuse_unjudged)
    events, error = asyncio.run(collect_until_error(stage.cascade().answer(request)))
    reader = Reader()
    for event in events:
        reader.read(event)
    seen = letters(events)
    assert sum(isinstance(event, Completed) for event in events) + (error is not None) == 1, "one terminal event or an error"
    prefix_commit = request.delivery is DeliveryMode.PREFIX_COMMIT
    if error is None:
        assert re.fullmatch(PREFIX_GRAMMAR if prefix_commit else GRAMMAR, seen), seen
    else:
        assert isinstance(error, CascadeError), error
        assert not reader.provisional, "text was left neither final nor withdrawn"
        assert reader.committed == "" or (prefix_commit and isinstance(error, JudgeUnavailable))
    if request.delivery is DeliveryMode.BUFFERED:
        assert "X" not in seen, "buffered text is never withdrawn"
    for index, event in enumerate(events):
        if isinstance(event, Escalated):
            following = events[index + 1]
            assert isinstance(following, AttemptStarted)
            assert following.model == event.next_model
    for model in stage.models:
        for call in model.calls:
            continued = call.messages[len(QUESTION) :]
            assert not continued or model.prefill, "only models that can are asked to continue"
            assert all(reader.committed.startswith(message.content) and message.content.strip() for message in continued)
    assert [record.status for record in stage.store.saved] == [DecisionStatus.COMPLETED if error is None else DecisionStatus.FAILED]


@given(situation=SITUATIONS, share=st.sampled_from([0.0, 0.1, 1.0]))
@settings(max_examples=500)
def test_ceilings_are_never_exceeded(situation: tuple[list[Turn], CascadeRequest], share: float) -> None:
    script, request = situation
    stage = stage_of(script)
    stage.judge = SpendingJudge(stage.judge.verdicts, stage.judge.on_beginnings)
    stage.judge.share = share
    events, error = asyncio.run(collect_until_error(stage.cascade().answer(request)))
    (record,) = stage.store.saved
    attempts = [attempt.summary for attempt in record.attempts]
    assert len(attempts) == sum(isinstance(event, AttemptStarted) for event in events)
    assert len(attempts) <= request.ceilings.attempts_max
    spent = sum(attempt.cost_nano_usd + attempt.judge_cost_nano_usd for attempt in attempts)
    assert spent <= request.ceilings.cost_max_nano_usd
    assert sum(attempt.usage.output_tokens for attempt in attempts) <= request.ceilings.output_tokens_max
    allowed = [call.max_output_tokens for model in stage.models for call in model.calls]
    assert all(1 <= tokens <= request.ceilings.output_tokens_max for tokens in allowed)
    if isinstance(error, CeilingTooLow):
        assert attempts == []


@given(situation=SITUATIONS)
@settings(max_examples=300)
def test_the_answer_given_is_the_best_there_is(situation: tuple[list[Turn], CascadeRequest]) -> None:
    script, request = situation
    stage = stage_of(script)
    events, error = asyncio.run(collect_until_error(stage.cascade().answer(request)))
    if error is not None:
        return
    last = events[-1]
    assert isinstance(last, Completed)
    completion = last.completion
    chosen = completion.attempts[completion.attempt]
    assert chosen.chosen
    assert completion.text.strip()
    if completion.incomplete:
        assert request.delivery is DeliveryMode.PREFIX_COMMIT
        assert completion.outcome is Outcome.BEST_SEEN
        return
    assert chosen.error == ""
    judged = [event for event in events if isinstance(event, Judged)]
    match completion.outcome:
        case Outcome.ACCEPTED:
            assert judged[-1].accepted
            assert completion.confidence is not None
            assert completion.confidence >= request.policy.threshold
        case Outcome.BEST_SEEN:
            if request.delivery is DeliveryMode.PREFIX_COMMIT:
                return  # what is final rules out better answers that begin otherwise
            answers = {attempt.attempt: attempt for attempt in completion.attempts if attempt.error == ""}
            assert completion.confidence is not None
            rivals = [event for event in judged if event.attempt in answers and "".join(script[answers[event.attempt].tier].pieces).strip()]
            sound = [event for event in rivals if not event.verdict.defects and answers[event.attempt].finish_reason not in CUT_SHORT]
            assert completion.confidence == max(event.verdict.confidence for event in sound or rivals)
        case Outcome.UNJUDGED:
            assert completion.confidence is None


@given(script=SCRIPTS, request=REQUESTS, thresholds=st.tuples(CONFIDENCES, CONFIDENCES))
@settings(max_examples=200)
def test_a_higher_threshold_never_means_fewer_attempts(
    script: list[Turn], request: CascadeRequest, thresholds: tuple[float, float]
) -> None:
    def attempts(threshold: float) -> int:
        stage = stage_of(script)
        asked = ask(
            threshold=threshold,
            disagreement_max=request.policy.disagreement_max,
            cost_max=request.ceilings.cost_max_nano_usd,
            attempts_max=request.ceilings.attempts_max,
            deadline_at_s=request.deadline_at_s,
            delivery=MONOTONE[request.delivery],
        )
        events, _ = asyncio.run(collect_until_error(stage.cascade().answer(asked)))
        return sum(isinstance(event, AttemptStarted) for event in events)

    assert attempts(min(thresholds)) <= attempts(max(thresholds))


@given(situation=SITUATIONS, leave_after=st.integers(0, 20))
@settings(max_examples=200)
def test_leaving_at_any_event_records_the_request_once(situation: tuple[list[Turn], CascadeRequest], leave_after: int) -> None:
    script, request = situation

    async def leave() -> tuple[int, bool, bool]:
        events = stage.cascade().answer(request)
        seen, completed, failed = 0, False, False
        try:
            async for event in events:
                completed = isinstance(event, Completed)
                seen += 1
                if seen > leave_after:
                    break
        except CascadeError:
            failed = True
        await events.aclose()
        return seen, completed, failed

    stage = stage_of(script)
    seen, completed, failed = asyncio.run(leave())
    statuses = [record.status for record in stage.store.saved]
    if seen > leave_after or completed or failed:
        expected = DecisionStatus.COMPLETED if completed else DecisionStatus.FAILED if failed else DecisionStatus.CANCELLED
        assert statuses == [expected]
