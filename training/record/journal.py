"""The journal of a recording: everything that was paid for, on disk before the next call is made.

Lines are only ever added. A line that a crash cut short is dropped when the journal is opened again. One process writes at a time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from io import BufferedRandom
from pathlib import Path
from types import TracebackType
from typing import Final, Self, assert_never

from training.record.entries import (
    AnswerKey,
    AskedModel,
    Entry,
    FailedCall,
    GivenAnswer,
    GivenLabel,
    Terms,
    from_line,
    to_line,
)
from training.record.failures import RecordingFailed
from training.record.questions import AskedQuestion

FILE: Final = "journal.jsonl"


class Journal:
    """What is recorded so far. Use it as a context; every method blocks on the disk.

    ``failures`` are calls that no later answer made good. ``spent_nano_usd`` is what all calls have cost, failed ones included.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.terms: Terms | None = None
        self.models: dict[str, AskedModel] = {}
        self.questions: dict[str, AskedQuestion] = {}
        self.answers: dict[AnswerKey, GivenAnswer] = {}
        self.failures: dict[AnswerKey, FailedCall] = {}
        self.labels: dict[tuple[AnswerKey, str], float] = {}
        self.spent_nano_usd = 0
        self._file: BufferedRandom | None = None

    def __enter__(self) -> Self:
        """Locks and reads the journal. Raises ``RecordingFailed`` when it is in use, or holds a line that is no entry."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise RecordingFailed(f"{self.path} can't be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(self._file)
        except BlockingIOError:
            self._file.close()
            raise RecordingFailed(f"{self.path} is in use: another recording is writing it", wrong_input=False) from None
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the file, which gives the lock back."""
        if self._file is not None:
            self._file.close()

    def add(self, entries: Iterable[Entry]) -> None:
        """Writes ``entries`` and waits until they are on disk."""
        if self._file is None:
            raise ValueError("the journal is not open")
        some = list(entries)
        self._file.write("".join(f"{to_line(entry)}\n" for entry in some).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        for entry in some:
            self._take(entry)

    def _read(self, file: BufferedRandom) -> None:
        file.seek(0)
        whole, cut, torn = file.read().rpartition(b"\n")
        if torn:
            file.truncate(len(whole) + len(cut))
        for number, line in enumerate(whole.decode().split("\n"), start=1):
            if not line:
                continue
            try:
                self._take(from_line(line))
            except ValueError as error:
                raise RecordingFailed(f"{self.path}, line {number}: {error}") from error

    def _take(self, entry: Entry) -> None:
        match entry:
            case Terms():
                self.terms = entry
            case AskedModel():
                self.models[entry.name] = entry
            case AskedQuestion():
                self.questions[entry.id] = entry
            case GivenAnswer():
                self.answers[entry.key] = entry
                self.failures.pop(entry.key, None)
                self.spent_nano_usd += entry.cost_nano_usd
            case FailedCall():
                self.failures[entry.key] = entry
                self.spent_nano_usd += entry.cost_nano_usd
            case GivenLabel():
                self.labels[entry.key, entry.by] = entry.score
            case _:
                assert_never(entry)
