"""One request on its way through the cascade: the state machine behind the event stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from cascade_service.domain.acceptance import Accept, AcceptanceDecision, Escalate, decide
from cascade_service.domain.attempt import Attempt, best_seen, spent
from cascade_service.domain.ceilings import Granted, Needs, Refused, check
from cascade_service.domain.chat import input_tokens_bound
from cascade_service.domain.completion import build_completion
from cascade_service.domain.delivery import Delivery
from cascade_service.domain.errors import (
    AllAttemptsFailed,
    CascadeError,
    CeilingTooLow,
    DeadlinePassed,
    FailureClass,
    JudgeUnavailable,
    ModelFailed,
)
from cascade_service.domain.events import (
    AttemptStarted,
    CascadeEvent,
    Ceiling,
    Completed,
    Escalated,
    EscalationReason,
    Judged,
    Outcome,
    Routed,
)
from cascade_service.domain.model import AnswerEnd, Model, ModelCall, TextChunk
from cascade_service.domain.plan import Plan
from cascade_service.domain.ports import Answer, JudgeQuestion
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.routing import make_plan
from cascade_service.domain.rules import CascadeParts
from cascade_service.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class _Step:
    """The next attempt, admitted under the ceilings."""

    tier: int
    model: Model
    grant: Granted


@dataclass(frozen=True, slots=True)
class _Stop:
    """There is no next attempt. Without any answer ``error`` is raised; with ``unanswerable`` it is raised in any case."""

    ceiling: Ceiling | None = None
    error: CascadeError | None = None
    unanswerable: bool = False


class Run:
    """Runs one request. ``attempts`` stays readable after the stream has ended, however it ended."""

    def __init__(self, request: CascadeRequest, parts: CascadeParts) -> None:
        self.attempts: list[Attempt] = []
        self._request = request
        self._parts = parts
        self._started_at_s = parts.clock.monotonic_s()
        self._delivery = Delivery(request.delivery)
        self._input_tokens_bound = input_tokens_bound(request.messages)
        self._plan = Plan(models=())
        self._ahead: deque[tuple[int, Model]] = deque()
        self._failures: dict[str, str] = {}

    async def events(self) -> AsyncGenerator[CascadeEvent, None]:
        """The events of the request. Raises ``CascadeError``."""
        yield await self._route()
        step = self._first_step()
        while True:
            attempt = self._open(step)
            async with aclosing(self._write(attempt, step)) as written:
                async for event in written:
                    yield event
            decision = await self._judge(attempt)
            if attempt.verdict is not None:
                yield Judged(attempt=attempt.number, verdict=attempt.verdict, accepted=isinstance(decision, Accept))
            following = self._after(attempt, decision)
            if not isinstance(following, _Step):
                if not isinstance(decision, Accept) and not following.unanswerable:
                    await self._judge_again()
                for event in self._end(attempt, decision, following):
                    yield event
                return
            for event in self._escalate(attempt, decision, following):
                yield event
            step = following

    def abandon(self) -> None:
        """Closes the books on an attempt that was left in the middle because the caller went away."""
        if self.attempts and self.attempts[-1].ended_at_s is None:
            failure = ModelFailed("left in the middle", kind="cancelled", failure_class=FailureClass.CANCELLED)
            self.attempts[-1].fail(failure, at_s=self._now_s())

    async def _route(self) -> Routed:
        request = self._request
        self._plan, static_plan = await make_plan(request, self._parts)
        for tier, planned in enumerate(self._plan.models):
            model = self._parts.models.get(planned.model)
            if model is None:
                self._failures[planned.model] = "not_configured"  # the router's configuration is ahead of ours
            else:
                self._ahead.append((tier, model))
        return Routed(
            decision_id=request.decision_id,
            plan=self._plan,
            static_plan=static_plan,
            policy=request.policy.name,
            threshold=request.policy.threshold,
            delivery=request.delivery,
        )

    def _first_step(self) -> _Step:
        match self._next_step():
            case _Step() as step:
                return step
            case Refused(ceiling, detail):
                raise CeilingTooLow(ceiling, detail)
            case None:
                raise AllAttemptsFailed(self._failures)

    def _next_step(self) -> _Step | Refused | None:
        if not self._ahead:
            return None
        tier, model = self._ahead[0]
        card = model.card
        needs = Needs(
            input_tokens=self._input_tokens_bound,
            output_tokens=min(card.max_output_tokens, self._request.params.max_output_tokens or card.max_output_tokens),
            price=card.price,
        )
        times = self._parts.rules.times
        time_left_s = self._request.deadline_at_s - self._now_s()
        grant = check(self._request.ceilings, times, spent=spent(self.attempts), needs=needs, time_left_s=time_left_s)
        if isinstance(grant, Refused):
            return grant
        self._ahead.popleft()
        return _Step(tier, model, grant)

    def _open(self, step: _Step) -> Attempt:
        card = step.model.card
        attempt = Attempt(
            number=len(self.attempts),
            tier=step.tier,
            model=card.name,
            started_at_s=self._now_s(),
            input_tokens_bound=self._input_tokens_bound,
            max_output_tokens=step.grant.max_output_tokens,
            price=card.price,
        )
        self.attempts.append(attempt)
        return attempt

    async def _write(self, attempt: Attempt, step: _Step) -> AsyncGenerator[CascadeEvent, None]:
        """Lets the model write; its failure is kept in ``attempt`` and not raised."""
        yield AttemptStarted(attempt=attempt.number, tier=attempt.tier, model=attempt.model)
        call = ModelCall(
            messages=self._request.messages,
            params=self._request.params,
            max_output_tokens=step.grant.max_output_tokens,
            timeout_s=step.grant.timeout_s,
            tier=attempt.tier,
            attempt=attempt.number,
        )
        ends_at_s = self._now_s() + step.grant.timeout_s
        async with aclosing(step.model.stream(call)) as stream:
            while attempt.ended_at_s is None:
                text = await self._read(attempt, stream, timeout_s=ends_at_s - self._now_s())
                for event in self._delivery.write(attempt.number, text):
                    yield event

    async def _read(self, attempt: Attempt, stream: AsyncGenerator[TextChunk | AnswerEnd, None], *, timeout_s: float) -> str:
        """The next piece of text; empty when the attempt has ended."""
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                part = await anext(stream, None)
        except TimeoutError:
            part = ModelFailed("the attempt took too long", kind="timeout", failure_class=FailureClass.TIMEOUT)
        except ModelFailed as failed:
            part = failed
        chars_max = self._parts.rules.answer_chars_max
        match part:
            case TextChunk(text) if attempt.chars + len(text) <= chars_max:
                attempt.add(text, at_s=self._now_s())
                return text
            case TextChunk():
                attempt.fail(ModelFailed(f"longer than {chars_max} characters", kind="answer_too_long"), at_s=self._now_s())
            case AnswerEnd():
                attempt.finish(part, at_s=self._now_s())
            case ModelFailed():
                attempt.fail(part, at_s=self._now_s())
            case None:
                attempt.fail(ModelFailed("the answer has no end", kind="malformed_response"), at_s=self._now_s())
        return ""

    async def _judge(self, attempt: Attempt) -> AcceptanceDecision:
        if (failure := attempt.failure) is not None:
            timed_out = failure.failure_class is FailureClass.TIMEOUT
            return Escalate(EscalationReason.TIMEOUT if timed_out else EscalationReason.PROVIDER_ERROR, f"{failure.kind}: {failure}")
        unjudged = ""
        try:
            attempt.verdict = await self._ask_judge(attempt)
        except JudgeUnavailable as error:
            unjudged = str(error)
        return decide(
            self._request.policy,
            text=attempt.text,
            finish_reason=attempt.finish_reason,
            verdict=attempt.verdict,
            unjudged_detail=unjudged,
        )

    async def _judge_again(self) -> None:
        """Judges the earlier answers anew, against all that came after them: what they were believed to be at first is out of date.

        An answer keeps its first verdict when there is no new one. What both verdicts cost is added up.
        """
        last = max((attempt.number for attempt in self.attempts if attempt.has_answer), default=0)
        for attempt in self.attempts[:last]:
            if attempt.has_answer and attempt.verdict is not None:
                try:
                    again = await self._ask_judge(attempt)
                except JudgeUnavailable:
                    return
                attempt.verdict = replace(again, cost_nano_usd=attempt.verdict.cost_nano_usd + again.cost_nano_usd)

    async def _ask_judge(self, attempt: Attempt) -> Verdict:
        request, rules = self._request, self._parts.rules
        timeout_s = min(rules.judge_timeout_s, request.deadline_at_s - self._now_s() - rules.times.margin_s)
        if timeout_s <= 0:
            raise JudgeUnavailable("the deadline leaves no time for the judges")
        question = JudgeQuestion(
            messages=request.messages,
            candidate=_answer(attempt),
            peers=tuple(_answer(other) for other in self.attempts if other is not attempt and other.has_answer),
            output=request.output,
            accept_threshold=request.policy.threshold,
            cost_max_nano_usd=max(0, request.ceilings.cost_max_nano_usd - spent(self.attempts).cost_nano_usd),
        )
        return await self._parts.judge.judge(question, timeout_s=timeout_s)

    def _after(self, attempt: Attempt, decision: AcceptanceDecision) -> _Step | _Stop:
        if isinstance(decision, Accept):
            return _Stop()
        attempt.reason = decision.reason
        if attempt.failure is not None and (refusal := attempt.failure.refusal(attempt.model)) is not None:
            return _Stop(error=refusal)
        if attempt.has_answer and attempt.verdict is None and self._parts.rules.refuse_unjudged:
            return _Stop(error=JudgeUnavailable(decision.detail), unanswerable=True)
        match self._next_step():
            case _Step() as step:
                return step
            case Refused(ceiling, _):
                return _Stop(ceiling=ceiling)
            case None:
                return _Stop()

    def _escalate(self, attempt: Attempt, decision: AcceptanceDecision, step: _Step) -> Iterator[CascadeEvent]:
        yield from self._delivery.withdraw(attempt.number)
        if isinstance(decision, Escalate):
            yield Escalated(
                from_attempt=attempt.number,
                reason=decision.reason,
                confidence=attempt.confidence,
                threshold=self._request.policy.threshold,
                next_model=step.model.card.name,
                detail=decision.detail,
            )

    def _end(self, attempt: Attempt, decision: AcceptanceDecision, stop: _Stop) -> Iterator[CascadeEvent]:
        """Gives the accepted answer, or else the best one seen; raises when there is none."""
        accepted = isinstance(decision, Accept)
        chosen = attempt if accepted else best_seen(self.attempts)
        if chosen is not attempt or stop.unanswerable:
            yield from self._delivery.withdraw(attempt.number)
        if chosen is None or stop.unanswerable:
            raise stop.error or self._all_failed()
        yield from self._delivery.commit(chosen.number, chosen.text)
        outcome = Outcome.ACCEPTED if accepted else Outcome.UNJUDGED if chosen.verdict is None else Outcome.BEST_SEEN
        completion = build_completion(
            self._request,
            plan=self._plan,
            attempts=self.attempts,
            chosen=chosen,
            outcome=outcome,
            ceiling=stop.ceiling,
            total_s=self._now_s() - self._started_at_s,
        )
        yield Completed(completion=completion)

    def _all_failed(self) -> AllAttemptsFailed:
        causes = self._failures | {attempt.model: attempt.cause for attempt in self.attempts}
        failure = self.attempts[-1].failure
        timed_out = failure is not None and failure.failure_class is FailureClass.TIMEOUT
        times = self._parts.rules.times
        out_of_time = self._request.deadline_at_s - self._now_s() < times.margin_s + times.attempt_min_s
        return DeadlinePassed(causes) if timed_out and out_of_time else AllAttemptsFailed(causes)

    def _now_s(self) -> float:
        return self._parts.clock.monotonic_s()


def _answer(attempt: Attempt) -> Answer:
    return Answer(
        id=f"attempt-{attempt.number}",
        text=attempt.text,
        model=attempt.model,
        finish_reason=attempt.finish_reason,
        logprobs=attempt.logprobs,
    )
