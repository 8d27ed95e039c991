"""What a service shows to the others when it calls them: its certificate and its API key, read again when they change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc

from servicekit.settings.base import SecretRef
from servicekit.settings.load import ConfigurationError, LoadedSettings
from servicekit.settings.schema import Problem
from servicekit.settings.secrets import Secret, SecretMissing, SecretSource
from servicekit.settings.serving import ClientTlsSettings
from servicekit.tls import PemFiles, Stamp, channel_credentials, stamp_of


@dataclass(frozen=True, slots=True)
class Shown:
    """Credentials as read: for the connection, None without TLS, and the key that each call carries, if any."""

    connection: grpc.ChannelCredentials | None = None
    key: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCredentials:
    """Where the credentials are kept."""

    tls: ClientTlsSettings | None = None
    api_key: SecretRef | None = None
    secrets: SecretSource | None = None

    @classmethod
    def of(cls, loaded: LoadedSettings) -> PeerCredentials:
        """Those that the configuration names for the services."""
        services = loaded.settings.services
        return cls(tls=services.tls, api_key=services.api_key, secrets=loaded.secrets)

    @property
    def paths(self) -> tuple[str, ...]:
        """Files that are looked at again."""
        files = PemFiles.of_client(self.tls).paths if self.tls is not None else ()
        kept = self.secrets.path_of(self.api_key) if self.secrets is not None and self.api_key is not None else None
        return files if kept is None else (*files, str(kept))

    def stamp(self) -> Stamp:
        """State of the files. Blocks."""
        return stamp_of(self.paths)

    def read(self) -> Shown:
        """The credentials as they are now. Blocks. Raises `ConfigurationError`."""
        connection = channel_credentials(self.tls) if self.tls is not None else None
        if self.api_key is None or self.secrets is None:
            return Shown(connection)
        try:
            return Shown(connection, self.secrets.read(self.api_key))
        except SecretMissing as error:
            raise ConfigurationError([Problem("services.api_key", str(error))]) from None


NO_CREDENTIALS: Final = PeerCredentials()
"""Calls are made in clear text and without a key."""
