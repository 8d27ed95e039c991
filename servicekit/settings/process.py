"""The environment of this process: the one place that reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping


def process_environment() -> Mapping[str, str]:
    """A copy of the environment variables, for `load_settings`; taken when called."""
    return dict(os.environ)  # noqa: TID251 - this module is where the environment is read
