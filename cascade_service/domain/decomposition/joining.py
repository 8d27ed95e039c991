"""One text out of the parts' texts, in the order of the request: the part of a decomposed request that guards the text invariant.

Every part shows, withdraws and commits its text as it would alone. The first part that has not ended is passed on as it comes; the text of
later parts is held until their turn. So the committed deltas are at any time a prefix of the joined text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cascade_service.domain.events import Committed, Delta, Retracted

TextEvent = Delta | Committed | Retracted


@dataclass(slots=True)
class _PartText:
    """What of a part is on show. ``sequences`` leads from its own numbers to those of the stream; ``heading_at`` is that of the heading."""

    label: str
    held: list[TextEvent] = field(default_factory=list[TextEvent])
    sequences: dict[int, int] = field(default_factory=dict[int, int])
    provisional: dict[int, str] = field(default_factory=dict[int, str])
    heading: str = ""
    heading_at: int | None = None
    begins_at: int | None = None
    ends_at: int = 0
    ended: bool = False


class Joiner:
    """Joins parts with these labels. Events come with their part's sequence numbers and leave with the stream's.

    ``text`` is what is final.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.text = ""
        self._parts = [_PartText(label) for label in labels]
        self._turn = 0
        self._next_sequence = 1

    def take(self, part: int, event: TextEvent) -> list[TextEvent]:
        """Takes in what a part does; what of it can be told now."""
        own = self._parts[part]
        if part == self._turn:
            return self._tell(own, event)
        if isinstance(event, Retracted):
            own.held = [held for held in own.held if not _withdraws(event, held)]
        else:
            own.held.append(event)
        return []

    def end(self, part: int) -> list[TextEvent]:
        """Takes note that a part has ended; what can be told of later ones now."""
        self._parts[part].ended = True
        told: list[TextEvent] = []
        while self._turn < len(self._parts) and self._parts[self._turn].ended:
            self._turn += 1
            if self._turn < len(self._parts):
                waiting = self._parts[self._turn]
                held, waiting.held = waiting.held, []
                told += [event for kept in held for event in self._tell(waiting, kept)]
        return told

    def range_of(self, part: int) -> tuple[int, int]:
        """Where the answer of a part stands in ``text``, its heading not included; empty when it has none."""
        own = self._parts[part]
        return (0, 0) if own.begins_at is None else (own.begins_at, own.ends_at)

    def _tell(self, part: _PartText, event: TextEvent) -> list[TextEvent]:
        match event:
            case Delta():
                return [*self._head(part, event.attempt), self._show(part, event)]
            case Committed():
                return [self._commit(part, event)]
            case Retracted():
                return [_withdraw(part, event)]

    def _head(self, part: _PartText, attempt: int) -> list[TextEvent]:
        if part.heading_at is not None:
            return []
        part.heading = ("\n\n" if self.text else "") + part.label + "\n"
        part.heading_at = self._number()
        return [Delta(attempt=attempt, sequence=part.heading_at, text=part.heading)]

    def _show(self, part: _PartText, delta: Delta) -> Delta:
        sequence = self._number()
        part.sequences[delta.sequence] = sequence
        part.provisional[delta.sequence] = delta.text
        return Delta(attempt=delta.attempt, sequence=sequence, text=delta.text)

    def _commit(self, part: _PartText, committed: Committed) -> Committed:
        if part.begins_at is None:
            self.text += part.heading
            part.begins_at = len(self.text)
        final = [own for own in part.provisional if own <= committed.through_sequence]
        self.text += "".join(part.provisional.pop(own) for own in final)
        part.ends_at = len(self.text)
        return Committed(attempt=committed.attempt, through_sequence=part.sequences[committed.through_sequence])

    def _number(self) -> int:
        sequence, self._next_sequence = self._next_sequence, self._next_sequence + 1
        return sequence


def _withdraw(part: _PartText, retracted: Retracted) -> Retracted:
    """A heading goes with the text under it, as long as none of that is final."""
    part.provisional.clear()
    first = part.sequences[retracted.from_sequence]
    if part.begins_at is None and part.heading_at is not None:
        first, part.heading_at = part.heading_at, None
    return Retracted(attempt=retracted.attempt, from_sequence=first)


def _withdraws(retracted: Retracted, held: TextEvent) -> bool:
    return isinstance(held, Delta) and held.attempt == retracted.attempt and held.sequence >= retracted.from_sequence
