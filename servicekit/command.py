"""The command that starts a service: ``python -m SERVICE [--config PATH]``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from servicekit.artifacts import ArtifactError
from servicekit.logs import configure_logging
from servicekit.settings.load import ConfigurationError, LoadedSettings, load_settings
from servicekit.settings.process import process_environment

CONFIGURATION_WRONG: Final = 2
NOT_STARTED: Final = 1

Serve = Callable[[LoadedSettings], Coroutine[Any, Any, None]]
"""Serves a configuration until it is told to stop."""


def run_command(service: str, serve: Serve, arguments: Sequence[str] | None = None, *, obstacles: tuple[type[Exception], ...] = ()) -> int:
    """Serves until SIGTERM or SIGINT.

    Returns the exit status: 0 after an orderly end, 1 when the service can't start, 2 when the configuration is wrong.
    ``obstacles`` are errors that keep this service from starting, besides those that every service knows; their message is shown in place
    of a traceback. ``arguments`` default to those of the process.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {service}", description=f"Serves {service} until SIGTERM.")
    parser.add_argument(
        "--config", type=Path, default=None, metavar="PATH", help="configuration file; default: $EMAFUSION_CONFIG, then ./emafusion.yaml"
    )
    chosen = parser.parse_args(arguments)
    try:
        loaded = load_settings(chosen.config, process_environment())
        configure_logging(service, loaded.settings.logging.level)
        asyncio.run(serve(loaded))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return CONFIGURATION_WRONG
    except (ArtifactError, OSError, RuntimeError, *obstacles) as error:
        structlog.get_logger(__name__).error("not_started", cause=str(error), error=type(error).__name__)
        return NOT_STARTED
    return 0
