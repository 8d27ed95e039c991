"""Configuration of API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from servicekit.settings.base import Name, SecretRef, Section
from servicekit.settings.quotas import QuotaSettings

Scope = Literal["route", "judge", "complete", "feedback", "read", "usage"]
"""What a key may be used for."""


class ApiKeySettings(Section):
    """One API key. Only its hash is kept; `emafusion keys new` makes both."""

    id: Name
    """Name of the key, shown in logs and spans."""
    hash: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """`sha256:` and the hexadecimal hash of the key."""
    hash_from: SecretRef | None = None
    """Where that hash is kept instead. A file is read again when it changes."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=6)]
    """What the key may be used for."""
    expires: datetime | None = None
    """Moment from which on the key is refused, with its time zone, such as `2027-01-31T00:00:00Z`. Default: never."""
    quota: QuotaSettings | None = None
    """What the key may use. Default: `cascade.caller_limits.every_key`."""

    @model_validator(mode="after")
    def _one_hash_and_a_certain_time(self) -> ApiKeySettings:
        if (self.hash is None) == (self.hash_from is None):
            raise ValueError("exactly one of `hash` and `hash_from` must be set")
        if self.expires is not None and self.expires.tzinfo is None:
            raise ValueError("`expires` must have a time zone, such as 2027-01-31T00:00:00Z")
        return self


class AuthSettings(Section):
    """API keys: every call must bring one as `authorization: Bearer KEY`."""

    keys: Annotated[tuple[ApiKeySettings, ...], Field(max_length=10_000)] = ()
    """Keys that are known."""
    keys_file: str | None = Field(default=None, min_length=1)
    """YAML file with further `keys`, read again when it changes; relative to the configuration file. Default: none."""
    health_needs_key: bool = False
    """Health checks must bring a key too, of any scope."""
    reflection_needs_key: bool = True
    """Reflection must be asked for with a key, of any scope."""

    @model_validator(mode="after")
    def _some_key(self) -> AuthSettings:
        if not self.keys and self.keys_file is None:
            raise ValueError("`keys` or `keys_file` must be set, else nobody could call")
        return self


class KeysFile(Section):
    """Content of `server.auth.keys_file`."""

    keys: Annotated[tuple[ApiKeySettings, ...], Field(max_length=10_000)] = ()
    """Keys that are known."""
