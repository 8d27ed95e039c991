"""Secrets: read where the configuration says they are kept, and never shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from servicekit.settings.base import SecretRef

_FILE_BYTES_MAX: Final = 64 * 1024


class SecretMissing(Exception):
    """The place that a `SecretRef` names holds no secret. The text names the place, never a value."""


class Secret:
    """A secret that shows as `***` wherever it is printed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself. Hand it to the one call that needs it."""
        return self._value

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class SecretSource:
    """Reads secrets from the environment and from files; relative paths start at ``base``, the folder of the configuration file."""

    def __init__(self, environ: Mapping[str, str], base: Path) -> None:
        self._environ = environ
        self._base = base

    def read(self, ref: SecretRef) -> Secret:
        """The secret, without surrounding white space. Blocks on a file. Raises `SecretMissing`."""
        if ref.env is not None:
            value = self._environ.get(ref.env, "").strip()
            if not value:
                raise SecretMissing(f"environment variable {ref.env} is not set")
            return Secret(value)
        path = self._base / (ref.file or "")
        try:
            with path.open("rb") as file:
                lines = file.read(_FILE_BYTES_MAX).decode().splitlines()
        except OSError as error:
            raise SecretMissing(f"file {path} can't be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise SecretMissing(f"file {path} is not UTF-8 text") from None
        value = lines[0].strip() if lines else ""
        if not value:
            raise SecretMissing(f"file {path} is empty")
        return Secret(value)

    def path_of(self, ref: SecretRef) -> Path | None:
        """The file that holds the secret; None for one in the environment."""
        return None if ref.file is None else self._base / ref.file

    def missing(self, ref: SecretRef) -> str:
        """Why the secret can't be read; empty when it can."""
        try:
            self.read(ref)
        except SecretMissing as error:
            return str(error)
        return ""
