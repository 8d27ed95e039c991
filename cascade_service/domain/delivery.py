"""Which text the caller gets to see, and when: the part of the state machine that guards the text invariant.

At any time the committed deltas are a prefix of the final text, and at the end they are exactly that.
"""

from __future__ import annotations

from cascade_service.domain.events import Committed, DeliveryMode, Delta, Retracted

DELTA_CHARS_MAX = 4_096
"""Longest delta in characters when a whole text is sent at once; keeps every message far below gRPC's size limit."""

DeliveryEvent = Delta | Committed | Retracted


class Delivery:
    """Numbers the deltas of one stream and remembers what is final and what is shown but not yet final.

    ``committed`` is the text that is final, ``committed_by`` the attempt that wrote the end of it.
    """

    def __init__(self, mode: DeliveryMode) -> None:
        self.committed = ""
        self.committed_by: int | None = None
        self._mode = mode
        self._next_sequence = 1
        self._shown_attempt: int | None = None
        self._provisional: list[Delta] = []

    def write(self, attempt: int, text: str) -> tuple[DeliveryEvent, ...]:
        """A piece of text of a running attempt: shown at once; or not yet when buffered, or before its beginning is final."""
        held = self._mode is DeliveryMode.PREFIX_COMMIT and self._shown_attempt != attempt
        if held or self._mode is DeliveryMode.BUFFERED or not text:
            return ()
        return tuple(self._show(attempt, text))

    def commit_beginning(self, attempt: int, text: str, *, chars: int) -> tuple[DeliveryEvent, ...]:
        """Makes the first ``chars`` characters of ``text``, what ``attempt`` has written, final and shows the rest.

        ``text`` begins with ``committed``. White space at the end of the beginning stays open, since no provider continues a text that
        ends in it.
        """
        final = len(text[:chars].rstrip())
        if final <= len(self.committed):
            return ()
        if self._shown_attempt == attempt:
            return self._commit_deltas(attempt, through=final)
        shown = self._show(attempt, text[len(self.committed) : final])
        return (*shown, *self._commit_deltas(attempt, through=final), *self._show(attempt, text[final:]))

    def withdraw(self, attempt: int) -> tuple[DeliveryEvent, ...]:
        """Withdraws what ``attempt`` has shown and is not final; nothing when there is none."""
        if self._shown_attempt != attempt:
            return ()
        withdrawn, self._provisional = self._provisional, []
        self._shown_attempt = None
        return (Retracted(attempt=attempt, from_sequence=withdrawn[0].sequence),) if withdrawn else ()

    def commit(self, attempt: int, text: str) -> tuple[DeliveryEvent, ...]:
        """Makes ``text``, the whole answer of ``attempt``, final; shows it first where it is not on show."""
        deltas = [] if self._shown_attempt == attempt else self._show(attempt, text[len(self.committed) :])
        committed = self._commit_deltas(attempt, through=len(text))
        self._shown_attempt = None
        return (*deltas, *committed)

    def _commit_deltas(self, attempt: int, *, through: int) -> tuple[DeliveryEvent, ...]:
        """Makes the deltas on show final that end within the first ``through`` characters, up to the last that ends in no white space."""
        end, count = len(self.committed), 0
        for index, delta in enumerate(self._provisional, start=1):
            end += len(delta.text)
            if end > through:
                break
            if index == len(self._provisional) or not delta.text[-1].isspace():
                count = index
        if count == 0:
            return ()
        final, self._provisional = self._provisional[:count], self._provisional[count:]
        self.committed += "".join(delta.text for delta in final)
        self.committed_by = attempt
        return (Committed(attempt=attempt, through_sequence=final[-1].sequence),)

    def _show(self, attempt: int, text: str) -> list[Delta]:
        self._shown_attempt = attempt
        pieces = [text[start : start + DELTA_CHARS_MAX] for start in range(0, len(text), DELTA_CHARS_MAX)]
        deltas = [Delta(attempt=attempt, sequence=sequence, text=piece) for sequence, piece in enumerate(pieces, start=self._next_sequence)]
        self._next_sequence += len(deltas)
        self._provisional += deltas
        return deltas
