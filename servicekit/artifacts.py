"""Artifacts: folders that training publishes and services load, each with a `manifest.json` that names its files and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

MANIFEST_NAME: Final = "manifest.json"
_READ_BYTES: Final = 1 << 20


class ArtifactError(Exception):
    """An artifact is missing or not what its manifest says. The text names the file and the command that mends it."""


class ManifestFile(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")]
    """Relative to the artifact's folder."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the whole file."""
    bytes: Annotated[int, Field(ge=0)]
    """Size."""


class Manifest(BaseModel):
    """What an artifact is, where it comes from and how good it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """Name of the artifact, usually that of its folder."""
    version: Annotated[str, Field(min_length=1, max_length=128)]
    """Changes whenever a file does."""
    files: tuple[ManifestFile, ...]
    """Every file of the artifact but the manifest itself."""
    created_by: str
    """Module that wrote it, such as `training.taxonomy`."""
    command: str
    """Command line that makes it again."""
    data: dict[str, JsonValue] = Field(default_factory=dict)
    """Data it was made from: names, hashes, row counts, splits."""
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    """How good it is, on held-out data."""
    licence: str
    """Licence of the files."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """What a service needs to know to use it: label names, thresholds, temperatures."""

    @property
    def fingerprint(self) -> str:
        """sha256 over the hashes of all files, first 12 hex digits: two artifacts with the same fingerprint decide alike."""
        lines = "".join(f"{file.path}:{file.sha256}\n" for file in sorted(self.files, key=lambda file: file.path))
        return hashlib.sha256(lines.encode()).hexdigest()[:12]


def load_manifest(folder: Path) -> Manifest:
    """The manifest of the artifact, after checking that every file it lists is there, whole and unchanged.

    Reads every file once; blocks, so call it before serving or in a thread. Raises `ArtifactError`.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; mend it with {_restore(folder)}") from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be read ({error.strerror}); mend it with {_restore(folder)}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{path} is not a manifest ({where or 'content'}: {first['msg']}); mend it with {_restore(folder)}") from error
    for file in manifest.files:
        _check_file(folder, file, manifest)
    return manifest


def _check_file(folder: Path, file: ManifestFile, manifest: Manifest) -> None:
    path = folder / file.path
    mend = f"mend it with {_restore(folder)} or make it again with `{manifest.command}`"
    try:
        size = path.stat().st_size
        digest = sha256_of(path) if size == file.bytes else ""
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; {mend}") from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be read ({error.strerror}); {mend}") from error
    if size != file.bytes:
        raise ArtifactError(f"{path} has {size:,} bytes, its manifest says {file.bytes:,}; {mend}")
    if digest != file.sha256:
        raise ArtifactError(f"{path} has sha256 {digest[:12]}…, its manifest says {file.sha256[:12]}…; {mend}")


def write_manifest(
    folder: Path,
    *,
    name: str,
    version: str | None = None,
    files: Sequence[str],
    created_by: str,
    command: str,
    licence: str,
    data: Mapping[str, JsonValue] | None = None,
    metrics: Mapping[str, JsonValue] | None = None,
    parameters: Mapping[str, JsonValue] | None = None,
) -> Manifest:
    """Writes `manifest.json` for the `files` in `folder` (relative paths) and returns it. `version` defaults to the day in UTC."""
    manifest = Manifest(
        name=name,
        version=version or datetime.now(UTC).strftime("%Y.%m.%d"),
        files=tuple(
            ManifestFile(path=file, sha256=sha256_of(folder / file), bytes=(folder / file).stat().st_size) for file in sorted(files)
        ),
        created_by=created_by,
        command=command,
        data=dict(data or {}),
        metrics=dict(metrics or {}),
        licence=licence,
        parameters=dict(parameters or {}),
    )
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def sha256_of(path: Path) -> str:
    """Hash of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _restore(folder: Path) -> str:
    return f"`git checkout -- artifacts/{folder.name}`"
