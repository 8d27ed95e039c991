"""`emafusion up` and `emafusion down`: local models and the three services as processes of this machine."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import StrEnum
from types import FrameType
from typing import Annotated, Final

import typer
from rich.live import Live
from rich.table import Table

from emafusion_cli.catalogue import find_weights
from emafusion_cli.commands.models import pull_all
from emafusion_cli.failures import CommandFailed
from emafusion_cli.stack import StackPlan, missing_weights, on_free_ports, plan_stack
from emafusion_cli.state import RunningStack, clear_state, read_state, write_state
from emafusion_cli.supervisor import Supervisor, stop_recorded
from emafusion_cli.surroundings import ERR, OUT, ConfigOption, ModelsDirOption, load_configuration, model_store, running_stack
from servicekit.settings.load import LoadedSettings
from servicekit.settings.process import process_environment

START_TIMEOUT_S: Final = 180.0
_STOP_SPARE_S: Final = 5.0
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ports(StrEnum):
    """Where ports come from."""

    CONFIG = "config"
    AUTO = "auto"


def up(
    config: ConfigOption = None,
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything is ready; `emafusion down` stops it.")] = False,
    ports: Annotated[Ports, typer.Option("--ports", help="`auto` takes free ports instead of the configured ones.")] = Ports.CONFIG,
    pull: Annotated[bool, typer.Option("--pull", help="Fetch missing weights first.")] = False,
    models_dir: ModelsDirOption = None,
) -> None:
    """Start the local models and the three services, wait until they are ready, and show what runs where."""
    loaded, environ = load_configuration(config), dict(process_environment())
    if running_stack(loaded) is not None:
        raise CommandFailed("this configuration is up already", hint="`emafusion down` stops it, `emafusion doctor` shows what runs.")
    store = model_store(models_dir)
    if pull:
        pull_all([find_weights(name) for name in missing_weights(loaded, store)], store)
    if ports is Ports.AUTO:
        loaded, environ = on_free_ports(loaded, environ)
    with raising_on_signals(), suppress(KeyboardInterrupt):
        start(loaded, plan_stack(loaded, store, environ), detach=detach)


def start(loaded: LoadedSettings, plan: StackPlan, *, detach: bool) -> None:
    """Starts everything; then returns if detached, and otherwise watches it until a signal or the end of a process."""
    supervisor = Supervisor(stop_grace_s=loaded.settings.server.drain_grace_ms / 1_000 + _STOP_SPARE_S)
    with stack_running(loaded, plan, supervisor, keep=detach):
        if detach:
            OUT.print("Everything is ready. `emafusion down` stops it.")
            return
        OUT.print("Everything is ready. Ctrl-C stops it.")
        supervisor.watch()


@contextmanager
def stack_running(loaded: LoadedSettings, plan: StackPlan, supervisor: Supervisor, *, keep: bool = False) -> Generator[None]:
    """Everything started and ready inside the block; stopped afterwards, unless it is to be kept and the block succeeded."""
    folder = loaded.path.parent
    kept = False
    try:
        supervisor.start(plan.specs)
        write_state(folder, RunningStack(processes=tuple(process.running() for process in supervisor.processes), targets=plan.targets))
        _wait_showing(supervisor)
        yield
        kept = keep
    finally:
        if not kept:
            ERR.print("Stopping everything.")
            with signals_ignored():
                supervisor.stop()
                clear_state(folder)


def down(config: ConfigOption = None) -> None:
    """Stop what `emafusion up` started for this configuration."""
    loaded = load_configuration(config)
    folder = loaded.path.parent
    stack = read_state(folder)
    if stack is None:
        OUT.print("Nothing is running.")
        clear_state(folder)
        return
    stopped = stop_recorded(stack.processes, grace_s=loaded.settings.server.drain_grace_ms / 1_000 + _STOP_SPARE_S)
    clear_state(folder)
    for process in stopped:
        OUT.print(f"stopped {process.name} (pid {process.pid})")


def _wait_showing(supervisor: Supervisor) -> None:
    """Waits until all processes are ready, with a table that is drawn anew in a terminal and printed once elsewhere."""
    if not ERR.is_terminal:
        ERR.print(f"starting {', '.join(process.spec.name for process in supervisor.processes)}")
        supervisor.wait_ready(START_TIMEOUT_S)
        ERR.print(_table(supervisor))
        return
    with Live(_table(supervisor), console=ERR, auto_refresh=False) as live:
        supervisor.wait_ready(START_TIMEOUT_S, changed=lambda: live.update(_table(supervisor), refresh=True))


def _table(supervisor: Supervisor) -> Table:
    table = Table("", "what", "address", "pid", "state", "log", box=None, pad_edge=False)
    for process in supervisor.processes:
        state = "[green]ready[/]" if process.ready else "starting"
        spec = process.spec
        table.add_row(spec.kind, spec.name, spec.address, str(process.pid), state, str(spec.log))
    return table


@contextmanager
def raising_on_signals() -> Generator[None]:
    """SIGTERM and SIGHUP end the block like Ctrl-C does, so that everything is stopped in order.

    SIGINT is set as well: a process that a script started in the background ignores it until it says otherwise.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_ignored() -> Generator[None]:
    """A second Ctrl-C does not break off the stopping."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
