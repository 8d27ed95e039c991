"""What commands share: options, consoles, the configuration, and where a running stack is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from emafusion_client import Tls
from rich.console import Console

from emafusion_cli.failures import CommandFailed, ExitCode
from emafusion_cli.state import RunningStack, read_state
from emafusion_cli.weights import ModelStore, models_directory
from servicekit.settings.load import LoadedSettings, load_settings
from servicekit.settings.process import process_environment
from servicekit.settings.secrets import SecretMissing
from servicekit.settings.serving import ClientTlsSettings
from servicekit.tls import PemFiles

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

API_KEY_VARIABLE: Final = "EMAFUSION_API_KEY"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Options before the command's name: how to connect, where the configuration is not to decide."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    api_key_env: str | None = None


CONNECTION: Final[ContextVar[ConnectionOptions]] = ContextVar("emafusion_cli_connection", default=ConnectionOptions())  # noqa: B039 - frozen
"""Those of the command that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a service is and how to speak to it."""

    target: str
    tls: Tls | None = None
    api_key: str | None = field(default=None, repr=False)


def address_of(service: str, target: str | None, config: Path | None) -> Address:
    """Where ``service`` (`router`, `judge` or `cascade`) is: as chosen, as running, or as configured.

    A chosen target needs no configuration; what it needs to be spoken to then comes from the options, or from the file if one is named.
    """
    if target and config is None:
        return connect(target, None)
    loaded = load_configuration(config)
    return connect(target or target_of(service, loaded), loaded)


def target_of(service: str, loaded: LoadedSettings) -> str:
    """Where the service runs, if it does, else where it is configured to."""
    stack = running_stack(loaded)
    if stack is not None and service in stack.targets:
        return stack.targets[service]
    target: str = getattr(loaded.settings.services, service).target
    return target


def connect(target: str, loaded: LoadedSettings | None) -> Address:
    """The address with what the options say, and else the configuration. Raises ``CommandFailed`` or ``ConfigurationError``."""
    options = CONNECTION.get()
    return Address(target=target, tls=_tls(options, loaded), api_key=_api_key(options, loaded))


def _api_key(options: ConnectionOptions, loaded: LoadedSettings | None) -> str | None:
    """From the variable that is named; else from EMAFUSION_API_KEY, if set; else the services' own."""
    environ = process_environment()
    if options.api_key_env is not None and not environ.get(options.api_key_env, "").strip():
        raise CommandFailed(f"environment variable {options.api_key_env} is not set", exit_code=ExitCode.WRONG_INPUT)
    if given := environ.get(options.api_key_env or API_KEY_VARIABLE, "").strip():
        return given
    if loaded is None or loaded.settings.services.api_key is None:
        return None
    try:
        return loaded.secrets.read(loaded.settings.services.api_key).reveal()
    except SecretMissing as error:
        hint = f"Set {API_KEY_VARIABLE}, or name another variable with --api-key-env."
        raise CommandFailed(f"`services.api_key`: {error}", hint=hint, exit_code=ExitCode.WRONG_INPUT) from None


def _tls(options: ConnectionOptions, loaded: LoadedSettings | None) -> Tls | None:
    configured = loaded.settings.services.tls if loaded is not None else None
    if configured is None and options.ca is None and options.cert is None and options.key is None:
        return None
    base = configured or ClientTlsSettings()
    if (options.cert is None) != (options.key is None):
        raise CommandFailed("--cert and --key must be given together", exit_code=ExitCode.WRONG_INPUT)
    chosen = ClientTlsSettings(
        roots=str(options.ca) if options.ca else base.roots,
        certificate=str(options.cert) if options.cert else base.certificate,
        private_key=str(options.key) if options.key else base.private_key,
    )
    texts = PemFiles.of_client(chosen).read()
    return Tls(root_certificates=texts.roots, private_key=texts.private_key, certificate_chain=texts.certificate)


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs ``work`` on a fresh event loop."""
    return asyncio.run(work)
