"""Several endpoints of one model: who is asked, when a slow call gets a rival, and what becomes of the loser."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.breaker import BreakerPolicy, BreakerState, BreakingModel
from providers.errors import CircuitOpen, ConcurrencyExceeded, DeadlineReached, RateLimited, ServerFault
from providers.first_chunk import CREDIT_MAX, FirstChunkTimes, HedgePolicy, HedgeShare
from providers.hedged import HedgedModel
from providers.port import Chunk, EndpointLog, Finished, FinishReason, Usage
from providers.retry import RetryingModel, RetryPolicy
from tests.support.chat_models import ask
from tests.support.models import Gate, Script, ScriptedModel, collect

AT_ONCE = HedgePolicy(after_s=0.0, share_max=1.0)
NEVER = HedgePolicy(after_s=1_000.0, share_max=1.0)


def fault() -> ServerFault:
    return ServerFault("down", model="m")


def hedged(*scripts: tuple[Script, ...], policy: HedgePolicy | None = AT_ONCE) -> tuple[HedgedModel, list[ScriptedModel]]:
    """A model with one endpoint per tuple of scripts; a breaker opens with the first failure."""
    inner = [ScriptedModel(f"m{index}", *each) for index, each in enumerate(scripts)]
    endpoints = [BreakingModel(model, BreakerPolicy(failures_to_open=1, open_s=100.0), clock=lambda: 0.0) for model in inner]
    return HedgedModel(endpoints, policy), inner


async def some_turns() -> None:
    """Lets everybody else in the event loop go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def may_hedge() -> EndpointLog:
    return EndpointLog(may_hedge=True)


async def test_calls_go_round() -> None:
    model, inner = hedged(("a", "a"), ("b",), policy=None)
    logs = [EndpointLog() for _ in range(3)]
    assert [(await collect(model.stream(ask(endpoints=log))))[0] for log in logs] == ["a", "b", "a"]
    assert [(log.asked, log.answered, log.rival) for log in logs] == [([0], 0, None), ([1], 1, None), ([0], 0, None)]
    await model.aclose()
    assert all(each.closed for each in inner)


async def test_a_silent_call_gets_a_rival_and_is_cancelled_when_that_answers() -> None:
    model, (slow, quick) = hedged(((Gate(),),), ("quick",))
    log = may_hedge()
    assert (await collect(model.stream(ask(endpoints=log))))[0] == "quick"
    assert (log.asked, log.answered, log.rival) == ([0, 1], 1, 1)
    assert (slow.closed_early, slow.in_flight, quick.closed_early) == (1, 0, 0)


async def test_the_loser_is_cancelled_before_the_winner_has_ended() -> None:
    gate = Gate()
    model, (slow, _) = hedged(((Gate(),),), ((Chunk("quick"), gate),))
    events = model.stream(ask(endpoints=may_hedge()))
    assert await anext(events) == Chunk("quick")
    await slow.early_close.wait()
    await events.aclose()


async def test_a_call_that_answers_after_all_beats_its_rival() -> None:
    late, asked = Gate(), Gate()
    model, (slow, rival) = hedged(((late, *_whole("late")),), ((asked,),))
    log = may_hedge()
    reading = asyncio.create_task(collect(model.stream(ask(endpoints=log))))
    await asked.reached.wait()
    late.opened.set()
    assert (await reading)[0] == "late"
    assert (log.answered, log.rival, rival.closed_early, slow.closed_early) == (0, 1, 1, 0)


@pytest.mark.parametrize(
    ("log", "policy"),
    [
        (EndpointLog(), AT_ONCE),
        (may_hedge(), None),
        (may_hedge(), NEVER),
        (may_hedge(), HedgePolicy(after_s=0.0, share_max=0.0)),
        (EndpointLog(may_hedge=True, rival=0), AT_ONCE),
    ],
    ids=["not paid for", "not configured", "not slow", "share used up", "once before"],
)
async def test_no_rival(log: EndpointLog, policy: HedgePolicy | None) -> None:
    gate = Gate()
    model, (_, other) = hedged(((gate, *_whole("late")),), (), policy=policy)
    reading = asyncio.create_task(collect(model.stream(ask(endpoints=log))))
    await gate.reached.wait()
    await some_turns()
    gate.opened.set()
    assert (await reading)[0] == "late"
    assert other.requests == []


async def test_when_the_call_fails_its_rival_may_still_answer() -> None:
    gate, asked = Gate(), Gate()
    model, (first, _) = hedged(((gate, fault()),), ((asked, *_whole("fine")),))
    reading = asyncio.create_task(collect(model.stream(ask(endpoints=may_hedge()))))
    await asked.reached.wait()
    gate.opened.set()
    await some_turns()
    assert first.in_flight == 0
    asked.opened.set()
    assert (await reading)[0] == "fine"


async def test_when_both_fail_the_first_calls_error_is_told() -> None:
    gate, asked = Gate(), Gate()
    model, _ = hedged(((gate, RateLimited("slow down", model="m")),), ((asked, fault()),))
    reading = asyncio.create_task(collect(model.stream(ask(endpoints=may_hedge()))))
    await asked.reached.wait()
    asked.opened.set()
    gate.opened.set()
    with pytest.raises(RateLimited):
        await reading


