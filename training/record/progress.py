"""Shows how far a recording is: a bar per model in a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from training.record.entries import FailedCall, GivenAnswer

LINE_EVERY_S: Final = 10.0
_NANO_PER_USD: Final = 1e9


class ShownProgress:
    """Watches a session. ``clock`` gives seconds that never go back; ``spent`` tells the cost so far in nano-USD."""

    def __init__(self, console: Console, open_answers: Mapping[str, int], *, spent: Callable[[], int], clock: Callable[[], float]) -> None:
        self._console = console
        self._spent = spent
        self._clock = clock
        self._said_at = clock()
        self._done = 0
        self._total = sum(open_answers.values())
        name, note = TextColumn("{task.description:28}"), TextColumn("{task.fields[note]}")
        columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._failures: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {name: self._bars.add_task(name, total=count, note="") for name, count in open_answers.items()}

    def __enter__(self) -> Self:
        """Starts showing."""
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stops showing."""
        self._bars.stop()

    def answered(self, answer: GivenAnswer) -> None:
        """One step on."""
        self._step(answer.key.model)

    def failed(self, failure: FailedCall) -> None:
        """One step on, and the first failure of each sort in words."""
        name = failure.key.model
        self._failures[name] = self._failures.get(name, 0) + 1
        self._bars.update(self._tasks[name], note=f"[red]{self._failures[name]} failed[/]")
        self._step(name)

    def _step(self, name: str) -> None:
        self._done += 1
        self._bars.advance(self._tasks[name])
        if not self._console.is_terminal and (self._clock() - self._said_at >= LINE_EVERY_S or self._done == self._total):
            self._said_at = self._clock()
            failed = sum(self._failures.values())
            note = f", {failed} failed" if failed else ""
            self._console.print(f"{self._done} of {self._total} calls{note}, {self._spent() / _NANO_PER_USD:.6f} USD so far", markup=False)
