"""Runs the judge service: ``python -m judge_service [--config PATH]``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from judge_service.bootstrap import build_service
from judge_service.transport.errors import error_table
from servicekit.artifacts import ArtifactError
from servicekit.logs import configure_logging
from servicekit.server import run_service
from servicekit.settings.load import ConfigurationError, LoadedSettings, load_settings
from servicekit.settings.process import process_environment
from servicekit.telemetry import start_telemetry

NAME = "judge_service"
EXIT_UNUSABLE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns 0 after a clean shutdown, 2 when the configuration or an artifact is unusable."""
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__)
    parser.add_argument("--config", type=Path, default=None, help="configuration file; default $EMAFUSION_CONFIG, then ./emafusion.yaml")
    chosen = parser.parse_args(arguments)
    try:
        loaded = load_settings(chosen.config, process_environment())
        asyncio.run(_serve(loaded))
    except (ConfigurationError, ArtifactError) as error:
        print(error, file=sys.stderr)  # noqa: T201 the last words of a process that can't start
        return EXIT_UNUSABLE
    return 0


async def _serve(loaded: LoadedSettings) -> None:
    settings = loaded.settings
    configure_logging(NAME, settings.logging.level)
    telemetry = start_telemetry(NAME, settings.telemetry)
    service = await asyncio.to_thread(build_service, loaded, telemetry=telemetry)
    await run_service(
        NAME,
        add_services=service.add,
        settings=settings.server,
        listen=settings.services.judge.listen,
        errors=error_table(),
        telemetry=telemetry,
        on_drain=service.aclose,
    )


if __name__ == "__main__":
    sys.exit(main())
