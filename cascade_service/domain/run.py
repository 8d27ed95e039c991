"""One request on its way through the cascade: the state machine behind the event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from cascade_service.domain.acceptance import Accept, AcceptanceDecision, Escalate, ThresholdPolicy
from cascade_service.domain.attempt import Attempt, spent, tokens_used
from cascade_service.domain.ceilings import Ceilings, Granted, Needs, Refused, Spent, check
from cascade_service.domain.chat import OutputKind
from cascade_service.domain.completion import build_completion
from cascade_service.domain.course import Course, Enough, Following, JudgeInTime, Judgement, Step, ThresholdCourse
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
from cascade_service.domain.fusion import best_supported
from cascade_service.domain.model import AnswerEnd, Model, ModelEvent, TextChunk
from cascade_service.domain.plan import Plan
from cascade_service.domain.prefix import Hopeful, decide_prefix
from cascade_service.domain.questions import call_of, needs_of, prefix_question
from cascade_service.domain.quotas import Use
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.routing import make_plan
from cascade_service.domain.rules import CascadeParts
from cascade_service.domain.value import ValuePolicy
from cascade_service.domain.value_course import ValueCourse
from cascade_service.domain.watching import PrefixJudged, StreamPart, WatchedStream, read_part

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class _Stop:
    """There is no next attempt. Without any answer ``error`` is raised; with ``unanswerable`` it is raised in any case.

    ``accepted`` is the answer that the policy accepts; ``detail`` says why it went no further.
    """

    accepted: Attempt | None = None
    detail: str = ""
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
        self._ahead: list[tuple[int, Model]] = []
        self._failures: dict[str, str] = {}
        self._promised: Step | None = None
        self._judge = JudgeInTime(request, parts)
        self._course = _course(request, parts, self._judge)

    @property
    def use(self) -> Use:
        """What is used so far."""
        return Use(tokens=tokens_used(self.attempts), cost_nano_usd=spent(self.attempts).cost_nano_usd)

    async def events(self) -> AsyncGenerator[CascadeEvent, None]:
        """The events of the request. Raises ``CascadeError``."""
        yield await self._route()
        step = self._first_step()
        while True:
            attempt = self._open(step)
            async with aclosing(self._write(attempt, step)) as written:
                async for event in written:
                    yield event
            judgement = await self._course.judge(attempt, self.attempts)
            following = self._after(attempt, judgement.decision)
            for event in _verdicts(judgement, accepted=None if isinstance(following, Step) else following.accepted):
                yield event
            if isinstance(following, _Stop):
                if following.accepted is None and not following.unanswerable:
                    await self._course.settle(self.attempts)
                for event in self._end(attempt, following):
                    yield event
                return
            for event in self._escalate(attempt, judgement.decision, following):
                yield event
            step = following

    def allow(self, ceilings: Ceilings) -> None:
        """Raises the ceilings of a request that runs; they are never lowered."""
        self._request = replace(self._request, ceilings=ceilings)
        self._course = _course(self._request, self._parts, self._judge)

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
            policy_kind=request.policy.kind,
            answer_worth_nano_usd=request.policy.answer_worth_nano_usd,
            risk=request.policy.certificate,
        )

    def _first_step(self) -> Step:
        match self._next_step():
            case Step() as step:
                return step
            case Refused(ceiling, detail):
                raise CeilingTooLow(ceiling, detail)
            case Enough() | None:
                raise AllAttemptsFailed(self._failures)

    def _next_step(self) -> Following:
        step, self._promised = self._promised or self._peek(), None
        if isinstance(step, Step):
            self._ahead.remove((step.tier, step.model))
        return step

    def _peek(self, *, running: Spent | None = None) -> Following:
        """What would come next. ``running`` is the worst case of an attempt that is not charged yet."""
        return self._course.following(self.attempts, self._options(running), final=self._delivery.committed)

    def _options(self, running: Spent | None) -> Iterator[Step | Refused]:
        """The models that are left, in order of the plan, less those that can't continue the text that is final."""
        start, request = self._delivery.committed, self._request
        for tier, model in self._ahead:
            if start and not model.card.prefill:
                continue
            needs = needs_of(model.card, request, start=start)
            grant = check(
                request.ceilings,
                self._parts.rules.times,
                spent=spent(self.attempts, running=running),
                needs=needs,
                time_left_s=request.deadline_at_s - self._now_s(),
            )
            yield grant if isinstance(grant, Refused) else self._step(tier, model, needs, grant)

    def _step(self, tier: int, model: Model, needs: Needs, grant: Granted) -> Step:
        planned = self._plan.models[tier]
        worst = needs.price.bound_nano_usd(input_tokens=needs.input_tokens, output_tokens=grant.max_output_tokens)
        return Step(
            tier=tier,
            model=model,
            grant=grant,
            predicted_quality=planned.predicted_quality if self._plan.predicts else None,
            cost_nano_usd=planned.predicted_cost_nano_usd if self._plan.predicts else worst,
        )

    def _open(self, step: Step) -> Attempt:
        card, start = step.model.card, self._delivery.committed
        attempt = Attempt(
            number=len(self.attempts),
            tier=step.tier,
            model=card.name,
            started_at_s=self._now_s(),
            input_tokens_bound=needs_of(card, self._request, start=start).input_tokens,
            max_output_tokens=step.grant.max_output_tokens,
            price=card.price,
            predicted_quality=step.predicted_quality,
            expected_gain=step.gain,
            gain_price=step.price,
            predicted_output_tokens=self._plan.models[step.tier].predicted_output_tokens,
            start=start,
            continues=self._delivery.committed_by,
        )
        self.attempts.append(attempt)
        return attempt

    async def _write(self, attempt: Attempt, step: Step) -> AsyncGenerator[CascadeEvent, None]:
        """Lets the model write; its failure is kept in ``attempt`` and not raised."""
        yield AttemptStarted(attempt=attempt.number, tier=attempt.tier, model=attempt.model)
        stream = step.model.stream(call_of(attempt, self._request, step.grant))
        ends_at_s = self._now_s() + step.grant.timeout_s
        if self._request.delivery is DeliveryMode.PREFIX_COMMIT and self._parts.rules.cheap_judges:
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
                    question = prefix_question(attempt, self._request, judges=self._parts.rules.cheap_judges)
                    watched.judge(attempt.chars, partial(self._judge.judge, question, timeout_max_s=rules.judge_timeout_s))
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
        if isinstance(decision, Escalate) and isinstance(step := self._peek(running=attempt.worst_case), Step):
            self._promised = step
            attempt.give_up(decision, judged.verdict, at_s=self._now_s())
            return ()
        if decision is Hopeful.PASSES and self._request.output.kind is OutputKind.UNSPECIFIED:
            return self._delivery.commit_beginning(attempt.number, attempt.text, chars=judged.chars)
        return ()

    def _after(self, attempt: Attempt, decision: AcceptanceDecision) -> Step | _Stop:
        if isinstance(decision, Accept):
            return _Stop(accepted=attempt)
        attempt.reason = decision.reason
        if attempt.failure is not None and (refusal := attempt.failure.refusal(attempt.model)) is not None:
            return _Stop(error=refusal)
        if attempt.has_answer and attempt.verdict is None and self._parts.rules.refuse_unjudged:
            return _Stop(error=JudgeUnavailable(decision.detail), unanswerable=True)
        following = self._next_step()
        if isinstance(following, Step):
            return following
        if isinstance(following, Enough):
            if decision.reason is EscalationReason.LOW_CONFIDENCE:
                attempt.reason = None  # it did end the cascade
            return _Stop(accepted=best_supported(self.attempts, committed=self._delivery.committed), detail=following.detail)
        return _Stop(ceiling=None if following is None else following.ceiling)

    def _escalate(self, attempt: Attempt, decision: AcceptanceDecision, step: Step) -> Iterator[CascadeEvent]:
        yield from self._delivery.withdraw(attempt.number)
        if isinstance(decision, Escalate):
            yield Escalated(
                from_attempt=attempt.number,
                reason=decision.reason,
                confidence=attempt.confidence,
                threshold=self._request.policy.threshold,
                next_model=step.model.card.name,
                detail="; ".join(part for part in (decision.detail, step.detail) if part),
                expected_gain=step.gain,
                price=step.price,
            )

    def _end(self, attempt: Attempt, stop: _Stop) -> Iterator[CascadeEvent]:
        """Gives the accepted answer, or else the best supported one; raises when there is none."""
        final = self._delivery.committed
        chosen = stop.accepted or best_supported(self.attempts, committed=final)
        if chosen is not attempt or stop.unanswerable:
            yield from self._delivery.withdraw(attempt.number)
        if stop.unanswerable or (chosen is None and not final):
            raise stop.error or self._all_failed()
        if chosen is not None:
            yield from self._delivery.commit(chosen.number, chosen.text)
        unjudged = chosen is not None and chosen.verdict is None
        outcome = Outcome.UNJUDGED if unjudged else Outcome.BEST_SEEN if stop.accepted is None else Outcome.ACCEPTED
        completion = build_completion(
            self._request,
            plan=self._plan,
            attempts=self.attempts,
            chosen=chosen or self.attempts[self._delivery.committed_by or 0],
            outcome=outcome,
            ceiling=stop.ceiling,
            total_s=self._now_s() - self._started_at_s,
            final_part=final if chosen is None else None,
            stop_detail=stop.detail,
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


def _verdicts(judgement: Judgement, *, accepted: Attempt | None) -> Iterator[CascadeEvent]:
    """The new verdicts; ``accepted`` is the answer that the policy accepts."""
    for attempt in judgement.judged:
        if attempt.verdict is not None:
            yield Judged(attempt=attempt.number, verdict=attempt.verdict, accepted=attempt is accepted)


def _course(request: CascadeRequest, parts: CascadeParts, judge: JudgeInTime) -> Course:
    match request.policy:
        case ThresholdPolicy() as policy:
            return ThresholdCourse(policy, request, judge)
        case ValuePolicy() as policy:
            if parts.gain_model is None:
                raise RuntimeError(f"the policy `{policy.name}` has no gain model")
            return ValueCourse(policy, request, judge, gain_model=parts.gain_model, cheap_judges=parts.rules.cheap_judges)
