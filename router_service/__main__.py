"""``python -m router_service [--config PATH]``: serves the router until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import structlog

from router_service.bootstrap import serve
from router_service.domain.errors import ArtifactMismatch
from servicekit.artifacts import ArtifactError
from servicekit.logs import configure_logging
from servicekit.settings.load import ConfigurationError, load_settings
from servicekit.settings.process import process_environment

_CONFIGURATION_WRONG = 2
_NOT_STARTED = 1


def main() -> int:
    """Exit status: 0 after an orderly end, 1 when the service can't start, 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="python -m router_service", description="Serves emafusion.router.v1.RouterService.")
    parser.add_argument("--config", type=Path, default=None, metavar="PATH", help="configuration file; default: EMAFUSION_CONFIG")
    arguments = parser.parse_args()
    try:
        loaded = load_settings(arguments.config, process_environment())
        configure_logging("router_service", loaded.settings.logging.level)
        asyncio.run(serve(loaded))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return _CONFIGURATION_WRONG
    except (ArtifactError, ArtifactMismatch, OSError, RuntimeError) as error:
        structlog.get_logger(__name__).error("not_started", cause=str(error), error=type(error).__name__)
        return _NOT_STARTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
