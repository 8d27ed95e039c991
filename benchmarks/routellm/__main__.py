"""Measures routing between two models by RouteLLM's protocol: ``python -m benchmarks.routellm --data DIR``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

NEEDED = ("lightgbm", "pyarrow", "scipy", "sklearn")


def main() -> None:
    """Measures every method on the tables there are, and writes the report. Without a package that it needs, says so and ends."""
    arguments = _arguments()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(f"skipped: {missing[0]} is not installed; it comes with `pip install -e '.[training]'`", file=sys.stderr)
        return
    from benchmarks.routellm.run import run  # noqa: PLC0415 needs the packages that were looked for above

    run(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routellm", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--table", action="append", choices=("mmlu", "gsm8k"), help="table to measure, may be repeated (default: both)")
    parser.add_argument("--fit-on", type=Path, help="another data directory: learn from all of its labels, measure on --data")
    parser.add_argument("--strong", default="gpt-4-turbo-2024-04-09", help="model of the learned router that stands for the strong one")
    parser.add_argument("--weak", default="Mixtral-8x7B-Instruct-v0.1", help="model of the learned router that stands for the weak one")
    parser.add_argument("--output", type=Path, default=Path(".emafusion/routellm"), help="folder of the report")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the published artifacts")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


if __name__ == "__main__":
    main()
