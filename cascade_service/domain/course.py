"""How a policy goes about a request: which model is asked next, who judges what, and when it is enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cascade_service.domain.acceptance import AcceptanceDecision, Escalate, ThresholdPolicy, decide
from cascade_service.domain.attempt import Attempt
from cascade_service.domain.ceilings import Granted, Refused
from cascade_service.domain.errors import FailureClass, JudgeUnavailable, PolicyNotCalibrated
from cascade_service.domain.events import EscalationReason
from cascade_service.domain.model import Model
from cascade_service.domain.ports import JointQuestion, JudgeQuestion
from cascade_service.domain.questions import whole_question
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts
from cascade_service.domain.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An attempt that the ceilings admit.

    ``predicted_quality`` is None without a prediction; ``cost_nano_usd`` is then the most that it may cost, else what was predicted. A
    policy that weighed it says the ``gain`` and ``price`` in right answers, and ``detail`` in words.
    """

    tier: int
    model: Model
    grant: Granted
    predicted_quality: float | None
    cost_nano_usd: int
    gain: float | None = None
    price: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Enough:
    """The policy goes no further although it could; ``detail`` has the figures."""

    detail: str


Following = Step | Refused | Enough | None
"""What comes next: an attempt, a ceiling, the policy's own stop, or nothing because no model is left."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of judging after an attempt: the attempts with new verdicts, and what the last one comes to by itself."""

    judged: tuple[Attempt, ...]
    decision: AcceptanceDecision


class Course(Protocol):
    """What a policy does in the course of one request."""

    def following(self, attempts: Sequence[Attempt], options: Iterable[Step | Refused], *, final: str) -> Following:
        """What comes after ``attempts``.

        ``options`` are the models that are left, in order of the plan; ``final`` is text that every answer must begin with.
        """
        ...

    async def judge(self, attempt: Attempt, attempts: Sequence[Attempt]) -> Judgement:
        """Has the last of ``attempts``, which has ended, judged."""
        ...

    async def settle(self, attempts: Sequence[Attempt]) -> None:
        """Brings all verdicts up to date, before the best answer is given without any being accepted."""
        ...


class JudgeInTime:
    """The judge, asked with no more time than the request has left, and held to the calibration that the policy is certified for."""

    def __init__(self, request: CascadeRequest, parts: CascadeParts) -> None:
        self._request = request
        self._parts = parts

    async def judge(self, question: JudgeQuestion, *, timeout_max_s: float | None = None) -> Verdict:
        """The verdict, within ``timeout_max_s`` seconds. Raises ``JudgeUnavailable`` and ``PolicyNotCalibrated``."""
        verdict = await self._parts.judge.judge(question, timeout_s=self._timeout_s(timeout_max_s))
        self._check(verdict)
        return verdict

    async def judge_all(self, question: JointQuestion) -> tuple[Verdict | None, ...]:
        """One verdict per candidate. Raises ``JudgeUnavailable`` and ``PolicyNotCalibrated``."""
        verdicts = await self._parts.judge.judge_all(question, timeout_s=self._timeout_s(None))
        for verdict in verdicts:
            if verdict is not None:
                self._check(verdict)
        return verdicts

    def _check(self, verdict: Verdict) -> None:
        policy = self._request.policy
        if policy.certificate is None or policy.uncalibrated_allowed or verdict.calibration == policy.certificate.calibration:
            return
        raise PolicyNotCalibrated(policy.name, certified=policy.certificate.calibration, found=verdict.calibration)

    def _timeout_s(self, timeout_max_s: float | None) -> float:
        rules = self._parts.rules
        time_left_s = self._request.deadline_at_s - self._parts.clock.monotonic_s() - rules.times.margin_s
        if time_left_s <= 0:
            raise JudgeUnavailable("the deadline leaves no time for the judges")
        return min(rules.judge_timeout_s if timeout_max_s is None else timeout_max_s, time_left_s)


class ThresholdCourse:
    """Follows the plan until an answer is accepted; each answer is judged by the whole panel when it is there."""

    def __init__(self, policy: ThresholdPolicy, request: CascadeRequest, judge: JudgeInTime) -> None:
        self._policy = policy
        self._request = request
        self._judge = judge

    def following(self, attempts: Sequence[Attempt], options: Iterable[Step | Refused], *, final: str) -> Following:
        """The next of the plan."""
        del attempts, final
        return next(iter(options), None)

    async def judge(self, attempt: Attempt, attempts: Sequence[Attempt]) -> Judgement:
        """The panel's verdict on the attempt, held against the threshold."""
        if (broken := broken_off(attempt)) is not None:
            return broken
        unjudged = ""
        try:
            attempt.judged(await self._judge.judge(whole_question(attempt, attempts, self._request)))
        except JudgeUnavailable as error:
            unjudged = str(error)
        decision = decide(
            self._policy, text=attempt.text, finish_reason=attempt.finish_reason, verdict=attempt.verdict, unjudged_detail=unjudged
        )
        return Judgement(() if attempt.verdict is None else (attempt,), decision)

    async def settle(self, attempts: Sequence[Attempt]) -> None:
        """Judges the earlier answers anew, against all that came after them: what they were believed to be at first is out of date.

        An answer keeps its first verdict when there is no new one. What both verdicts cost is added up.
        """
        last = max((attempt.number for attempt in attempts if attempt.has_answer), default=0)
        for attempt in attempts[:last]:
            if attempt.has_answer and attempt.verdict is not None:
                try:
                    attempt.judged(await self._judge.judge(whole_question(attempt, attempts, self._request)))
                except JudgeUnavailable:
                    return


def broken_off(attempt: Attempt) -> Judgement | None:
    """What an attempt comes to that has no whole answer; None for one that was not broken off."""
    judged = () if attempt.verdict is None else (attempt,)
    if (failure := attempt.failure) is not None:
        timed_out = failure.failure_class is FailureClass.TIMEOUT
        reason = EscalationReason.TIMEOUT if timed_out else EscalationReason.PROVIDER_ERROR
        return Judgement(judged, Escalate(reason, f"{failure.kind}: {failure}"))
    return None if attempt.given_up is None else Judgement(judged, attempt.given_up)
