"""Generates the Python stubs from the contracts; with ``--check`` it only says whether the committed ones are current.

Runs grpc_tools with ``protos`` as include root, so that proto directory, proto package and Python package are the same.
"""

from __future__ import annotations

import argparse
import filecmp
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
STUBS = PROTOS / "gen"


def generate(target: Path) -> None:
    """Writes all stubs below ``target``. Raises ``SystemExit`` when protoc refuses a contract."""
    contracts = sorted(PROTOS.glob("emafusion/**/*.proto"))
    services = [path for path in contracts if path.name.endswith("_service.proto")]
    well_known = str(files("grpc_tools") / "_proto")
    _protoc(["-I", str(PROTOS), "-I", well_known, f"--python_out={target}", f"--pyi_out={target}"], contracts)
    _protoc(["-I", str(PROTOS), "-I", well_known, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"], services)
    root = target / "emafusion"
    for folder in {root, *(path for path in root.rglob("*") if path.is_dir())}:
        (folder / "__init__.py").touch()


def _protoc(options: list[str], contracts: list[Path]) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, *map(str, contracts)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - our own contracts
    if code != 0:
        sys.exit(f"protoc failed with exit code {code}")


def stale(fresh: Path, committed: Path) -> list[str]:
    """Names of the stubs that differ between the two trees or stand in one only, sorted."""
    names = {path.relative_to(tree) for tree in (fresh, committed) for path in tree.rglob("*.py*") if "__pycache__" not in path.parts}
    return sorted(str(name) for name in names if not _same(fresh / name, committed / name))


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when a stub is stale")
    if parser.parse_args().check:
        with tempfile.TemporaryDirectory() as fresh:
            generate(Path(fresh))
            if names := stale(Path(fresh), STUBS):
                sys.exit("stale stubs, run `make gen`:\n  " + "\n  ".join(names))
        return
    STUBS.mkdir(exist_ok=True)
    generate(STUBS)


if __name__ == "__main__":
    main()
