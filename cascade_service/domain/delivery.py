"""Which text the caller gets to see, and when: the part of the state machine that guards the text invariant.

At any time the committed deltas are a prefix of the final text, and at the end they are exactly that.
"""

from __future__ import annotations

from cascade_service.domain.events import Committed, DeliveryMode, Delta, Retracted

DELTA_CHARS_MAX = 4_096
"""Longest delta in characters when a whole text is sent at once; keeps every message far below gRPC's size limit."""

DeliveryEvent = Delta | Committed | Retracted


class Delivery:
    """Numbers the deltas of one stream and remembers what is shown but not yet final."""

    def __init__(self, mode: DeliveryMode) -> None:
        self._mode = mode
        self._next_sequence = 1
        self._shown_attempt: int | None = None
        self._shown_from = 0

    def write(self, attempt: int, text: str) -> tuple[DeliveryEvent, ...]:
        """A piece of text of a running attempt: shown at once or, when buffered, not yet."""
        if self._mode is DeliveryMode.BUFFERED or not text:
            return ()
        return tuple(self._show(attempt, text))

    def withdraw(self, attempt: int) -> tuple[DeliveryEvent, ...]:
        """Withdraws what ``attempt`` has shown; nothing when it has shown nothing."""
        if self._shown_attempt != attempt:
            return ()
        self._shown_attempt = None
        return (Retracted(attempt=attempt, from_sequence=self._shown_from),)

    def commit(self, attempt: int, text: str) -> tuple[DeliveryEvent, ...]:
        """Makes ``text``, the whole answer of ``attempt``, final; shows it first where it is not on show."""
        deltas: list[DeliveryEvent] = [] if self._shown_attempt == attempt else list(self._show(attempt, text))
        self._shown_attempt = None
        return (*deltas, Committed(attempt=attempt, through_sequence=self._next_sequence - 1))

    def _show(self, attempt: int, text: str) -> list[Delta]:
        if self._shown_attempt != attempt:
            self._shown_attempt, self._shown_from = attempt, self._next_sequence
        pieces = [text[start : start + DELTA_CHARS_MAX] for start in range(0, len(text), DELTA_CHARS_MAX)]
        deltas = [Delta(attempt=attempt, sequence=sequence, text=piece) for sequence, piece in enumerate(pieces, start=self._next_sequence)]
        self._next_sequence += len(deltas)
        return deltas
