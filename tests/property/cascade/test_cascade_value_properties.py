"""Whatever models, judges and gains do: the dial is monotone, the vote does not depend on order, ceilings hold."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_service.domain.chat import FinishReason, Usage, input_tokens_bound
from cascade_service.domain.errors import CascadeError, CeilingTooLow, ModelFailed
from cascade_service.domain.events import AttemptStarted, Completed, DeliveryMode, Outcome
from cascade_service.domain.fusion import best_supported
from cascade_service.domain.gain import GAIN_FEATURES, Floats, Rows
from cascade_service.domain.model import AnswerEnd, ModelCall, ModelEvent, TextChunk
from cascade_service.domain.plan import Plan, PlannedModel, RouteKind
from cascade_service.domain.pricing import Price
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.value import ValuePolicy
from cascade_service.domain.verdict import Defect, Verdict
from tests.support.cascade import (
    GRAMMAR,
    PREFIX_GRAMMAR,
    QUESTION,
    Reader,
    ScriptedJudge,
    ScriptedLlm,
    ScriptedRouter,
    Stage,
    ask,
    collect_until_error,
    letters,
    verdict,
)
from tests.unit.cascade.test_cascade_fusion import attempt

PROBABILITIES = st.floats(0.0, 1.0)
INPUT_BOUND = input_tokens_bound(QUESTION)


@dataclass(frozen=True)
class Member:
    """A model of the plan, what it answers and what the panel says."""

    quality: float
    cost: int
    price: Price
    verdict: Verdict | None
    fails: bool
    finish: FinishReason
    prefill: bool
    team: int


MEMBERS = st.lists(
    st.builds(
        Member,
        quality=PROBABILITIES,
        cost=st.integers(0, 10**6),
        price=st.builds(Price, input_nano_usd_per_mtok=st.integers(0, 10**9), output_nano_usd_per_mtok=st.integers(0, 10**9)),
        verdict=st.none() | st.builds(verdict, PROBABILITIES, defects=st.lists(st.sampled_from(Defect), max_size=1).map(tuple)),
        fails=st.sampled_from([False, False, False, True]),
        finish=st.sampled_from([FinishReason.STOP, FinishReason.STOP, FinishReason.LENGTH]),
        prefill=st.booleans(),
        team=st.integers(0, 2),
    ),
    min_size=1,
    max_size=5,
)


class Obedient(ScriptedLlm):
    """Uses all the tokens that a call allows it."""

    def __init__(self, name: str, member: Member) -> None:
        super().__init__(name, (), price=member.price, prefill=member.prefill)
        self._member = member

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        if self._member.fails:
            raise ModelFailed("rate limited", kind="rate_limited")
        usage = Usage(input_tokens=INPUT_BOUND, output_tokens=call.max_output_tokens)
        cost = self.price.bound_nano_usd(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        for piece in ("answer", " of ", self.name):
            yield TextChunk(piece)
            await asyncio.sleep(0)
        yield AnswerEnd(finish_reason=self._member.finish, usage=usage, cost_nano_usd=cost)


@dataclass(frozen=True)
class FixedGain:
    """Gross gains that depend on the predicted quality alone, fixed in advance; the net gain is theirs less the price."""

    factor: float

    def net_gain(self, rows: Rows) -> Floats:
        column = {name: rows[:, place].astype(np.float64) for place, name in enumerate(GAIN_FEATURES)}
        return column["q"] * self.factor - column["price"]


def stage_of(members: list[Member], factor: float) -> Stage:
    names = [f"m{place}" for place in range(len(members))]
    plan = Plan(
        models=tuple(
            PlannedModel(model=name, predicted_quality=member.quality, predicted_cost_nano_usd=member.cost)
            for name, member in zip(names, members, strict=True)
        ),
        kind=RouteKind.LEARNED,
    )
    teams = tuple(tuple(name for name, member in zip(names, members, strict=True) if member.team == team) for team in range(3))
    verdicts = {name: member.verdict for name, member in zip(names, members, strict=True) if member.verdict is not None}
    models = [Obedient(name, member) for name, member in zip(names, members, strict=True)]
    return Stage(models, ScriptedJudge(dict(verdicts), same=teams), ScriptedRouter(plan), gain_model=FixedGain(factor))


REQUESTS = st.builds(
    ask,
    policy=st.builds(
        ValuePolicy,
        name=st.just("v"),
        answer_worth_nano_usd=st.integers(1, 10**9),
        threshold=st.just(0.0) | PROBABILITIES,
        prefix_threshold=st.just(1.0) | PROBABILITIES,
    ),
    delivery=st.sampled_from(DeliveryMode),
    cost_max=st.just(10**13) | st.integers(0, 10**7),
    attempts_max=st.integers(1, 5),
)


@given(members=MEMBERS, factor=PROBABILITIES, request=REQUESTS)
@settings(max_examples=200)
def test_ceilings_and_the_stream_hold_whatever_the_gains(members: list[Member], factor: float, request: CascadeRequest) -> None:
    stage = stage_of(members, factor)
    events, error = asyncio.run(collect_until_error(stage.cascade().answer(request)))
    reader = Reader()
    for event in events:
        reader.read(event)
    (record,) = stage.store.saved
    attempts = [recorded.summary for recorded in record.attempts]
    assert len(attempts) <= request.ceilings.attempts_max
    assert sum(summary.cost_nano_usd + summary.judge_cost_nano_usd for summary in attempts) <= request.ceilings.cost_max_nano_usd
    assert len({summary.model for summary in attempts}) == len(attempts), "no model is asked twice"
    if error is not None:
        assert isinstance(error, CascadeError), error
        assert not isinstance(error, CeilingTooLow) or attempts == []
        return
    last = events[-1]
    assert isinstance(last, Completed)
    assert re.fullmatch(PREFIX_GRAMMAR if request.delivery is DeliveryMode.PREFIX_COMMIT else GRAMMAR, letters(events)), letters(events)
    if last.completion.outcome is Outcome.ACCEPTED:
        assert last.completion.stop_detail
        assert last.completion.ceiling is None
        assert last.completion.confidence is not None
        assert last.completion.confidence >= request.policy.threshold


@given(members=MEMBERS, factor=PROBABILITIES, worths=st.tuples(st.integers(1, 10**9), st.integers(1, 10**9)))
@settings(max_examples=200)
def test_a_greater_worth_never_means_fewer_attempts(members: list[Member], factor: float, worths: tuple[int, int]) -> None:
    """With gains that do not depend on what was asked before, and no failures, which lead to further attempts by themselves."""
    sound = [replace(member, fails=False, verdict=member.verdict or verdict(0.5)) for member in members]

    def attempts(worth: int) -> int:
        stage = stage_of(sound, factor)
        request = ask(policy=ValuePolicy(name="v", answer_worth_nano_usd=worth), cost_max=10**13, attempts_max=16)
        events, _ = asyncio.run(collect_until_error(stage.cascade().answer(request)))
        return sum(isinstance(event, AttemptStarted) for event in events)

    assert attempts(min(worths)) <= attempts(max(worths))


@given(
    ballot=st.lists(
        st.tuples(st.sampled_from([0.2, 0.5, 0.8]), st.sampled_from([0.3, 0.6]), st.lists(st.integers(0, 4), max_size=3)),
        min_size=1,
        max_size=5,
    ),
    order=st.permutations(range(5)),
)
def test_the_vote_does_not_depend_on_the_order_of_the_answers(ballot: list[tuple[float, float, list[int]]], order: list[int]) -> None:
    attempts = [attempt(number, confidence, quality=quality, same=tuple(same)) for number, (confidence, quality, same) in enumerate(ballot)]
    shuffled = [attempts[place] for place in order if place < len(attempts)]
    best, again = best_supported(attempts), best_supported(shuffled)
    assert best is not None
    assert best is again
