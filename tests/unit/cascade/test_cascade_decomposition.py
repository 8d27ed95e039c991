"""A request with parts: who is asked what, in which order, and what becomes of failures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from cascade_service.domain.chat import Message, OutputContract, OutputKind, Role
from cascade_service.domain.decomposition.joining import Joiner
from cascade_service.domain.decomposition.options import DecompositionOptions
from cascade_service.domain.decomposition.splitting import Split, SplitLimits
from cascade_service.domain.errors import AllAttemptsFailed, CeilingTooLow, JudgeUnavailable, ModelFailed
from cascade_service.domain.events import Committed, Decomposed, DeliveryMode, Delta, Outcome, Retracted, Routed
from cascade_service.domain.pricing import Price
from cascade_service.domain.request import CascadeRequest
from tests.support.cascade import (
    Await,
    ScriptedJudge,
    ScriptedLlm,
    Stage,
    answer,
    ask,
    collect_until_error,
    completion_of,
    kinds,
    verdict,
)

TWO = "1. What is 6 times 7?\n2. Who wrote Faust?"
DEPENDENT = "1. What is 6 times 7?\n2. Is it even?"
SURE = ScriptedJudge({"small": verdict(0.9), "large": verdict(0.8)})


def compound(text: str = TWO, **fields: object) -> CascadeRequest:
    messages = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, text))
    return ask(messages=messages, parts_max=8, **fields)  # pyright: ignore[reportArgumentType] - fields of the caller's choice


@dataclass
class Told:
    """Splits as told."""

    split_into: Split
    limits: list[SplitLimits] = field(default_factory=list[SplitLimits])
    name = "told"

    async def split(self, text: str, limits: SplitLimits) -> Split:
        del text
        self.limits.append(limits)
        return self.split_into


async def test_every_part_is_asked_with_the_conversation_before_it() -> None:
    small = ScriptedLlm("small", answer("42"))
    stage = Stage([small], SURE)
    events = await stage.run(compound())
    asked = sorted([message.content for message in call.messages] for call in small.calls)
    assert asked == [["Be brief.", "What is 6 times 7?"], ["Be brief.", "Who wrote Faust?"]]
    assert completion_of(events).text == "1.\n42\n\n2.\n42"
    assert stage.router is None
    assert [event.part for event in events if isinstance(event, Routed)] == [0, 1]


async def test_a_part_that_refers_back_sees_the_earlier_answers() -> None:
    small = ScriptedLlm("small", answer("42"))
    events = await Stage([small], SURE).run(compound(DEPENDENT))
    assert [message.content for message in small.calls[1].messages] == ["Be brief.", "What is 6 times 7?", "42", "Is it even?"]
    assert [part.needs_earlier for part in completion_of(events).parts] == [False, True]


async def test_parts_go_on_side_by_side_up_to_the_bound() -> None:
    go_on = asyncio.Event()
    small = ScriptedLlm("small", [Await(go_on), *answer("42")])
    text = "\n".join(f"{number}. What is {number} times 7?" for number in range(1, 6))
    stage = Stage([small], SURE, decomposition=DecompositionOptions(parallel_max=3))
    running = asyncio.create_task(stage.run(compound(text, attempts_max=8)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(small.calls) == 3
    go_on.set()
    assert len(completion_of(await running).parts) == 5


async def test_later_text_waits_for_its_turn_and_is_then_told_at_once() -> None:
    joiner = Joiner(["1.", "2."])
    assert joiner.take(1, Delta(attempt=1, sequence=1, text="wrong")) == []
    assert joiner.take(1, Retracted(attempt=1, from_sequence=1)) == []
    assert joiner.take(1, Delta(attempt=2, sequence=2, text="Goethe")) == []
    assert joiner.take(1, Committed(attempt=2, through_sequence=2)) == []
    assert joiner.end(1) == []
    first = joiner.take(0, Delta(attempt=0, sequence=1, text="41"))
    assert first == [Delta(attempt=0, sequence=1, text="1.\n"), Delta(attempt=0, sequence=2, text="41")]
    assert joiner.take(0, Retracted(attempt=0, from_sequence=1)) == [Retracted(attempt=0, from_sequence=1)]
    joiner.take(0, Delta(attempt=3, sequence=2, text="42"))
    assert joiner.take(0, Committed(attempt=3, through_sequence=2)) == [Committed(attempt=3, through_sequence=4)]
    assert joiner.end(0) == [
        Delta(attempt=2, sequence=5, text="\n\n2.\n"),
        Delta(attempt=2, sequence=6, text="Goethe"),
        Committed(attempt=2, through_sequence=6),
    ]
    assert joiner.text == "1.\n42\n\n2.\nGoethe"
    assert [joiner.text[slice(*joiner.range_of(part))] for part in (0, 1)] == ["42", "Goethe"]


async def test_the_whole_is_as_good_as_its_weakest_part() -> None:
    small, large = ScriptedLlm("small", answer("41", cost=3)), ScriptedLlm("large", answer("42", cost=5))
    stage = Stage([small, large], ScriptedJudge({"small": verdict(0.5, cost=1), "large": verdict(0.6, cost=1)}))
    completion = completion_of(await stage.run(compound(threshold=0.9, attempts_max=8)))
    assert completion.outcome is Outcome.BEST_SEEN
    assert completion.confidence == pytest.approx(0.6 * 0.6)
    assert [part.model for part in completion.parts] == ["large", "large"]
    assert sum(attempt.chosen for attempt in completion.attempts) == 2
    assert completion.cost_nano_usd == sum(part.cost_nano_usd for part in completion.parts) == 2 * (3 + 5 + 1 + 1 + 1)


async def test_a_part_without_an_answer_leaves_the_others_and_is_marked() -> None:
    small = ScriptedLlm("small", [ModelFailed("HTTP 500", kind="server_error")])
    large = ScriptedLlm("large", answer("42"))
    # One attempt each: the ceiling stops the first part after the small model, what the second leaves over comes too late.
    stage = Stage([small, large], SURE)
    events = await stage.run(compound(attempts_max=3))
    completion = completion_of(events)
    assert completion.incomplete
    assert [(part.model, part.error_reason) for part in completion.parts] == [("large", ""), (None, "ALL_ATTEMPTS_FAILED")]
    assert completion.text == "1.\n42"
    assert stage.store.saved[0].completion is not None


async def test_without_any_answer_the_first_error_is_raised() -> None:
    stage = Stage([ScriptedLlm("small", [ModelFailed("HTTP 500", kind="server_error")])])
    _, error = await collect_until_error(stage.cascade().answer(compound()))
    assert isinstance(error, AllAttemptsFailed)
    dear = ScriptedLlm("small", answer("42"), price=Price(output_nano_usd_per_mtok=10**12))
    _, error = await collect_until_error(Stage([dear]).cascade().answer(compound(cost_max=10)))
    assert isinstance(error, CeilingTooLow)


async def test_text_that_is_final_and_must_not_be_given_ends_the_request() -> None:
    judge = ScriptedJudge({}, {"small": verdict(0.9)})
    stage = Stage([ScriptedLlm("small", [*answer("42 and", " more")])], judge, refuse_unjudged=True)
    _, error = await collect_until_error(stage.cascade().answer(compound(DEPENDENT, delivery=DeliveryMode.PREFIX_COMMIT)))
    assert isinstance(error, JudgeUnavailable)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (compound("What is 6 times 7?"), "no form that is plainly compound"),
        (compound(output=OutputContract(kind=OutputKind.NUMBER)), "one form as a whole"),
        (compound(attempts_max=1), "no room for two parts"),
        (compound(output_tokens_max=1), "no room for two parts"),
    ],
)
async def test_what_is_not_split_is_answered_whole(request_: CascadeRequest, reason: str) -> None:
    stage = Stage([ScriptedLlm("small", answer("42"))], SURE)
    events = await stage.run(request_)
    first = events[0]
    assert isinstance(first, Decomposed)
    assert reason in first.reason
    assert kinds(events) == ["Decomposed", "Routed", "AttemptStarted", "Judged", "Delta", "Committed", "Completed"]
    assert completion_of(events).parts == ()
    (record,) = stage.store.saved
    assert record.parts == ()
    assert record.plan is not None


async def test_what_splitting_costs_counts() -> None:
    told = Told(Split(reason="the model sees one task", cost_nano_usd=40))
    price = Price(output_nano_usd_per_mtok=60_000)  # 60 nano-USD for the 1,000 tokens of one attempt
    stage = Stage([ScriptedLlm("small", answer("42", cost=7), price=price)], SURE, decomposition=DecompositionOptions(splitter=told))
    assert completion_of(await stage.run(compound(cost_max=100))).cost_nano_usd == 47
    assert told.limits[0].cost_max_nano_usd == 100
    _, error = await collect_until_error(stage.cascade().answer(compound(cost_max=99)))
    assert isinstance(error, CeilingTooLow)


@pytest.mark.parametrize("record_text", [True, False])
async def test_one_record_has_the_parts_with_their_plans(record_text: bool) -> None:
    stage = Stage([ScriptedLlm("small", answer("42"))], SURE, record_text=record_text)
    await stage.run(compound())
    (record,) = stage.store.saved
    assert record.plan is None
    assert [part.label for part in record.parts] == ["1.", "2."]
    assert all(part.plan is not None and len(part.text_sha256) == 64 for part in record.parts)
    assert [part.text for part in record.parts] == (["What is 6 times 7?", "Who wrote Faust?"] if record_text else [None, None])
    assert [attempt.summary.part for attempt in record.attempts] == [0, 1]
    assert record.completion is not None
    assert len(record.completion.parts) == 2
