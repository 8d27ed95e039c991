"""One request on its way through the cascade: the state machine behind the event stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from cascade_service.domain.acceptance import Accept, AcceptanceDecision, Escalate, decide
from cascade_service.domain.attempt import Attempt, best_seen, spent
from cascade_service.domain.ceilings import Ceilings, Granted, Refused, Spent, check
from cascade_service.domain.chat import OutputKind
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
    DeliveryMode,
    Escalated,
    EscalationReason,
    Judged,
    Outcome,
    Routed,
)
from cascade_service.domain.model import AnswerEnd, Model, ModelEvent, TextChunk
from cascade_service.domain.plan import Plan
from cascade_service.domain.ports import JudgeQuestion
from cascade_service.domain.prefix import Hopeful, decide_prefix
from cascade_service.domain.questions import call_of, needs_of, prefix_question, whole_question
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.routing import make_plan
from cascade_service.domain.rules import CascadeParts
from cascade_service.domain.verdict import Verdict
from cascade_service.domain.watching import PrefixJudged, StreamPart, WatchedStream, read_part

_Read = TypeVar("_Read")


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
        self._plan = Plan(models=())
        self._ahead: deque[tuple[int, Model]] = deque()
        self._failures: dict[str, str] = {}
        self._promised: _Step | None = None

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

    def allow(self, ceilings: Ceilings) -> None:
        """Raises the ceilings of a request that runs; they are never lowered."""
        self._request = replace(self._request, ceilings=ceilings)

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
        step, self._promised = self._promised or self._peek(), None
        if isinstance(step, _Step):
            while self._ahead.popleft()[0] != step.tier:
                pass  # models that can't continue the text that is final
        return step

    def _peek(self, *, running: Spent | None = None) -> _Step | Refused | None:
        """The next attempt. ``running`` is the worst case of an attempt that is not charged yet."""
        start, request = self._delivery.committed, self._request
        for tier, model in self._ahead:
            if start and not model.card.prefill:
                continue
            grant = check(
                request.ceilings,
                self._parts.rules.times,
                spent=spent(self.attempts, running=running),
                needs=needs_of(model.card, request, start=start),
                time_left_s=request.deadline_at_s - self._now_s(),
            )
            return grant if isinstance(grant, Refused) else _Step(tier, model, grant)
        return None

    def _open(self, step: _Step) -> Attempt:
        card, start = step.model.card, self._delivery.committed
        attempt = Attempt(
            number=len(self.attempts),
            tier=step.tier,
            model=card.name,
            started_at_s=self._now_s(),
            input_tokens_bound=needs_of(card, self._request, start=start).input_tokens,
            max_output_tokens=step.grant.max_output_tokens,
            price=card.price,
            predicted_output_tokens=self._plan.models[step.tier].predicted_output_tokens,
            start=start,
            continues=self._delivery.committed_by,
        )
        self.attempts.append(attempt)
        return attempt

    async def _write(self, attempt: Attempt, step: _Step) -> AsyncGenerator[CascadeEvent, None]:
        """Lets the model write; its failure is kept in ``attempt`` and not raised."""
        yield AttemptStarted(attempt=attempt.number, tier=attempt.tier, model=attempt.model)
        stream = step.model.stream(call_of(attempt, self._request, timeout_s=step.grant.timeout_s))
        ends_at_s = self._now_s() + step.grant.timeout_s
        if self._request.delivery is DeliveryMode.PREFIX_COMMIT and self._request.prefix.judges:
            async with aclosing(self._write_watched(attempt, stream, ends_at_s=ends_at_s)) as written:
                async for event in written:
                    yield event
            return
        async with aclosing(stream):
            while attempt.ended_at_s is None:
                part = await self._in_time(read_part(stream), ends_at_s=ends_at_s)
                for event in self._take(attempt, part):
                    yield event

    async def _write_watched(
        self, attempt: Attempt, stream: AsyncGenerator[ModelEvent, None], *, ends_at_s: float
    ) -> AsyncGenerator[CascadeEvent, None]:
        """Lets the model write while its beginnings are judged; what passes becomes final, what is hopeless ends the attempt."""
        rules, watched = self._request.prefix, WatchedStream(stream)
        judge_at_tokens = rules.hold_tokens
        try:
            while attempt.ended_at_s is None:
                part = await self._in_time(watched.next(), ends_at_s=ends_at_s)
                events = self._heed(attempt, part) if isinstance(part, PrefixJudged) else self._take(attempt, part)
                for event in events:
                    yield event
                if attempt.ended_at_s is None and not watched.judging and attempt.written_tokens >= judge_at_tokens:
                    judge_at_tokens = attempt.written_tokens + rules.checkpoint_tokens
                    question = prefix_question(attempt, self._request)
                    watched.judge(attempt.chars, partial(self._ask_judge, question, timeout_max_s=rules.judge_timeout_s))
        finally:
            await watched.aclose()

    async def _in_time(self, part: Awaitable[_Read], *, ends_at_s: float) -> _Read | ModelFailed:
        try:
            async with asyncio.timeout(max(ends_at_s - self._now_s(), 0.0)):
                return await part
        except TimeoutError:
            return ModelFailed("the attempt took too long", kind="timeout", failure_class=FailureClass.TIMEOUT)

    def _take(self, attempt: Attempt, part: StreamPart) -> Sequence[CascadeEvent]:
        """Takes in what the model did."""
        chars_max = self._parts.rules.answer_chars_max
        match part:
            case TextChunk(text, logprobs) if attempt.chars + len(text) <= chars_max:
                attempt.add(text, at_s=self._now_s(), logprobs=logprobs)
                return self._delivery.write(attempt.number, text)
            case TextChunk():
                attempt.fail(ModelFailed(f"longer than {chars_max} characters", kind="answer_too_long"), at_s=self._now_s())
            case AnswerEnd():
                attempt.finish(part, at_s=self._now_s())
            case ModelFailed():
                attempt.fail(part, at_s=self._now_s())
            case None:
                attempt.fail(ModelFailed("the answer has no end", kind="malformed_response"), at_s=self._now_s())
        return ()

    def _heed(self, attempt: Attempt, judged: PrefixJudged) -> Sequence[CascadeEvent]:
        """Does what follows from the verdict on a beginning."""
        if judged.verdict is None:
            return ()
        decision = decide_prefix(self._request.policy, judged.verdict)
        attempt.prefix_cost_nano_usd += judged.verdict.cost_nano_usd
        if isinstance(decision, Escalate) and isinstance(step := self._peek(running=attempt.worst_case), _Step):
            self._promised = step
            attempt.give_up(decision, judged.verdict, at_s=self._now_s())
            return ()
        if decision is Hopeful.PASSES and self._request.output.kind is OutputKind.UNSPECIFIED:
            return self._delivery.commit_beginning(attempt.number, attempt.text, chars=judged.chars)
        return ()

    async def _judge(self, attempt: Attempt) -> AcceptanceDecision:
        if (failure := attempt.failure) is not None:
            timed_out = failure.failure_class is FailureClass.TIMEOUT
            return Escalate(EscalationReason.TIMEOUT if timed_out else EscalationReason.PROVIDER_ERROR, f"{failure.kind}: {failure}")
        if attempt.given_up is not None:
            return attempt.given_up
        unjudged = ""
        try:
            question = whole_question(attempt, self.attempts, self._request)
            attempt.verdict = await self._ask_judge(question, timeout_max_s=self._parts.rules.judge_timeout_s)
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
                    question = whole_question(attempt, self.attempts, self._request)
                    again = await self._ask_judge(question, timeout_max_s=self._parts.rules.judge_timeout_s)
                except JudgeUnavailable:
                    return
                attempt.verdict = replace(again, cost_nano_usd=attempt.verdict.cost_nano_usd + again.cost_nano_usd)

    async def _ask_judge(self, question: JudgeQuestion, *, timeout_max_s: float) -> Verdict:
        time_left_s = self._request.deadline_at_s - self._now_s() - self._parts.rules.times.margin_s
        if time_left_s <= 0:
            raise JudgeUnavailable("the deadline leaves no time for the judges")
        return await self._parts.judge.judge(question, timeout_s=min(timeout_max_s, time_left_s))

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
        final = self._delivery.committed
        chosen = attempt if accepted else best_seen(self.attempts, committed=final)
        if chosen is not attempt or stop.unanswerable:
            yield from self._delivery.withdraw(attempt.number)
        if stop.unanswerable or (chosen is None and not final):
            raise stop.error or self._all_failed()
        if chosen is not None:
            yield from self._delivery.commit(chosen.number, chosen.text)
        outcome = Outcome.ACCEPTED if accepted else Outcome.UNJUDGED if chosen and chosen.verdict is None else Outcome.BEST_SEEN
        completion = build_completion(
            self._request,
            plan=self._plan,
            attempts=self.attempts,
            chosen=chosen or self.attempts[self._delivery.committed_by or 0],
            outcome=outcome,
            ceiling=stop.ceiling,
            total_s=self._now_s() - self._started_at_s,
            final_part=final if chosen is None else None,
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
