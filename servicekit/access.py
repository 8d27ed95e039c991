"""Who may call a service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from servicekit.errors import AccessRefused, Reason, StatusSpec

_DNS_NAMES: Final = "peer_dns"
_URI_NAMES: Final = "peer_uri"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What one service asks of its callers.

    ``callers`` are names of which the certificate of a caller must have one; with none, every certificate that TLS accepted will do.
    """

    callers: frozenset[str] = frozenset()


NO_ACCESS_RULES: Final = AccessRules()
"""Everybody may call."""


def check_caller(callers: frozenset[str], identity: Mapping[str, Sequence[bytes]]) -> None:
    """Raises `AccessRefused` unless a certificate's name is among ``callers``. ``identity`` is gRPC's authentication context.

    Only DNS and URI names count, each as what it is: a DNS name that reads like a URI is none.
    """
    dns = {name.decode(errors="replace") for name in identity.get(_DNS_NAMES, ())}
    uris = {name.decode(errors="replace") for name in identity.get(_URI_NAMES, ())}
    allowed_uris = {name for name in callers if "://" in name}
    if dns & (callers - allowed_uris) or uris & allowed_uris:
        return
    message = "the caller's certificate has none of the names that this service allows"
    names = ", ".join(sorted(dns | uris)) or "none"
    raise AccessRefused(
        message, StatusSpec(grpc.StatusCode.PERMISSION_DENIED, Reason.CALLER_NOT_ALLOWED, metadata={"certificate_names": names})
    )
