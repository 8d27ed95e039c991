"""Attempts of parts that run side by side, numbered over the whole request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, replace

from cascade_service.domain.attempt import Attempt, answer_id
from cascade_service.domain.events import (
    AttemptStarted,
    CascadeEvent,
    Committed,
    Completed,
    Delta,
    Escalated,
    Judged,
    Retracted,
    Routed,
)
from cascade_service.domain.model import Model, ModelCall, ModelCard, ModelEvent
from cascade_service.domain.verdict import Verdict


class Numbering:
    """Gives every attempt of every part a number of its own, from 0, in the order in which they begin."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}

    def of(self, part: int, attempt: int) -> int:
        """The number of a part's attempt in the whole request."""
        return self._numbers.setdefault((part, attempt), len(self._numbers))

    def attempt(self, part: int, attempt: Attempt) -> Attempt:
        """A copy of a part's attempt, as one of the whole request."""
        numbered = copy(attempt)
        numbered.number, numbered.part = self.of(part, attempt.number), part
        numbered.continues = None if attempt.continues is None else self.of(part, attempt.continues)
        numbered.verdict = None if attempt.verdict is None else self._verdict(part, attempt.verdict)
        return numbered

    async def events(self, part: int, events: AsyncGenerator[CascadeEvent, None]) -> AsyncGenerator[CascadeEvent, None]:
        """The events of a part as those of the whole request, but for the numbers of its deltas."""
        async with aclosing(events):
            async for event in events:
                yield self._numbered(part, event)

    def _numbered(self, part: int, event: CascadeEvent) -> CascadeEvent:
        match event:
            case Routed():
                return replace(event, part=part)
            case AttemptStarted():
                return replace(event, attempt=self.of(part, event.attempt), part=part)
            case Delta() | Committed() | Retracted():
                return replace(event, attempt=self.of(part, event.attempt))
            case Escalated():
                return replace(event, from_attempt=self.of(part, event.from_attempt))
            case Judged() | Completed():
                return self._naming_others(part, event)
            case _:
                return event

    def _naming_others(self, part: int, event: Judged | Completed) -> CascadeEvent:
        if isinstance(event, Judged):
            return replace(event, attempt=self.of(part, event.attempt), verdict=self._verdict(part, event.verdict))
        completion = event.completion
        supporting = tuple(self.of(part, attempt) for attempt in completion.supporting_attempts)
        return Completed(completion=replace(completion, attempt=self.of(part, completion.attempt), supporting_attempts=supporting))

    def _verdict(self, part: int, verdict: Verdict) -> Verdict:
        """A verdict that names the answers of the part as those of the whole request."""
        ids = {answer_id(own): answer_id(number) for (owner, own), number in self._numbers.items() if owner == part}
        outcomes = (replace(one, same_answer_as=tuple(ids.get(same, same) for same in one.same_answer_as)) for one in verdict.outcomes)
        return replace(verdict, outcomes=tuple(outcomes))


@dataclass(frozen=True, slots=True)
class _NumberedModel:
    """A model that is told the number of the attempt in the whole request."""

    inner: Model
    number: Callable[[int], int]

    @property
    def card(self) -> ModelCard:
        return self.inner.card

    def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        return self.inner.stream(replace(call, attempt=self.number(call.attempt)))


def numbered_models(models: Mapping[str, Model], *, number: Callable[[int], int]) -> Mapping[str, Model]:
    """``models``, told the number of an attempt in the whole request in place of that in its part."""
    return {name: _NumberedModel(model, number) for name, model in models.items()}
