"""Folds a stream of events to the text that is final, and to the text that may be shown now."""

from __future__ import annotations

from collections.abc import Callable

from emafusion_client.events import Committed, Delta, Event, Retracted


class Transcript:
    """The text of a stream so far. Feed it every event in order.

    The final text is always a continuation of ``committed``; at the end of the stream it is exactly that.
    """

    def __init__(self) -> None:
        self._committed: list[str] = []
        self._provisional: list[Delta] = []

    @property
    def committed(self) -> str:
        """Text that stays."""
        return "".join(self._committed)

    @property
    def visible(self) -> str:
        """Text that stays, followed by text that may yet be withdrawn."""
        return self.committed + "".join(delta.text for delta in self._provisional)

    def apply(self, event: Event) -> None:
        """Takes account of ``event``; events without a bearing on the text change nothing."""
        match event:
            case Delta():
                self._provisional.append(event)
            case Committed(attempt=attempt, through_sequence=through):
                final, rest = _split(self._provisional, lambda delta: delta.attempt == attempt and delta.sequence <= through)
                self._committed.extend(delta.text for delta in final)
                self._provisional = rest
            case Retracted(attempt=attempt, from_sequence=start):
                _, self._provisional = _split(self._provisional, lambda delta: delta.attempt == attempt and delta.sequence >= start)
            case _:
                return


def _split(deltas: list[Delta], chosen: Callable[[Delta], bool]) -> tuple[list[Delta], list[Delta]]:
    return [delta for delta in deltas if chosen(delta)], [delta for delta in deltas if not chosen(delta)]
