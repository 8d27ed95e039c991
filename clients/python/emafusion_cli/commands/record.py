"""`emafusion record`: asks live models the user's own questions. The work is done by `python -m training.record`, see ADR 0011."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import typer

from emafusion_cli.failures import CommandFailed
from emafusion_cli.stack import endpoint_variable
from emafusion_cli.surroundings import load_configuration, running_stack
from servicekit.settings.load import LoadedSettings
from servicekit.settings.process import process_environment

MODULE: Final = "training.record"
PASSED_ON: Final[dict[str, bool | list[str]]] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Settings of a command that hands all its arguments on, `--help` included."""


def record(context: typer.Context) -> None:
    """Ask live models your own questions; write answers, costs and labels for training and benchmarks."""
    if importlib.util.find_spec("training") is None:
        raise CommandFailed("recording is part of the project's sources", hint="Install them with `pip install -e '.[cli,recorded]'`.")
    command = [sys.executable, "-m", MODULE, *context.args]
    raise typer.Exit(run_to_end(command, {**process_environment(), **_running_endpoints(context.args)}))


def run_to_end(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs a command in the foreground; its exit code. Ctrl-C reaches it directly, and how it ends is left to it."""
    with subprocess.Popen(command, env=environ) as process:  # noqa: S603 - this interpreter and the caller's own arguments
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def running_endpoints(loaded: LoadedSettings) -> dict[str, str]:
    """Where the local models run that `emafusion up` started, as overrides of the configuration; ports may be others than it says."""
    stack = running_stack(loaded)
    local = {model.name for model in loaded.settings.models if model.local is not None}
    processes = stack.processes if stack is not None else ()
    return {endpoint_variable(each.name): f"http://{each.address}/v1" for each in processes if each.name in local and each.alive}


def _running_endpoints(arguments: Sequence[str]) -> dict[str, str]:
    if "--help" in arguments or "-h" in arguments:
        return {}
    return running_endpoints(load_configuration(_config(arguments)))


def _config(arguments: Sequence[str]) -> Path | None:
    """The configuration that the arguments name, in any of the forms that argparse takes."""
    for position, word in enumerate(arguments):
        name, mark, value = word.partition("=")
        if name == "--config" and mark:
            return Path(value)
        if word in {"--config", "-c"} and position + 1 < len(arguments):
            return Path(arguments[position + 1])
        if word.startswith("-c"):
            return Path(word.removeprefix("-c"))
    return None
