"""Laws of the panel: every outcome once and in order, and an early stop that never changes the decision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from judge_service.domain.candidates import Case
from judge_service.domain.errors import JudgeFailed
from judge_service.domain.panel import Panel, PanelRequest
from judge_service.domain.verdicts import Defect, NoVerdict, Opinion, Status, Verdict
from tests.support.judges import SCALES, ScriptedJudge, calibration, case


@dataclass(frozen=True)
class Member:
    kind: str
    score: float | None
    fails: bool
    asks_model: bool
    turn: int


members = st.lists(
    st.builds(
        Member,
        kind=st.sampled_from(sorted(SCALES)),
        score=st.one_of(st.none(), st.floats(0.0, 1.0)),
        fails=st.booleans(),
        asks_model=st.booleans(),
        turn=st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
)


class Late(ScriptedJudge):
    """Answers after ``turn`` rounds of the event loop."""

    def __init__(self, name: str, member: Member) -> None:
        empty = member.kind == "checks" and member.score is not None and member.score < 0.2
        super().__init__(
            name,
            member.kind,
            score=member.score,
            error=JudgeFailed("scripted") if member.fails else None,
            model="big" if member.asks_model else "",
            finds_defects=member.kind == "checks",
            defects=(Defect.TRUNCATED,) if empty else (),
        )
        self._turn = member.turn

    async def judge(self, case: Case) -> Opinion:
        for _ in range(self._turn):
            await asyncio.sleep(0)
        return await super().judge(case)


def judged(
    listed: Sequence[Member], *, threshold: float | None, candidates: int = 1, early_stop: bool = True
) -> tuple[Verdict | NoVerdict, ...]:
    judges = [Late(f"j{i}", member) for i, member in enumerate(listed)]
    panel = Panel(judges, calibration(), early_stop=early_stop, clock=lambda: 0.0)
    cases = tuple(replace(case(), candidate=replace(case().candidate, id=f"c{i}")) for i in range(candidates))
    return asyncio.run(panel.judge(PanelRequest(cases=cases, deadline_s=30.0, accept_threshold=threshold)))


@settings(max_examples=150, deadline=None)
@given(members, st.floats(0.0, 1.0))
def test_an_early_stop_never_changes_the_decision(listed: list[Member], threshold: float) -> None:
    (stopped,) = judged(listed, threshold=threshold)
    (complete,) = judged(listed, threshold=threshold, early_stop=False)
    assert isinstance(stopped, Verdict) == isinstance(complete, Verdict)
    if isinstance(stopped, Verdict) and isinstance(complete, Verdict):
        assert (stopped.confidence >= threshold) == (complete.confidence >= threshold)
        if not stopped.stopped_early:
            assert stopped == complete


@settings(max_examples=50, deadline=None)
@given(members, st.integers(1, 5), st.one_of(st.none(), st.floats(0.0, 1.0)))
def test_every_judge_has_one_outcome_per_candidate_in_the_panels_order(
    listed: list[Member], candidates: int, threshold: float | None
) -> None:
    results = judged(listed, threshold=threshold, candidates=candidates)
    assert len(results) == candidates
    for result in results:
        assert [outcome.judge for outcome in result.outcomes] == [f"j{i}" for i in range(len(listed))]
        for outcome in result.outcomes:
            assert (outcome.score is not None) == (outcome.status is Status.SCORED)
