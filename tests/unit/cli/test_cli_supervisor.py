"""Processes are started, watched and stopped, and none is left behind."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from emafusion_cli.failures import CommandFailed
from emafusion_cli.state import RunningProcess, RunningStack, birth_of, clear_state, read_state, write_state
from emafusion_cli.supervisor import ProcessSpec, Supervisor, stop_recorded

from servicekit.settings.process import process_environment

WAITS = "import signal, pathlib, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
STUBBORN = "import signal, pathlib, sys; signal.signal(15, signal.SIG_IGN); pathlib.Path(sys.argv[1]).touch()\nwhile True: signal.pause()"
FAILS = "import sys; print('no such model', file=sys.stderr); sys.exit(7)"


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str, str], ProcessSpec]:
    def make(name: str, program: str) -> ProcessSpec:
        flag = tmp_path / f"{name}.ready"
        return ProcessSpec(
            name=name,
            kind="test",
            command=(sys.executable, "-c", program, str(flag)),
            environ=process_environment(),
            address="127.0.0.1:0",
            log=tmp_path / "logs" / f"{name}.log",
            ready=flag.exists,
        )

    return make


def test_all_are_ready_and_then_gone(spec: Callable[[str, str], ProcessSpec]) -> None:
    supervisor, changes = Supervisor(stop_grace_s=20), list[str]()
    supervisor.start([spec("one", WAITS), spec("two", WAITS)])
    supervisor.wait_ready(60, changed=lambda: changes.append("changed"))
    assert changes == ["changed", "changed"]
    pids = [process.pid for process in supervisor.processes]
    assert all(birth_of(pid) for pid in pids)
    supervisor.stop()
    assert [process.exit_code for process in supervisor.processes] == [-signal.SIGTERM, -signal.SIGTERM]
    assert not any(birth_of(pid) for pid in pids)


def test_a_process_that_ends_early_is_told_with_its_log(spec: Callable[[str, str], ProcessSpec]) -> None:
    supervisor = Supervisor(stop_grace_s=20)
    supervisor.start([spec("waits", WAITS), spec("fails", FAILS)])
    try:
        with pytest.raises(CommandFailed, match=r"fails .* ended with exit code 7") as failure:
            supervisor.wait_ready(60)
        assert "no such model" in failure.value.hint
        with pytest.raises(CommandFailed, match="fails"):
            supervisor.watch()
    finally:
        supervisor.stop()
    assert all(process.exit_code is not None for process in supervisor.processes)


def test_a_process_that_ignores_the_request_is_killed(spec: Callable[[str, str], ProcessSpec]) -> None:
    supervisor = Supervisor(stop_grace_s=0.3)
    supervisor.start([spec("stubborn", STUBBORN)])
    supervisor.wait_ready(60)
    supervisor.stop()
    assert supervisor.processes[0].exit_code == -signal.SIGKILL


def test_a_process_that_never_gets_ready_runs_out_of_time(spec: Callable[[str, str], ProcessSpec]) -> None:
    supervisor = Supervisor(stop_grace_s=20)
    supervisor.start([spec("slow", "import signal; signal.pause()")])
    try:
        with pytest.raises(CommandFailed, match=r"not ready after 0\.2 s: slow"):
            supervisor.wait_ready(0.2)
    finally:
        supervisor.stop()


def test_a_command_that_does_not_exist_stops_what_was_started(spec: Callable[[str, str], ProcessSpec], tmp_path: Path) -> None:
    supervisor, good = Supervisor(stop_grace_s=20), spec("good", WAITS)
    missing = ProcessSpec(
        name="x", kind="test", command=(str(tmp_path / "none"),), environ={}, address="", log=tmp_path / "x.log", ready=lambda: False
    )
    with pytest.raises(CommandFailed, match="can't start"):
        supervisor.start([good, missing])
    assert supervisor.processes[0].exit_code is not None


def test_state_is_read_while_a_process_lives_and_stopped_by_id(spec: Callable[[str, str], ProcessSpec], tmp_path: Path) -> None:
    supervisor = Supervisor(stop_grace_s=20)
    supervisor.start([spec("one", WAITS)])
    try:
        supervisor.wait_ready(60)
        write_state(tmp_path, RunningStack(processes=(supervisor.processes[0].running(),), targets={"cascade": "127.0.0.1:5"}))
        state = read_state(tmp_path)
        assert state is not None
        assert state.targets == {"cascade": "127.0.0.1:5"}
        assert [process.name for process in stop_recorded(state.processes, grace_s=20)] == ["one"]
        assert supervisor.processes[0].wait(20)
        assert read_state(tmp_path) is None
    finally:
        supervisor.stop()
        clear_state(tmp_path)


def test_another_process_with_a_recorded_id_is_left_alone(spec: Callable[[str, str], ProcessSpec]) -> None:
    supervisor = Supervisor(stop_grace_s=20)
    supervisor.start([spec("bystander", WAITS)])
    try:
        supervisor.wait_ready(60)
        recorded = RunningProcess(name="old", pid=supervisor.processes[0].pid, born="1", address="", log="")
        assert stop_recorded([recorded], grace_s=1) == []
        assert supervisor.processes[0].exit_code is None
    finally:
        supervisor.stop()
