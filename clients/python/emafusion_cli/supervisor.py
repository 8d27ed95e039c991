"""Starts processes, waits until they are ready, and stops every one of them again, by id."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from emafusion_cli.failures import CommandFailed
from emafusion_cli.state import RunningProcess, birth_of

_POLL_S: Final = 0.1
_TAIL_BYTES: Final = 4_096
_TAIL_LINES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process to run. ``ready`` asks it, quickly, whether it can be used; ``address`` is where it will listen."""

    name: str
    kind: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    address: str
    log: Path
    ready: Callable[[], bool]


class Supervised:
    """One running process of a supervisor."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.ready = False
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        with spec.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops everything in order.
            self._process = subprocess.Popen(  # noqa: S603 the command is built from the configuration
                spec.command, env=dict(spec.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.born = birth_of(self._process.pid)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative when a signal ended it."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> bool:
        """Waits for the end of the process; false when it did not come in time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def running(self) -> RunningProcess:
        """The process as it is recorded."""
        return RunningProcess(name=self.spec.name, pid=self.pid, born=self.born, address=self.spec.address, log=str(self.spec.log))

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, unless the process has ended."""
        if self.exit_code is None:
            self._process.send_signal(number)


class Supervisor:
    """Runs processes in the order given, and stops them in the reverse order."""

    def __init__(self, *, stop_grace_s: float) -> None:
        self._stop_grace_s = stop_grace_s
        self.processes: list[Supervised] = []

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Starts all. When one can't be started, those before it are stopped and ``CommandFailed`` is raised."""
        try:
            for spec in specs:
                self.processes.append(Supervised(spec))
        except OSError as error:
            self.stop()
            raise CommandFailed(f"can't start a process: {error}") from error

    def wait_ready(self, timeout_s: float, *, changed: Callable[[], None] = lambda: None) -> None:
        """Waits until all are ready, telling ``changed`` about each. Raises ``CommandFailed`` when one ends or time runs out."""
        until = monotonic() + timeout_s
        while waiting := [process for process in self.processes if not process.ready]:
            self.raise_if_ended()
            for process in waiting:
                if process.spec.ready():
                    process.ready = True
                    changed()
            if monotonic() > until:
                names = ", ".join(process.spec.name for process in waiting)
                raise CommandFailed(f"not ready after {timeout_s:g} s: {names}", hint=_tail(waiting[0].spec.log))
            waiting[0].wait(_POLL_S)

    def raise_if_ended(self) -> None:
        """Raises ``CommandFailed`` with the end of its log when a process has ended."""
        for process in self.processes:
            if process.exit_code is not None:
                message = f"{process.spec.name} (pid {process.pid}) ended with exit code {process.exit_code}; its log is {process.spec.log}"
                raise CommandFailed(message, hint=_tail(process.spec.log))

    def watch(self) -> None:
        """Returns never, and raises ``CommandFailed`` as soon as a process ends."""
        while True:
            self.raise_if_ended()
            self.processes[0].wait(_POLL_S * 5)

    def stop(self) -> None:
        """Ends all processes: asked first, killed where that does not help within the grace period."""
        for process in reversed(self.processes):
            process.signal(signal.SIGTERM)
        until = monotonic() + self._stop_grace_s
        for process in reversed(self.processes):
            if not process.wait(max(0.0, until - monotonic())):
                process.signal(signal.SIGKILL)
                process.wait(self._stop_grace_s)


def stop_recorded(processes: Sequence[RunningProcess], *, grace_s: float) -> list[RunningProcess]:
    """Ends processes that another command started, in reverse order; returns those that were still running."""
    alive = [process for process in reversed(processes) if process.alive]
    for process in alive:
        _kill(process, signal.SIGTERM)
    until = monotonic() + grace_s
    while monotonic() < until and any(process.alive for process in alive):
        _pause()
    for process in alive:
        if process.alive:
            _kill(process, signal.SIGKILL)
    return alive


def _kill(process: RunningProcess, number: signal.Signals) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return  # it ended in the meantime


def _pause() -> None:
    threading.Event().wait(_POLL_S)


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "The last lines of its log:\n" + "\n".join(f"  {line}" for line in text.splitlines()[-_TAIL_LINES:])
