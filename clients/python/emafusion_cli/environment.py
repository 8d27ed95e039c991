"""The one place where the command line reads its process environment; everything below takes it as an argument."""

from __future__ import annotations

import os


def process_environment() -> dict[str, str]:
    """A copy of the environment of this process."""
    return dict(os.environ)  # noqa: TID251 a command line needs the environment to hand it on to load_settings and to child processes
