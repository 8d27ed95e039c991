"""The panel: fan-out, order, deadline, early stop, cost ceiling."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from judge_service.domain.candidates import Case
from judge_service.domain.errors import UnknownJudge
from judge_service.domain.panel import Panel, PanelRequest
from judge_service.domain.verdicts import Defect, Judged, NoVerdict, Spoke, Status, Verdict
from tests.support.judges import ScriptedJudge, broken, calibration, case


def panel(*judges: ScriptedJudge, early_stop: bool = True, parallel_max: int = 64) -> Panel:
    ticks = count()
    return Panel(judges, calibration(), early_stop=early_stop, clock=lambda: float(next(ticks)), parallel_max=parallel_max)


def cases(number: int = 1) -> tuple[Case, ...]:
    return tuple(replace(case(), candidate=replace(case().candidate, id=f"c{i}")) for i in range(number))


def ask(
    *, number: int = 1, deadline_s: float = 5.0, judges: Sequence[str] = (), threshold: float | None = None, cost_max: int | None = None
) -> PanelRequest:
    return PanelRequest(
        cases=cases(number), deadline_s=deadline_s, judges=tuple(judges), accept_threshold=threshold, cost_max_nano_usd=cost_max
    )


def verdict(result: Verdict | NoVerdict) -> Verdict:
    assert isinstance(result, Verdict)
    return result


def statuses(result: Verdict | NoVerdict) -> dict[str, Status]:
    return {outcome.judge: outcome.status for outcome in result.outcomes}


async def test_every_judge_sees_every_candidate_and_results_keep_the_order() -> None:
    one, two = ScriptedJudge("one", "llm", 0.9), ScriptedJudge("two", "checks", 1.0)
    results = await panel(one, two).judge(ask(number=4))
    assert len(results) == 4
    assert sorted(one.asked) == sorted(two.asked) == ["c0", "c1", "c2", "c3"]
    assert [outcome.judge for outcome in results[0].outcomes] == ["one", "two"]
    assert verdict(results[0]).evidence == "one+two"
    assert verdict(results[0]).calibration == "test-1"


async def test_judges_run_at_the_same_time() -> None:
    gate = asyncio.Event()
    first, second = ScriptedJudge("first", gate=gate), ScriptedJudge("second", gate=gate)
    work = asyncio.create_task(panel(first, second).judge(ask()))
    await asyncio.gather(first.reached.wait(), second.reached.wait())
    gate.set()
    assert statuses((await work)[0]) == {"first": Status.SCORED, "second": Status.SCORED}


async def test_no_more_judges_at_work_than_allowed() -> None:
    gate = asyncio.Event()
    judges = [ScriptedJudge(f"j{n}", gate=gate) for n in range(3)]
    work = asyncio.create_task(panel(*judges, parallel_max=2).judge(ask()))
    await asyncio.gather(*(judge.reached.wait() for judge in judges[:2]))
    assert not judges[2].reached.is_set()
    gate.set()
    assert set(statuses((await work)[0]).values()) == {Status.SCORED}


async def test_failures_are_reported_beside_the_verdict() -> None:
    result = (await panel(ScriptedJudge("good", "checks", 1.0), broken("bad")).judge(ask()))[0]
    assert statuses(result) == {"good": Status.SCORED, "bad": Status.FAILED}
    assert verdict(result).evidence == "good"
    assert result.outcomes[1].explanation == "scripted failure"


async def test_an_unforeseen_error_is_one_judges_failure() -> None:
    result = (await panel(ScriptedJudge("good"), ScriptedJudge("bad", error=KeyError("secret text"))).judge(ask()))[0]
    assert statuses(result)["bad"] is Status.FAILED
    assert "secret" not in result.outcomes[1].explanation


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf")])
async def test_a_score_out_of_range_is_a_failure(score: float) -> None:
    result = (await panel(ScriptedJudge("good"), ScriptedJudge("bad", score=score)).judge(ask()))[0]
    assert statuses(result)["bad"] is Status.FAILED
    assert result.outcomes[1].score is None


async def test_a_judge_that_stalls_is_timed_out_by_its_own_limit() -> None:
    stalled = ScriptedJudge("slow", gate=asyncio.Event(), timeout_s=0.01)
    result = (await panel(stalled, ScriptedJudge("quick", "checks")).judge(ask()))[0]
    assert statuses(result) == {"slow": Status.TIMED_OUT, "quick": Status.SCORED}
    assert stalled.cancelled == 1


async def test_the_panels_deadline_bounds_all_judges() -> None:
    stalled = [ScriptedJudge(f"s{n}", gate=asyncio.Event()) for n in range(3)]
    results = await panel(*stalled, ScriptedJudge("quick", "checks"), parallel_max=2).judge(ask(number=2, deadline_s=0.05))
    for result in results:
        assert [statuses(result)[f"s{n}"] for n in range(3)] == [Status.TIMED_OUT] * 3


async def test_no_verdict_when_every_judge_failed() -> None:
    result = (await panel(broken("one"), broken("two", "checks")).judge(ask()))[0]
    assert isinstance(result, NoVerdict)
    assert statuses(result) == {"one": Status.FAILED, "two": Status.FAILED}


async def test_a_failure_and_an_abstention_are_no_verdict_either() -> None:
    assert isinstance((await panel(broken("one"), ScriptedJudge("two", score=None)).judge(ask()))[0], NoVerdict)


async def test_abstentions_alone_leave_the_prior() -> None:
    result = verdict((await panel(ScriptedJudge("one", score=None)).judge(ask()))[0])
    assert (result.confidence, result.evidence) == (0.5, "")


async def test_only_the_judges_asked_for() -> None:
    one, two = ScriptedJudge("one"), ScriptedJudge("two")
    result = (await panel(one, two).judge(ask(judges=["two"])))[0]
    assert list(statuses(result)) == ["two"]
    assert one.asked == []


async def test_an_unknown_judge_is_refused_with_its_place() -> None:
    with pytest.raises(UnknownJudge) as caught:
        await panel(ScriptedJudge("one")).judge(ask(judges=["one", "tow"]))
    assert (caught.value.name, caught.value.position) == ("tow", 1)


async def test_defects_of_judges_that_find_defects_cap_the_confidence() -> None:
    checks = ScriptedJudge("checks", "checks", 0.0, finds_defects=True, defects=(Defect.EMPTY,))
    liar = ScriptedJudge("llm", "llm", 1.0, defects=(Defect.REFUSED,))
    result = verdict((await panel(checks, liar).judge(ask()))[0])
    assert result.defects == (Defect.EMPTY,)
    assert result.confidence == 0.01


async def test_stops_before_asking_a_model_once_it_cannot_matter() -> None:
    llm = ScriptedJudge("llm", "llm", 1.0, model="big", cost=100)
    checks = ScriptedJudge("checks", "checks", 0.0, finds_defects=True, defects=(Defect.EMPTY,))
    result = verdict((await panel(checks, llm).judge(ask(threshold=0.7)))[0])
    assert statuses(result) == {"checks": Status.SCORED, "llm": Status.SKIPPED}
    assert llm.asked == []
    assert result.stopped_early
    assert result.cost_nano_usd == 0


async def test_stops_judges_that_are_at_work() -> None:
    slow = ScriptedJudge("slow", "llm", gate=asyncio.Event(), model="big")
    quick = ScriptedJudge("quick", "llm", 1.0, model="big")
    result = verdict((await panel(quick, slow).judge(ask(threshold=0.3)))[0])
    assert statuses(result) == {"quick": Status.SCORED, "slow": Status.SKIPPED}
    assert slow.cancelled == 1
    assert result.confidence >= 0.3


async def test_waits_for_judges_that_can_still_matter() -> None:
    llm = ScriptedJudge("llm", "llm", 0.9, model="big")
    result = verdict((await panel(ScriptedJudge("checks", "checks", 1.0), llm).judge(ask(threshold=0.6)))[0])
    assert statuses(result)["llm"] is Status.SCORED
    assert not result.stopped_early


async def test_no_early_stop_without_a_threshold_or_when_switched_off() -> None:
    def members() -> tuple[ScriptedJudge, ...]:
        return (
            ScriptedJudge("checks", "checks", 0.0, finds_defects=True, defects=(Defect.EMPTY,)),
            ScriptedJudge("llm", "llm", 1.0, model="big"),
        )

    without = verdict((await panel(*members()).judge(ask()))[0])
    off = verdict((await panel(*members(), early_stop=False).judge(ask(threshold=0.7)))[0])
    assert statuses(without)["llm"] is statuses(off)["llm"] is Status.SCORED
    assert not without.stopped_early


async def test_the_cost_ceiling_skips_what_could_go_beyond() -> None:
    cheap, dear, small = (ScriptedJudge(name, cost=cost) for name, cost in (("cheap", 40), ("dear", 80), ("small", 50)))
    result = verdict((await panel(cheap, dear, small).judge(ask(cost_max=100)))[0])
    assert statuses(result) == {"cheap": Status.SCORED, "dear": Status.SKIPPED, "small": Status.SCORED}
    assert result.cost_nano_usd == 90
    assert not result.stopped_early


async def test_the_stream_has_every_judge_once_and_then_the_result() -> None:
    events = [event async for event in panel(ScriptedJudge("one"), broken("two")).stream(ask(number=3))]
    for position in range(3):
        mine = [event for event in events if event.position == position]
        assert sorted(event.outcome.judge for event in mine if isinstance(event, Spoke)) == ["one", "two"]
        assert isinstance(mine[-1], Judged)
        assert len(mine) == 3


async def test_leaving_the_stream_stops_the_judges() -> None:
    slow = ScriptedJudge("slow", gate=asyncio.Event())
    events = panel(ScriptedJudge("quick", "checks"), slow).stream(ask())
    assert isinstance(await anext(events), Spoke)
    await slow.reached.wait()
    await events.aclose()
    assert slow.cancelled == 1


async def test_cancelling_the_caller_stops_the_judges() -> None:
    slow = ScriptedJudge("slow", gate=asyncio.Event())
    work = asyncio.create_task(panel(slow).judge(ask()))
    await slow.reached.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert slow.cancelled == 1
