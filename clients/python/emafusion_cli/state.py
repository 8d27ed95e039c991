"""What `emafusion up` runs, in a file beside the configuration, so that other commands find it and `emafusion down` stops it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = ".emafusion"
_NAME: Final = "up.json"
_START_TIME_FIELD: Final = 19
"""Of the fields after the command's name in /proc/PID/stat: when the process started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """A process that was started: ``born`` tells it from a later one with the same id, ``log`` is the path of its output."""

    name: str
    pid: int
    born: str
    address: str
    log: str

    @property
    def alive(self) -> bool:
        """True while the process that was started still runs."""
        return bool(self.born) and birth_of(self.pid) == self.born


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    """All processes of one `emafusion up`, and the gRPC targets of the services by name."""

    processes: tuple[RunningProcess, ...]
    targets: Mapping[str, str]


def write_state(folder: Path, stack: RunningStack) -> None:
    """Records ``stack`` for the configuration in ``folder``."""
    path = _path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(
        json.dumps({"processes": [asdict(process) for process in stack.processes], "targets": dict(stack.targets)}, indent=2) + "\n",
        encoding="utf-8",
    )
    fresh.replace(path)


def read_state(folder: Path) -> RunningStack | None:
    """The recorded stack, if at least one of its processes still runs."""
    try:
        data: dict[str, Any] = json.loads(_path(folder).read_text(encoding="utf-8"))
        stack = RunningStack(processes=tuple(RunningProcess(**process) for process in data["processes"]), targets={**data["targets"]})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stack if any(process.alive for process in stack.processes) else None


def clear_state(folder: Path) -> None:
    """Forgets the recorded stack."""
    _path(folder).unlink(missing_ok=True)


def birth_of(pid: int) -> str:
    """When the process with that id started, as a text that is equal for the same process only; empty when there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] == "Z" else fields[_START_TIME_FIELD]
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 fixed command, whole number


def _path(folder: Path) -> Path:
    return folder / FOLDER / _NAME
