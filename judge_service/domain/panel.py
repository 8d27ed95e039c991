"""The panel: independent judges asked at the same time, under one deadline, with nothing hidden.

Every judge has exactly one outcome per candidate: a score, an abstention, a failure, a timeout, or that it was skipped. The panel
stops early on a candidate once no judge that is missing can move the confidence across the caller's threshold.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from judge_service.domain.ballot import Ballot
from judge_service.domain.calibration import Calibration
from judge_service.domain.candidates import Case
from judge_service.domain.errors import JudgeFailed, UnknownJudge
from judge_service.domain.ports import Judge
from judge_service.domain.verdicts import Judged, JudgeOutcome, NoVerdict, Opinion, PanelEvent, Spoke, Status, Verdict

PARALLEL_MAX = 64
"""Most judges at work at the same time in one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRequest:
    """Candidates to judge, and by whom.

    ``judges`` are names, empty for the whole panel. ``accept_threshold`` (0.0 to 1.0) allows an early stop. ``cost_max_nano_usd`` bounds
    the cost of judging one candidate: judges that could go beyond it by their worst case are skipped. ``deadline_s`` is above 0.
    """

    cases: tuple[Case, ...]
    deadline_s: float
    judges: tuple[str, ...] = ()
    accept_threshold: float | None = None
    cost_max_nano_usd: int | None = None


class Panel:
    """Judges of one configuration with their calibration. ``clock`` returns seconds, for durations only."""

    def __init__(
        self,
        judges: Sequence[Judge],
        calibration: Calibration,
        *,
        early_stop: bool,
        clock: Callable[[], float],
        parallel_max: int = PARALLEL_MAX,
    ) -> None:
        self._judges = tuple(judges)
        self._calibration = calibration
        self._early_stop = early_stop
        self._clock = clock
        self._parallel_max = parallel_max

    @property
    def judges(self) -> tuple[Judge, ...]:
        """All judges, in order."""
        return self._judges

    @property
    def calibration(self) -> Calibration:
        """What turns scores into confidence."""
        return self._calibration

    def check(self, names: Sequence[str]) -> None:
        """Raises ``UnknownJudge`` for the first name that the panel does not have."""
        known = tuple(judge.name for judge in self._judges)
        for position, name in enumerate(names):
            if name not in known:
                raise UnknownJudge(name, position=position, known=known)

    async def judge(self, request: PanelRequest) -> tuple[Verdict | NoVerdict, ...]:
        """One result per candidate, in the order of the request. Raises ``UnknownJudge``."""
        results: dict[int, Verdict | NoVerdict] = {}
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, Judged):
                    results[event.position] = event.result
        return tuple(results[position] for position in range(len(request.cases)))

    async def stream(self, request: PanelRequest) -> AsyncGenerator[PanelEvent, None]:
        """What each judge says as it says it, and the result of each candidate once it is complete.

        Closing the generator ends all judging. Raises ``UnknownJudge``.
        """
        self.check(request.judges)
        chosen = tuple(judge for judge in self._judges if not request.judges or judge.name in request.judges)
        threshold = request.accept_threshold if self._early_stop else None
        sitting = _Sitting(chosen, clock=self._clock, slots=asyncio.Semaphore(self._parallel_max))
        ballots = [Ballot(chosen, self._calibration, accept_threshold=threshold) for _ in request.cases]
        work = asyncio.create_task(sitting.hold(request, ballots))
        try:
            while (event := await sitting.events.get()) is not None:
                yield event
            await work
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work


