"""``python -m router_service [--config PATH]``: serves the router until SIGTERM."""

import sys

from router_service.bootstrap import serve
from router_service.domain.errors import ArtifactMismatch
from servicekit.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("router_service", serve, obstacles=(ArtifactMismatch,)))
