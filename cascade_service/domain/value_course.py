"""The value policy in the course of one request: all answers are judged together, then the best of the models left is asked, or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cascade_service.domain.acceptance import Escalate, reason_of
from cascade_service.domain.attempt import Attempt
from cascade_service.domain.ceilings import Refused
from cascade_service.domain.course import Enough, Following, JudgeInTime, Judgement, Step, broken_off
from cascade_service.domain.errors import JudgeUnavailable
from cascade_service.domain.events import EscalationReason
from cascade_service.domain.fusion import groups_of, to_choose_from
from cascade_service.domain.gain import NOTHING_SAID, GainModel, Option, Seen
from cascade_service.domain.questions import joint_question
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.value import UNKNOWN_QUALITY, NextAnswerGain, ValuePolicy, best_option


class ValueCourse:
    """Asks whom it pays to ask. ``cheap_judges`` are the names of the judges that ask no model."""

    def __init__(
        self,
        policy: ValuePolicy,
        request: CascadeRequest,
        judge: JudgeInTime,
        *,
        gain_model: GainModel,
        cheap_judges: tuple[str, ...],
    ) -> None:
        self._policy = policy
        self._request = request
        self._judge = judge
        self._gain_model = gain_model
        self._cheap_judges = cheap_judges

    def following(self, attempts: Sequence[Attempt], options: Iterable[Step | Refused], *, final: str) -> Following:
        """The step of greatest net gain of all that the ceilings admit, or ``Enough`` when it does not pay.

        A request is always answered: before there is an answer the best step is taken even where it does not pay. After an answer that
        nobody could judge, and in a plan without predictions, the order is that of the plan; in the latter the gain is looked at one answer
        ahead.
        """
        checked = list(options)
        steps = [option for option in checked if isinstance(option, Step)]
        if not steps:
            return checked[0] if checked else None
        if attempts and attempts[-1].has_answer and attempts[-1].verdict is None:
            return steps[0]
        standing = standing_of(attempts, final=final)
        support = max((seen.confidence for seen in standing if seen.confidence is not None), default=None)
        predicted = steps[0].predicted_quality is not None
        offered = steps if predicted else steps[:1]
        if support is None and len(offered) == 1:
            return offered[0]
        worth = self._policy.answer_worth_nano_usd
        pick = best_option(self._gain_model if predicted else NextAnswerGain(), standing, [_option(step) for step in offered], worth)
        best = offered[pick.place]
        detail = pick.in_words(best.model.card.name)
        if support is None or pick.pays:
            return replace(best, gain=pick.gain, price=pick.price, detail=detail)
        if support >= self._policy.threshold:
            return Enough(detail)
        detail = f"{detail}, but confidence {support:.3f} is below {self._policy.threshold:.3f}"
        return replace(best, gain=pick.gain, price=pick.price, detail=detail)

    async def judge(self, attempt: Attempt, attempts: Sequence[Attempt]) -> Judgement:
        """Has all whole answers judged together; the decision says why this one alone does not end the cascade."""
        if (broken := broken_off(attempt)) is not None:
            return broken
        if not attempt.has_answer:
            return Judgement((), reason_of(attempt.defects) or Escalate(EscalationReason.MALFORMED, "empty answer"))
        unjudged, changed = "the panel has no verdict", list[Attempt]()
        answered = [other for other in attempts if other.has_answer]
        try:
            verdicts = await self._judge.judge_all(joint_question(answered, self._request, judges=self._cheap_judges))
        except JudgeUnavailable as error:
            unjudged, verdicts = str(error), ()
        for other, verdict in zip(answered, verdicts, strict=False):
            if verdict is not None:
                changed += [] if verdict.says_the_same_as(other.verdict) else [other]
                other.judged(verdict)
        return Judgement(tuple(changed), reason_of(attempt.defects) or _undecided(attempt, unjudged))

    async def settle(self, attempts: Sequence[Attempt]) -> None:
        """Nothing: all verdicts are of the same age."""
        del attempts


def standing_of(attempts: Sequence[Attempt], *, final: str) -> list[Seen]:
    """What has been seen. An answer that would not be given while another is there says nothing."""
    given = to_choose_from(attempts, committed=final)
    groups = groups_of(given)
    return [
        Seen(
            quality=UNKNOWN_QUALITY if attempt.predicted_quality is None else attempt.predicted_quality,
            confidence=attempt.confidence if attempt.number in groups else None,
            group=groups.get(attempt.number, NOTHING_SAID),
        )
        for attempt in attempts
    ]


def _option(step: Step) -> Option:
    quality = UNKNOWN_QUALITY if step.predicted_quality is None else step.predicted_quality
    return Option(quality=quality, cost_nano_usd=step.cost_nano_usd)


def _undecided(attempt: Attempt, unjudged: str) -> Escalate:
    return Escalate(EscalationReason.UNJUDGED, unjudged) if attempt.verdict is None else Escalate(EscalationReason.LOW_CONFIDENCE, "")
