"""The value policy in the state machine: whom it asks, when it stops, what it gives, and that ceilings stay hard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest

from cascade_service.domain.chat import FinishReason
from cascade_service.domain.errors import AllAttemptsFailed, CeilingTooLow, JudgeUnavailable, ModelFailed
from cascade_service.domain.events import (
    AttemptStarted,
    CascadeEvent,
    Ceiling,
    DeliveryMode,
    Escalated,
    EscalationReason,
    Judged,
    Outcome,
    PolicyKind,
    Routed,
)
from cascade_service.domain.gain import GAIN_FEATURES, Floats, Rows
from cascade_service.domain.model import TextChunk
from cascade_service.domain.plan import Plan, PlannedModel, RouteKind
from cascade_service.domain.ports import JointQuestion
from cascade_service.domain.pricing import Price
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.value import ValuePolicy
from cascade_service.domain.verdict import Defect, Verdict
from tests.support.cascade import (
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
    verdict,
)

WORTH = 1_000_000
RATE_LIMITED = ModelFailed("rate limited (HTTP 429)", kind="rate_limited")


@dataclass(frozen=True)
class Myopic:
    """Gains ``q·(1 - p_top)`` less the price; fails where it must not be asked."""

    silent: bool = False

    def net_gain(self, rows: Rows) -> Floats:
        assert not self.silent, "there was nothing to weigh"
        column = {name: rows[:, place].astype(np.float64) for place, name in enumerate(GAIN_FEATURES)}
        return column["q"] * (1.0 - np.nan_to_num(column["p_top"])) - column["price"]


def value(worth: int = WORTH, *, threshold: float = 0.0) -> ValuePolicy:
    return ValuePolicy(name="dial", answer_worth_nano_usd=worth, threshold=threshold)


def planned(**models: tuple[float, int]) -> Plan:
    """A router's plan: predicted quality and cost in nano-USD by model."""
    entries = tuple(
        PlannedModel(model=name, predicted_quality=quality, predicted_cost_nano_usd=cost) for name, (quality, cost) in models.items()
    )
    return Plan(models=entries, kind=RouteKind.LEARNED, input_tokens=9, policy_hash="abcdef012345")


def stage_of(
    plan: Plan,
    verdicts: Mapping[str, Verdict | Exception],
    *,
    steps: Mapping[str, list[Step]] | None = None,
    same: tuple[tuple[str, ...], ...] = (),
) -> Stage:
    models = [ScriptedLlm(entry.model, (steps or {}).get(entry.model, answer(f"from {entry.model}"))) for entry in plan.models]
    return Stage(models, ScriptedJudge(dict(verdicts), same=same), ScriptedRouter(plan), gain_model=Myopic())


async def run(stage: Stage, request: CascadeRequest | None = None) -> list[CascadeEvent]:
    events = await stage.run(request or ask(policy=value()))
    reader = Reader()
    for event in events:
        reader.read(event)
    return events


def asked(events: list[CascadeEvent]) -> list[str]:
    return [event.model for event in events if isinstance(event, AttemptStarted)]


THREE = planned(fair=(0.2, 50_000), good=(0.8, 100_000), dear=(0.9, 900_000))


async def test_the_model_worth_most_is_asked_first_and_the_policy_stops_when_no_other_pays() -> None:
    events = await run(stage_of(THREE, {"good": verdict(0.95)}))
    completion = completion_of(events)
    assert kinds(events) == ["Routed", "AttemptStarted", "Judged", "Delta", "Committed", "Completed"]
    assert (completion.model, completion.outcome) == ("good", Outcome.ACCEPTED)
    assert completion.stop_detail == "gain 0.010 of asking fair does not exceed its price 0.050"
    (attempt,) = completion.attempts
    assert (attempt.tier, attempt.escalation_reason) == (1, None)
    assert (attempt.expected_gain, attempt.price) == (pytest.approx(0.8), 0.1)
    assert [event.accepted for event in events if isinstance(event, Judged)] == [True]


async def test_it_goes_on_as_long_as_the_gain_exceeds_the_price() -> None:
    stage = stage_of(THREE, {"good": verdict(0.5), "fair": verdict(0.1), "dear": verdict(0.9)})
    events = await run(stage)
    assert asked(events) == ["good", "fair"]
    (escalated,) = [event for event in events if isinstance(event, Escalated)]
    assert escalated.detail == "gain 0.100 of asking fair exceeds its price 0.050"
    assert (escalated.reason, escalated.next_model) == (EscalationReason.LOW_CONFIDENCE, "fair")
    assert (escalated.expected_gain, escalated.price) == (pytest.approx(0.1), 0.05)
    completion = completion_of(events)
    assert (completion.model, completion.attempt, completion.outcome) == ("good", 0, Outcome.ACCEPTED)
    assert [summary.escalation_reason for summary in completion.attempts] == [EscalationReason.LOW_CONFIDENCE, None]


