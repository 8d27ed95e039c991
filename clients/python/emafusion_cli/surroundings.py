"""What commands share: options, consoles, the configuration, and where a running stack is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from emafusion_cli.state import RunningStack, read_state
from emafusion_cli.weights import ModelStore, models_directory
from servicekit.settings.load import LoadedSettings, load_settings
from servicekit.settings.process import process_environment

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file. Default: the one EMAFUSION_CONFIG names, else ./emafusion.yaml."),
]
TargetOption = Annotated[
    str | None, typer.Option("--target", help="gRPC target of the service. Default: the running stack's, else the configuration's.")
]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, help="Deadline in seconds.")]
ModelsDirOption = Annotated[
    Path | None, typer.Option("--models-dir", help="Directory of the weights. Default: EMAFUSION_MODELS_DIR, else the user's cache.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

_PIPED_WIDTH = 160


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH  # a file or pipe has no width; that of an imagined small terminal would break tables apart
    return console


OUT = _console(stderr=False)
"""Results."""
ERR = _console(stderr=True)
"""Progress and errors."""

_Result = TypeVar("_Result")


def load_configuration(path: Path | None) -> LoadedSettings:
    """The configuration. Raises ``ConfigurationError``."""
    return load_settings(path, process_environment())


def model_store(directory: Path | None) -> ModelStore:
    """The weights on this machine."""
    return ModelStore(directory or models_directory(process_environment()))


def running_stack(loaded: LoadedSettings) -> RunningStack | None:
    """The stack that `emafusion up` runs for this configuration, if it does."""
    return read_state(loaded.path.parent)


def target_of(service: str, chosen: str | None, loaded: LoadedSettings) -> str:
    """Where ``service`` (`router`, `judge` or `cascade`) is: as chosen, as running, or as configured."""
    if chosen:
        return chosen
    stack = running_stack(loaded)
    if stack is not None and service in stack.targets:
        return stack.targets[service]
    target: str = getattr(loaded.settings.services, service).target
    return target


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs ``work`` on a fresh event loop."""
    return asyncio.run(work)
