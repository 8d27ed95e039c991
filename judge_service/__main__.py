"""``python -m judge_service [--config PATH]``: serves the judges until SIGTERM."""

import sys

from judge_service.bootstrap import serve
from servicekit.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("judge_service", serve))
