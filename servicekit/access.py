"""Who may call a service: names of certificates, API keys and their scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import grpc

from servicekit.errors import AccessRefused, Reason, StatusSpec
from servicekit.keys import KeyRing, KnownKey
from servicekit.settings.auth import Scope
from servicekit.settings.secrets import SecretSource

KEY_HEADER: Final = "authorization"
_SCHEME: Final = "bearer"
_DNS_NAMES: Final = "peer_dns"
_URI_NAMES: Final = "peer_uri"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What one service asks of its callers.

    ``callers`` are names of which the certificate of a caller must have one; with none, every certificate that TLS accepted will do.
    ``scopes`` say what a key must be good for, by `package.Service/Method`; a method that is not listed is good for no key.
    ``secrets`` reads hashes of keys that are kept elsewhere.
    """

    callers: frozenset[str] = frozenset()
    scopes: Mapping[str, Scope] = field(default_factory=dict[str, Scope])
    secrets: SecretSource | None = None


NO_ACCESS_RULES: Final = AccessRules()
"""Everybody may call, as long as no keys are configured."""


def bearer(key: str) -> tuple[str, str]:
    """The metadata that presents a key."""
    return (KEY_HEADER, f"Bearer {key}")


def check_caller(callers: frozenset[str], identity: Mapping[str, Sequence[bytes]]) -> None:
    """Raises `AccessRefused` unless a certificate's name is among ``callers``. ``identity`` is gRPC's authentication context.

    Only DNS and URI names count, each as what it is: a DNS name that reads like a URI is none.
    """
    dns = {name.decode(errors="replace") for name in identity.get(_DNS_NAMES, ())}
    uris = {name.decode(errors="replace") for name in identity.get(_URI_NAMES, ())}
    allowed_uris = {name for name in callers if ":" in name}
    if dns & (callers - allowed_uris) or uris & allowed_uris:
        return
    names = ", ".join(sorted(dns | uris)) or "none"
    message = "the caller's certificate has none of the names that this service allows"
    raise _denied(message, Reason.CALLER_NOT_ALLOWED, certificate_names=names)


def find_key(ring: KeyRing, metadata: Iterable[tuple[str, str | bytes]]) -> KnownKey:
    """The key that the call presents. Raises `AccessRefused`; its text never has the key."""
    presented = [value for key, value in metadata if key == KEY_HEADER and isinstance(value, str)]
    scheme, _, key = presented[0].partition(" ") if len(presented) == 1 else ("", "", "")
    if scheme.lower() != _SCHEME or not key.strip():
        raise _unknown("this service needs an API key, sent once as `authorization: Bearer KEY`", Reason.API_KEY_MISSING)
    found = ring.find(key.strip())
    if found is None:
        raise _unknown("the API key is not known", Reason.API_KEY_UNKNOWN)
    return found


def check_expiry(key: KnownKey, *, now: datetime) -> None:
    """Raises `AccessRefused` when the key has expired."""
    if key.expired(now):
        expired = key.expires.astimezone(UTC).isoformat() if key.expires else ""
        raise _unknown(f"the API key `{key.id}` expired at {expired}", Reason.API_KEY_EXPIRED, key_id=key.id)


def check_scope(key: KnownKey, scope: Scope | None) -> None:
    """Raises `AccessRefused` when the key is not good for ``scope``; None is what no key is good for."""
    if scope is None or scope not in key.scopes:
        needed = scope or "none that exists"
        message = f"the API key `{key.id}` lacks the scope `{needed}`; it has: {', '.join(sorted(key.scopes))}"
        raise _denied(message, Reason.SCOPE_MISSING, key_id=key.id, scope=needed)


def _unknown(message: str, reason: Reason, **metadata: str) -> AccessRefused:
    return AccessRefused(message, StatusSpec(grpc.StatusCode.UNAUTHENTICATED, reason, metadata=metadata))


def _denied(message: str, reason: Reason, **metadata: str) -> AccessRefused:
    return AccessRefused(message, StatusSpec(grpc.StatusCode.PERMISSION_DENIED, reason, metadata=metadata))