async def test_an_open_breaker_sends_calls_to_the_other_endpoint() -> None:
    model, (broken, fine) = hedged((fault(),), ("b", "c", "d"), policy=None)
    with pytest.raises(ServerFault):
        await collect(model.stream(ask()))
    logs = [EndpointLog() for _ in range(3)]
    assert [(await collect(model.stream(ask(endpoints=log))))[0] for log in logs] == ["b", "c", "d"]
    assert len(broken.requests) == 1
    assert (logs[1].asked, logs[1].skipped) == ([1], [0])
    assert len(fine.requests) == 3


async def test_no_rival_at_an_endpoint_that_is_kept_away_from() -> None:
    gate = Gate()
    model, _ = hedged(("a", (gate, *_whole("late"))), (fault(),))
    await collect(model.stream(ask()))
    with pytest.raises(ServerFault):
        await collect(model.stream(ask()))
    log = may_hedge()
    reading = asyncio.create_task(collect(model.stream(ask(endpoints=log))))
    await gate.reached.wait()
    await some_turns()
    gate.opened.set()
    assert (await reading)[0] == "late"
    assert log.rival is None


async def test_when_all_endpoints_are_kept_away_from_the_call_is_refused() -> None:
    model, _ = hedged((fault(),), (fault(),), policy=None)
    for error in (ServerFault, ServerFault, CircuitOpen):
        with pytest.raises(error):
            await collect(model.stream(ask()))


async def test_a_full_endpoint_sends_the_call_to_the_other() -> None:
    model, _ = hedged((ConcurrencyExceeded("full", model="m"),), ("b",), policy=None)
    assert (await collect(model.stream(ask())))[0] == "b"


async def test_a_retry_goes_to_another_endpoint_and_gets_no_second_rival() -> None:
    model, (first, second) = hedged((fault(),), ("b",), policy=NEVER)
    retrying = RetryingModel(model, RetryPolicy(attempts_max=2, backoff_initial_s=0.0))
    log = may_hedge()
    assert (await collect(retrying.stream(ask(endpoints=log))))[0] == "b"
    assert (log.asked, len(first.requests), len(second.requests)) == ([0, 1], 1, 1)


async def test_no_time_left_is_no_call() -> None:
    model, _ = hedged((), (), policy=None)
    with pytest.raises(DeadlineReached):
        await collect(model.stream(ask(timeout_s=0.0)))


@pytest.mark.parametrize("when", ["before the first event", "after it"])
async def test_a_caller_who_leaves_ends_every_call(when: str) -> None:
    begun, gates = when == "after it", (Gate(), Gate())
    model, inner = hedged(
        ((Chunk("x"), gates[0]) if begun else (gates[0],),), () if begun else ((gates[1],),), policy=NEVER if begun else AT_ONCE
    )
    reading = asyncio.create_task(collect(model.stream(ask(endpoints=may_hedge()))))
    await gates[0 if begun else 1].reached.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert [each.in_flight for each in inner] == [0, 0]


async def test_the_breaker_tells_its_states() -> None:
    now, states = 0.0, list[BreakerState]()
    inner = ScriptedModel("m", fault(), fault(), "fine")
    model = BreakingModel(inner, BreakerPolicy(failures_to_open=1, open_s=10.0), clock=lambda: now, on_change=states.append)
    for later in (0.0, 10.0):
        now += later
        with pytest.raises(ServerFault):
            await collect(model.stream(ask()))
        assert not model.admits
    now += 10.0
    assert model.admits
    await collect(model.stream(ask()))
    assert [state.value for state in states] == ["open", "half_open", "open", "half_open", "closed"]


def test_the_wait_is_the_quantile_once_enough_is_known() -> None:
    times = FirstChunkTimes(HedgePolicy(samples_min=20, initial_s=7.0, floor_s=0.5))
    for number in range(1, 20):
        times.add(float(number))
    assert times.wait_s() == 7.0
    times.add(20.0)
    assert times.wait_s() == 19.0
    for _ in range(256):
        times.add(0.001)
    assert times.wait_s() == 0.5


async def test_what_a_loser_took_counts_too() -> None:
    model, _ = hedged(((Gate(),),), ("quick",))
    await collect(model.stream(ask(endpoints=may_hedge())))
    assert model._times is not None
    assert len(model._times._times) == 2


@given(st.floats(0.0, 1.0), st.integers(1, 400), st.integers(0, 399))
def test_rivals_stay_at_their_share(share: float, requests: int, quiet: int) -> None:
    allowance, rivals = HedgeShare(share), 0
    for number in range(1, requests + 1):
        allowance.count_request()
        if number > quiet:
            while allowance.take():
                rivals += 1
        assert rivals <= share * number + 1e-6
        assert rivals <= CREDIT_MAX + share * max(0, number - quiet)


def test_a_twentieth_is_one_in_twenty() -> None:
    allowance = HedgeShare(0.05)
    taken: list[int] = []
    for number in range(1, 101):
        allowance.count_request()
        if allowance.take():
            taken.append(number)
    assert taken == [20, 40, 60, 80, 100]


def _whole(text: str) -> tuple[Chunk | Finished, ...]:
    return (Chunk(text), Finished(finish_reason=FinishReason.STOP, usage=Usage(1, 1), cost_nano_usd=0))
