"""``python -m cascade_service [--config PATH]``: serves the cascade until SIGTERM."""

import sys

from cascade_service.bootstrap import serve
from cascade_service.domain.errors import StoreUnavailable
from servicekit.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("cascade_service", serve, obstacles=(StoreUnavailable,)))