@dataclass(slots=True)
class _Sitting:
    """One request before the panel: what its judges say goes into ``events``; None ends them."""

    judges: tuple[Judge, ...]
    clock: Callable[[], float]
    slots: asyncio.Semaphore
    events: asyncio.Queue[PanelEvent | None] = field(default_factory=asyncio.Queue[PanelEvent | None])

    async def hold(self, request: PanelRequest, ballots: Sequence[Ballot]) -> None:
        """Judges all candidates side by side."""
        try:
            async with asyncio.TaskGroup() as group:
                for position, (case, ballot) in enumerate(zip(request.cases, ballots, strict=True)):
                    group.create_task(self._judge_candidate(position, case, ballot, request))
        finally:
            self.events.put_nowait(None)

    async def _judge_candidate(self, position: int, case: Case, ballot: Ballot, request: PanelRequest) -> None:
        deadline = asyncio.get_running_loop().time() + request.deadline_s
        for judge in _unaffordable(self.judges, case, request.cost_max_nano_usd):
            self._tell(position, ballot, _outcome(judge, Status.SKIPPED, "its worst case would exceed the cost ceiling"))
        for wave in _waves(ballot):
            if ballot.settled():
                break
            await self._ask_all(position, case, ballot, wave, deadline)
        for outcome in ballot.skip_missing():
            self.events.put_nowait(Spoke(position, outcome))
        self.events.put_nowait(Judged(position, ballot.result()))

    async def _ask_all(self, position: int, case: Case, ballot: Ballot, judges: Sequence[Judge], deadline: float) -> None:
        """Asks ``judges`` at the same time; ends as soon as the verdict is settled, and stops those still at work.

        Judges that ask no model are let finish: it costs nothing, and the verdict does not depend on which of them is quickest.
        """
        may_stop = any(judge.model for judge in judges)
        tasks = {asyncio.create_task(self._ask(judge, case, deadline)) for judge in judges}
        try:
            for next_outcome in asyncio.as_completed(tasks):
                self._tell(position, ballot, await next_outcome)
                if may_stop and ballot.settled():
                    return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, position: int, ballot: Ballot, outcome: JudgeOutcome) -> None:
        ballot.add(outcome)
        self.events.put_nowait(Spoke(position, outcome))

    async def _ask(self, judge: Judge, case: Case, deadline: float) -> JudgeOutcome:
        """Never raises but when cancelled: whatever a judge does becomes an outcome."""
        started = self.clock()
        try:
            async with asyncio.timeout_at(deadline), self.slots:
                started = self.clock()
                async with asyncio.timeout(judge.timeout_s):
                    opinion = await judge.judge(case)
            return _scored(judge, opinion, self.clock() - started)
        except TimeoutError:
            return _outcome(judge, Status.TIMED_OUT, "no answer in time", duration_s=self.clock() - started)
        except JudgeFailed as error:
            return JudgeOutcome(
                judge=judge.name,
                status=Status.FAILED,
                explanation=str(error),
                duration_s=self.clock() - started,
                cost_nano_usd=error.cost_nano_usd,
                usage=error.usage,
            )
        except Exception as error:  # noqa: BLE001 one faulty judge must not take the panel down; the instrumented wrapper logs it
            return _outcome(judge, Status.FAILED, f"fault of the judge: {type(error).__name__}", duration_s=self.clock() - started)


def _waves(ballot: Ballot) -> tuple[tuple[Judge, ...], ...]:
    """Judges that ask no model answer at once, so with an early stop in sight they go first: they may spare the others' cost."""
    missing = ballot.missing
    if not ballot.may_stop_early:
        return (missing,)
    return tuple(judge for judge in missing if not judge.model), tuple(judge for judge in missing if judge.model)


def _unaffordable(judges: Sequence[Judge], case: Case, ceiling: int | None) -> list[Judge]:
    """Judges that could exceed the ceiling, given that those before them may cost their worst case too."""
    if ceiling is None:
        return []
    left, refused = ceiling, list[Judge]()
    for judge in judges:
        worst = judge.cost_max_nano_usd(case)
        if worst > left:
            refused.append(judge)
        else:
            left -= worst
    return refused


def _outcome(judge: Judge, status: Status, explanation: str, *, duration_s: float = 0.0) -> JudgeOutcome:
    return JudgeOutcome(judge=judge.name, status=status, explanation=explanation, duration_s=duration_s)


def _scored(judge: Judge, opinion: Opinion, duration_s: float) -> JudgeOutcome:
    """An opinion as outcome; a score that is none becomes a failure rather than a guess."""
    if opinion.score is None:
        status, explanation = Status.ABSTAINED, opinion.explanation
    elif math.isfinite(opinion.score) and 0.0 <= opinion.score <= 1.0:
        status, explanation = Status.SCORED, opinion.explanation
    else:
        status, explanation = Status.FAILED, "the score is not between 0 and 1"
    scored = status is Status.SCORED
    return JudgeOutcome(
        judge=judge.name,
        status=status,
        score=opinion.score if scored else None,
        explanation=explanation,
        criteria=opinion.criteria if scored else (),
        defects=opinion.defects,
        duration_s=duration_s,
        cost_nano_usd=opinion.cost_nano_usd,
        usage=opinion.usage,
        same_answer_as=opinion.same_answer_as if scored else (),
    )