async def test_all_answers_are_judged_together_by_the_judges_that_ask_no_model() -> None:
    stage = stage_of(THREE, {"good": verdict(0.5), "fair": verdict(0.1)})
    stage.cheap_judges = ("checks", "agreement")
    events = await run(stage)
    assert stage.judge.questions == []
    assert [[answer.model for answer in question.candidates] for question, _ in stage.judge.joint_questions] == [["good"], ["good", "fair"]]
    question = stage.judge.joint_questions[-1][0]
    assert question.judges == ("checks", "agreement")
    assert [answer.predicted_quality for answer in question.candidates] == [0.8, 0.2]
    assert [event.attempt for event in events if isinstance(event, Judged)] == [0, 1], "a verdict that did not change is not told again"


class SecondThoughts(ScriptedJudge):
    """Believes less of every answer for each that stands beside it."""

    async def judge_all(self, question: JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        verdicts = await super().judge_all(question, timeout_s=timeout_s)
        return tuple(found and replace(found, confidence=found.confidence / len(verdicts)) for found in verdicts)


async def test_a_verdict_that_changed_is_told_again_and_recorded() -> None:
    stage = stage_of(THREE, {})
    stage.judge = SecondThoughts({"good": verdict(0.5, cost=2), "fair": verdict(0.1, cost=2)})
    events = await run(stage, ask(policy=value(), attempts_max=2))
    told = [(event.attempt, event.verdict.confidence, event.accepted) for event in events if isinstance(event, Judged)]
    assert told == [(0, 0.5, False), (0, 0.25, False), (1, 0.05, False)]
    completion = completion_of(events)
    assert (completion.outcome, completion.ceiling, completion.stop_detail) == (Outcome.BEST_SEEN, Ceiling.ATTEMPTS, "")
    assert [summary.judge_cost_nano_usd for summary in completion.attempts] == [4, 2]
    (record,) = stage.store.saved
    assert [attempt.verdict and attempt.verdict.confidence for attempt in record.attempts] == [0.25, 0.05]
    assert (record.policy_kind, record.answer_worth_nano_usd) == (PolicyKind.VALUE, WORTH)


async def test_answers_that_say_the_same_back_each_other() -> None:
    plan = planned(one=(0.5, 1), two=(0.5, 1), three=(0.5, 1))
    stage = stage_of(plan, {"one": verdict(0.6), "two": verdict(0.6), "three": verdict(0.6)}, same=(("one", "three"),))
    completion = completion_of(await run(stage))
    assert (completion.outcome, completion.model, completion.supporting_attempts) == (Outcome.BEST_SEEN, "three", (0,))
    assert completion.stop_detail == "", "the plan is at its end, the policy did not stop by itself"


@pytest.mark.parametrize("mode", [DeliveryMode.SPECULATIVE, DeliveryMode.PREFIX_COMMIT])
async def test_an_earlier_answer_that_is_chosen_is_shown_again(mode: DeliveryMode) -> None:
    stage = stage_of(THREE, {"good": verdict(0.5), "fair": verdict(0.1)})
    events = await run(stage, ask(policy=value(), delivery=mode))
    completion = completion_of(events)
    assert (completion.text, completion.attempt) == ("from good", 0)
    retracted = ["Retracted"] if mode is DeliveryMode.SPECULATIVE else []
    assert kinds(events)[-4 - len(retracted) :] == ["Judged", *retracted, "Delta", "Committed", "Completed"]


async def test_what_is_final_rules_out_answers_that_begin_otherwise() -> None:
    plan = planned(one=(0.9, 10), two=(0.8, 10))
    steps: dict[str, list[Step]] = {"one": [TextChunk("from one"), Rest(10), *answer(" alone")]}
    stage = stage_of(plan, {"one": verdict(0.2), "two": verdict(0.9)}, steps=steps)
    policy = replace(value(), prefix_threshold=0.1)
    events = await run(stage, ask(policy=policy, delivery=DeliveryMode.PREFIX_COMMIT))
    assert asked(events) == ["one"], "no model is left that could continue"
    assert completion_of(events).outcome is Outcome.BEST_SEEN


async def test_an_answer_with_a_defect_is_not_given_while_there_is_one_without() -> None:
    plan = planned(one=(0.9, 10), two=(0.8, 10))
    verdicts = {"one": verdict(0.9, defects=(Defect.REFUSED,)), "two": verdict(0.3)}
    events = await run(stage_of(plan, verdicts))
    (escalated,) = [event for event in events if isinstance(event, Escalated)]
    assert escalated.reason is EscalationReason.REFUSED
    assert escalated.detail.startswith("defect: refused; gain ")
    assert completion_of(events).model == "two"


async def test_a_cut_off_answer_is_given_when_there_is_no_other() -> None:
    plan = planned(one=(0.9, 10), two=(0.8, 10))
    steps: dict[str, list[Step]] = {"one": answer("half", finish=FinishReason.LENGTH), "two": [RATE_LIMITED]}
    completion = completion_of(await run(stage_of(plan, {"one": verdict(0.4)}, steps=steps)))
    assert (completion.model, completion.outcome) == ("one", Outcome.BEST_SEEN)


async def test_before_there_is_an_answer_the_best_is_asked_even_where_it_does_not_pay() -> None:
    plan = planned(one=(0.5, 10**7), two=(0.1, 10**6), three=(0.2, 10**8))
    stage = stage_of(plan, {"three": verdict(0.2)}, steps={"one": [RATE_LIMITED], "two": answer("")})
    events = await run(stage)
    assert asked(events) == ["two", "one", "three"]
    assert [event.reason for event in events if isinstance(event, Escalated)] == [
        EscalationReason.MALFORMED,
        EscalationReason.PROVIDER_ERROR,
    ]


async def test_when_every_model_fails_so_does_the_request() -> None:
    stage = stage_of(planned(one=(0.5, 1), two=(0.4, 1)), {}, steps={"one": [RATE_LIMITED], "two": [RATE_LIMITED]})
    _, error = await collect_until_error(stage.cascade().answer(ask(policy=value())))
    assert isinstance(error, AllAttemptsFailed)


async def test_without_the_judge_the_order_is_that_of_the_plan() -> None:
    stage = stage_of(planned(one=(0.1, 1), two=(0.2, 1), three=(0.9, 1)), {})
    events = await run(stage)
    assert asked(events) == ["three", "one", "two"], "the first is chosen before there is anything to judge"
    assert {event.reason for event in events if isinstance(event, Escalated)} == {EscalationReason.UNJUDGED}
    assert (completion_of(events).outcome, completion_of(events).model) == (Outcome.UNJUDGED, "three")


async def test_an_operator_may_refuse_answers_without_a_verdict() -> None:
    stage = stage_of(THREE, {})
    stage.refuse_unjudged = True
    _, error = await collect_until_error(stage.cascade().answer(ask(policy=value())))
    assert isinstance(error, JudgeUnavailable)


async def test_a_model_beyond_a_ceiling_is_no_option_and_the_others_still_are() -> None:
    price = Price(output_nano_usd_per_mtok=10**9)
    stage = stage_of(planned(cheap=(0.3, 1), dear=(0.99, 2)), {"cheap": verdict(0.1)})
    stage.models[1].price = price
    events = await run(stage, ask(policy=value(), cost_max=10_000))
    completion = completion_of(events)
    assert asked(events) == ["cheap"]
    assert (completion.outcome, completion.ceiling) == (Outcome.BEST_SEEN, Ceiling.COST)


async def test_no_model_under_the_ceilings_is_an_error() -> None:
    stage = stage_of(planned(dear=(0.99, 2)), {})
    stage.models[0].price = Price(output_nano_usd_per_mtok=10**9)
    _, error = await collect_until_error(stage.cascade().answer(ask(policy=value(), cost_max=10_000)))
    assert isinstance(error, CeilingTooLow)


async def test_a_single_model_is_taken_without_weighing() -> None:
    stage = stage_of(planned(only=(0.5, 1)), {"only": verdict(0.4)})
    stage.gain_model = Myopic(silent=True)
    completion = completion_of(await run(stage))
    assert (completion.model, completion.outcome) == ("only", Outcome.BEST_SEEN)
    assert (completion.attempts[0].expected_gain, completion.attempts[0].price) == (None, None)


async def test_below_the_floor_it_does_not_stop_by_itself() -> None:
    stage = stage_of(THREE, {"good": verdict(0.95), "fair": verdict(0.99)})
    events = await run(stage, ask(policy=value(threshold=0.98)))
    (escalated,) = [event for event in events if isinstance(event, Escalated)]
    assert escalated.detail == "gain 0.010 of asking fair does not exceed its price 0.050, but confidence 0.950 is below 0.980"
    assert (completion_of(events).model, completion_of(events).outcome) == ("fair", Outcome.ACCEPTED)


@pytest.mark.parametrize(("worth", "expected"), [(2_000, ["two"]), (10**9, ["two", "one"])])
async def test_a_plan_without_predictions_is_followed_while_one_more_answer_may_pay(worth: int, expected: list[str]) -> None:
    stage = stage_of(planned(one=(0.5, 1), two=(0.6, 1)), {"two": verdict(0.6), "one": verdict(0.1)})
    for model in stage.models:
        model.price = Price(output_nano_usd_per_mtok=10**6)  # at worst 1,000 nano-USD
    stage.gain_model = Myopic(silent=True)
    events = await run(stage, ask(policy=value(worth), fixed_plan=("two", "one")))
    assert asked(events) == expected
    assert completion_of(events).model == "two"


async def test_the_router_is_told_what_a_right_answer_is_worth() -> None:
    stage = stage_of(THREE, {"good": verdict(0.95)})
    events = await run(stage, ask(policy=value(123_456)))
    (routed,) = [event for event in events if isinstance(event, Routed)]
    assert (routed.policy_kind, routed.answer_worth_nano_usd) == (PolicyKind.VALUE, 123_456)
    assert stage.router is not None
    await stage.run(ask())
    assert [question.constraints.answer_worth_nano_usd for question, _ in stage.router.questions] == [123_456, None]


async def test_the_worth_is_part_of_the_policys_fingerprint() -> None:
    hashes = {
        completion_of(await run(stage_of(THREE, {"good": verdict(0.95)}), ask(policy=value(worth)))).policy_hash
        for worth in (WORTH, WORTH + 1)
    }
    assert len(hashes) == 2
