"""API keys: made once, kept as hashes, compared in constant time, and known anew when the files that list them change.

A key is 256 random bits, so a plain sha256 of it can't be reversed by trying; a slow hash is for passwords that people choose.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
import yaml
from pydantic import ValidationError

from servicekit.settings.auth import ApiKeySettings, AuthSettings, KeysFile
from servicekit.settings.load import ConfigurationError
from servicekit.settings.quotas import QuotaSettings
from servicekit.settings.schema import Problem, dotted
from servicekit.settings.secrets import SecretMissing, SecretSource
from servicekit.tls import Stamp, stamp_of

PREFIX: Final = "emf_"
_KEY_BYTES: Final = 32
_PRESENTED_CHARS_MAX: Final = 512
_FILE_BYTES_MAX: Final = 4 << 20
_HASH: Final = "sha256:"
_HASH_CHARS: Final = len(_HASH) + 64
LOOK_EVERY_S: Final = 1.0

_log = structlog.get_logger(__name__)


def new_key() -> str:
    """A fresh key."""
    return PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def hash_of(key: str) -> str:
    """What the configuration keeps of a key."""
    return _HASH + hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as the server knows it."""

    id: str
    hash: str
    scopes: frozenset[str]
    expires: datetime | None
    quota: QuotaSettings | None = None

    def expired(self, now: datetime) -> bool:
        """True from the moment of expiry on."""
        return self.expires is not None and now >= self.expires


def read_keys(auth: AuthSettings, source: SecretSource) -> tuple[KnownKey, ...]:
    """All keys. Blocks. Raises `ConfigurationError` when a file or a hash can't be used."""
    listed = [(f"server.auth.keys.{index}", key) for index, key in enumerate(auth.keys)]
    if auth.keys_file is not None:
        listed += [(f"server.auth.keys_file: {auth.keys_file}: keys.{index}", key) for index, key in enumerate(_file(auth.keys_file))]
    twice = sorted(name for name, count in Counter(key.id for _, key in listed).items() if count > 1)
    if twice:
        raise _wrong("server.auth.keys", f"ids must be unique, given twice: {', '.join(twice)}")
    return tuple(KnownKey(key.id, _hash(where, key, source), frozenset(key.scopes), key.expires, key.quota) for where, key in listed)


def _file(path: str) -> tuple[ApiKeySettings, ...]:
    where = "server.auth.keys_file"
    try:
        with Path(path).open("rb") as file:
            data = yaml.safe_load(file.read(_FILE_BYTES_MAX))
        return KeysFile.model_validate(data).keys
    except OSError as error:
        raise _wrong(where, f"{path} can't be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise _wrong(where, f"{path} is not valid YAML") from None
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise ConfigurationError(
            [Problem(where, f"{path}: {dotted(detail['loc'], None)}: {detail['msg']}") for detail in details]
        ) from None


def _hash(where: str, key: ApiKeySettings, source: SecretSource) -> str:
    if key.hash_from is None:
        return key.hash or ""
    try:
        value = source.read(key.hash_from).reveal()
    except SecretMissing as error:
        raise _wrong(f"{where}.hash_from", str(error)) from None
    digits = value.removeprefix(_HASH)
    if len(value) != _HASH_CHARS or not value.startswith(_HASH) or set(digits) - set("0123456789abcdef"):
        raise _wrong(f"{where}.hash_from", "what is kept there is not `sha256:` and 64 hexadecimal digits")
    return value


def _wrong(where: str, what: str) -> ConfigurationError:
    return ConfigurationError([Problem(where, what)])


class KeyRing:
    """The keys that a server knows. The first reading blocks and raises `ConfigurationError`."""

    def __init__(self, auth: AuthSettings, source: SecretSource) -> None:
        self._auth = auth
        self._source = source
        hashes = [source.path_of(key.hash_from) for key in auth.keys if key.hash_from is not None]
        self._paths = tuple(str(path) for path in (auth.keys_file, *hashes) if path is not None)
        self._stamp: Stamp = stamp_of(self._paths)
        self._keys = read_keys(auth, source)

    def find(self, presented: str) -> KnownKey | None:
        """The key that was presented; None when it is not known. Takes as long for a key that is nearly right as for any other."""
        if len(presented) > _PRESENTED_CHARS_MAX:
            return None
        digest = hash_of(presented)
        found: KnownKey | None = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.hash):
                found = key
        return found

    async def follow(self, look_every_s: float = LOOK_EVERY_S) -> None:
        """Looks at the files until cancelled. While they are wrong the keys stay as they were, and a warning is logged."""
        complained: Stamp | None = None
        while self._paths:
            await asyncio.sleep(look_every_s)
            stamp = await asyncio.to_thread(stamp_of, self._paths)
            if stamp in {self._stamp, complained}:
                continue
            try:
                self._keys = await asyncio.to_thread(read_keys, self._auth, self._source)
            except ConfigurationError as error:
                complained = stamp
                _log.warning("keys_not_replaced", cause=str(error.problems[0]))
            else:
                self._stamp = stamp
                _log.info("keys_replaced", keys=len(self._keys))
