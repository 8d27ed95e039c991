"""Parts of a request under what holds for all requests: the policy, the day's budget, rivals of slow calls, what callers are counted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import pytest

from cascade_service.domain.ceilings import Ceilings, Spent
from cascade_service.domain.chat import Message, Role
from cascade_service.domain.decomposition.options import DecompositionOptions
from cascade_service.domain.decomposition.shares import Shares
from cascade_service.domain.decomposition.splitting import Part, Split, SplitLimits
from cascade_service.domain.errors import CeilingTooLow
from cascade_service.domain.events import Ceiling, Judged, Outcome, PolicyKind, Routed
from cascade_service.domain.model import EndpointUse, ModelCall, ModelEvent
from cascade_service.domain.plan import Plan, PlannedModel, RouteKind
from cascade_service.domain.pricing import Price
from cascade_service.domain.quotas import Use
from cascade_service.domain.request import CascadeRequest, Using
from cascade_service.domain.value import NextAnswerGain, ValuePolicy
from tests.support.cascade import (
    ScriptedJudge,
    ScriptedLlm,
    ScriptedRouter,
    Stage,
    answer,
    ask,
    collect_until_error,
    completion_of,
    verdict,
)

# The second part refers back, so the parts come one after the other.
DEPENDENT = "1. What is 6 times 7?\n2. Is it even?"
DIAL = ValuePolicy(name="dial", answer_worth_nano_usd=1_000)
SURE = ScriptedJudge({"small": verdict(0.9)})
PRICE = Price(output_nano_usd_per_mtok=60_000)
"""60 nano-USD for the 1,000 tokens that one attempt may write."""


def compound(text: str = DEPENDENT, **fields: object) -> CascadeRequest:
    messages = (Message(Role.USER, text),)
    return ask(messages=messages, parts_max=8, **fields)  # pyright: ignore[reportArgumentType] - fields of the caller's choice


@dataclass
class Told:
    """Splits as told."""

    split_into: Split
    name = "told"

    async def split(self, text: str, limits: SplitLimits) -> Split:
        del text, limits
        return self.split_into


@dataclass
class Follower:
    """Takes down what a run has used, whenever it is asked."""

    runs: list[Using] = field(default_factory=list[Using])

    @property
    def use(self) -> Use:
        (run,) = self.runs
        return run.use


class Hedged(ScriptedLlm):
    """Has a second call beside the first wherever that is allowed."""

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        if call.on_endpoint is not None and call.may_hedge:
            call.on_endpoint(EndpointUse(endpoint=1, hedged=True))
        async for event in super().stream(call):
            yield event


def dialled(**models: tuple[float, int]) -> ScriptedRouter:
    """Plans with predictions: quality and cost in nano-USD by model."""
    planned = tuple(PlannedModel(model=name, predicted_quality=q, predicted_cost_nano_usd=cost) for name, (q, cost) in models.items())
    return ScriptedRouter(Plan(models=planned, kind=RouteKind.LEARNED, input_tokens=9, policy_hash="abcdef012345"))


async def test_every_part_is_answered_under_the_value_policy_of_the_request() -> None:
    models = [ScriptedLlm("small", answer("42")), ScriptedLlm("large", answer("42"))]
    judge = ScriptedJudge({"small": verdict(0.5), "large": verdict(0.9)})
    stage = Stage(models, judge, dialled(small=(0.3, 200), large=(0.9, 100)), gain_model=NextAnswerGain())
    events = await stage.run(compound(policy=DIAL, attempts_max=8))
    routed = [(event.part, event.policy_kind, event.answer_worth_nano_usd) for event in events if isinstance(event, Routed)]
    assert routed == [(0, PolicyKind.VALUE, 1_000), (1, PolicyKind.VALUE, 1_000)]
    done = completion_of(events)
    assert (done.policy_kind, done.answer_worth_nano_usd, done.stop_detail) == (PolicyKind.VALUE, 1_000, "")
    assert done.outcome is Outcome.ACCEPTED
    assert [part.stop_detail for part in done.parts] == ["gain 0.030 of asking small does not exceed its price 0.200"] * 2


async def test_verdicts_name_the_answers_by_their_numbers_in_the_whole_request() -> None:
    models = [ScriptedLlm("small", answer("42")), ScriptedLlm("large", answer("42"))]
    judge = ScriptedJudge({"small": verdict(0.2), "large": verdict(0.6)}, same=(("small", "large"),))
    stage = Stage(models, judge, dialled(small=(0.9, 1), large=(0.9, 1)), gain_model=NextAnswerGain())
    events = await stage.run(compound(policy=DIAL, attempts_max=8))
    done = completion_of(events)
    assert [sorted((part.attempt or 0, *part.supporting_attempts)) for part in done.parts] == [[0, 1], [2, 3]]
    assert done.supporting_attempts == done.parts[1].supporting_attempts
    (record,) = stage.store.saved
    named = [one.verdict.outcomes[0].same_answer_as for one in record.attempts if one.verdict is not None and one.verdict.outcomes]
    assert named == [("attempt-1",), ("attempt-0",), ("attempt-3",), ("attempt-2",)]
    told = [event.verdict.same_answer_as for event in events if isinstance(event, Judged) and event.attempt >= 2]
    assert not frozenset[str]().union(*told) & {"attempt-0", "attempt-1"}


def test_shares_of_what_is_left_of_a_budget_are_called_so() -> None:
    total = Ceilings(cost_max_nano_usd=100, attempts_max=4, output_tokens_max=10).within_budget(60)
    shares = Shares(total, 2)
    shares.settle(0, Spent(cost_nano_usd=10, attempts=1, output_tokens=1))
    assert shares.of(1) == replace(total, cost_max_nano_usd=50, attempts_max=3, output_tokens_max=9)
    assert shares.of(1).cost_named is Ceiling.BUDGET


async def test_a_part_that_the_budget_stops_says_so() -> None:
    stage = Stage([ScriptedLlm("small", answer("42", cost=60), price=PRICE)], SURE)
    request = compound(cost_max=1_000)
    _, error = await collect_until_error(stage.cascade().answer(replace(request, ceilings=request.ceilings.within_budget(50))))
    assert isinstance(error, CeilingTooLow)
    assert error.ceiling is Ceiling.BUDGET


async def test_a_rival_must_fit_into_the_share_of_its_part() -> None:
    for cost_max, may in ((240, [True, True]), (239, [True, False]), (160, [False, False])):
        small = Hedged("small", answer("42", cost=60), price=PRICE)
        events = await Stage([small], SURE).run(compound(cost_max=cost_max))
        # The first share is the greater one; what a part leaves over goes to the other.
        assert [call.may_hedge for call in small.calls] == may
        done = completion_of(events)
        assert done.cost_nano_usd == sum(one.cost_nano_usd for one in done.attempts) == sum(part.cost_nano_usd for part in done.parts)


async def test_who_follows_a_run_sees_what_splitting_and_all_parts_use() -> None:
    follower = Follower()
    parts = (Part(text="What is 6 times 7?", label="1."), Part(text="Is it even?", label="2.", needs_earlier=True))
    told = Told(Split(parts=parts, cost_nano_usd=40, tokens=70))
    stage = Stage([ScriptedLlm("small", answer("42", cost=7))], SURE, decomposition=DecompositionOptions(splitter=told))
    events = stage.cascade().answer(replace(compound(), on_run=follower.runs.append))
    seen = [follower.use.cost_nano_usd async for _ in events]
    assert follower.use == Use(tokens=70 + 2 * 15, cost_nano_usd=40 + 2 * 7)
    assert seen == sorted(seen)
    assert seen[0] == 40


@pytest.mark.parametrize("text", ["What is 6 times 7?", DEPENDENT])
async def test_who_follows_sees_what_was_used_before_the_caller_left(text: str) -> None:
    follower = Follower()
    stage = Stage([ScriptedLlm("small", answer("42", cost=7))], SURE)
    events = stage.cascade().answer(replace(compound(text), on_run=follower.runs.append))
    async for event in events:
        if isinstance(event, Judged):
            break
    await events.aclose()
    assert follower.use == Use(tokens=15, cost_nano_usd=7)


async def test_a_part_that_inherits_lets_its_judges_spend_more() -> None:
    stage = Stage([ScriptedLlm("small", answer("42"))], judge := ScriptedJudge({"small": verdict(0.9, cost=30)}))
    await stage.run(compound(cost_max=200))
    assert [question.cost_max_nano_usd for question, _ in judge.questions] == [100, 170]
