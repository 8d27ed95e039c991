"""TLS from PEM files: checked when read, and read again when they change, so that certificates are renewed without a restart."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import grpc
import structlog

from servicekit.settings.load import ConfigurationError
from servicekit.settings.schema import Problem
from servicekit.settings.serving import ClientTlsSettings, ServerTlsSettings

Stamp = tuple[tuple[int, int, int] | None, ...]
"""What tells a file from its successor: time of change, inode and size; None for a file that is not there."""

_log = structlog.get_logger(__name__)


def stamp_of(paths: Sequence[str]) -> Stamp:
    """The present state of the files. Blocks."""
    return tuple(_stamp(Path(path)) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


@dataclass(frozen=True, slots=True)
class PemTexts:
    """Contents of the files; None for one that is not configured."""

    certificate: bytes | None
    private_key: bytes | None
    roots: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PemFiles:
    """Paths of the files, and the configuration keys that name them."""

    section: str
    certificate: str | None
    private_key: str | None
    roots: str | None
    roots_key: str

    @classmethod
    def of_server(cls, tls: ServerTlsSettings) -> PemFiles:
        """The files of a server."""
        return cls(
            section="server.tls",
            certificate=tls.certificate,
            private_key=tls.private_key,
            roots=tls.client_roots,
            roots_key="client_roots",
        )

    @classmethod
    def of_client(cls, tls: ClientTlsSettings) -> PemFiles:
        """The files of whoever calls the services."""
        return cls(section="services.tls", certificate=tls.certificate, private_key=tls.private_key, roots=tls.roots, roots_key="roots")

    @property
    def paths(self) -> tuple[str, ...]:
        """Those that are configured."""
        return tuple(path for path in (self.certificate, self.private_key, self.roots) if path is not None)

    def read(self) -> PemTexts:
        """The contents. Blocks. Raises `ConfigurationError`, naming the file, unless they can be used and fit each other."""
        texts = PemTexts(
            self._read("certificate", self.certificate),
            self._read("private_key", self.private_key),
            self._read(self.roots_key, self.roots),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.certificate is not None:
            try:
                # An empty password keeps OpenSSL from asking at the terminal for that of an encrypted key.
                context.load_cert_chain(self.certificate, self.private_key, password=lambda: b"")
            except (ssl.SSLError, OSError) as error:
                what = f"{self.certificate} and the key in {self.private_key} can't be used together ({_cause(error)})"
                raise self._wrong("certificate", what) from None
        if self.roots is not None:
            try:
                context.load_verify_locations(cafile=self.roots)
            except (ssl.SSLError, OSError) as error:
                raise self._wrong(self.roots_key, f"{self.roots} holds no certificate in PEM ({_cause(error)})") from None
        return texts

    def _read(self, key: str, path: str | None) -> bytes | None:
        if path is None:
            return None
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise self._wrong(key, f"{path} can't be read ({error.strerror})") from None

    def _wrong(self, key: str, what: str) -> ConfigurationError:
        return ConfigurationError([Problem(f"{self.section}.{key}", what)])


def _cause(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__


class ServerCertificates:
    """The certificate that a server presents; a new one as soon as the files have changed and are right."""

    def __init__(self, files: PemFiles) -> None:
        self._files = files
        self._lock = Lock()
        self._stamp = stamp_of(files.paths)
        self.initial = _configuration(files.read())

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC's own threads before each handshake: what to use from now on, None for no change.

        Files that are wrong, such as those of which only the first is replaced yet, change nothing and are looked at again.
        """
        with self._lock:
            stamp = stamp_of(self._files.paths)
            if stamp == self._stamp:
                return None
            try:
                fresh = _configuration(self._files.read())
            except ConfigurationError as error:
                _log.warning("certificate_not_replaced", cause=str(error.problems[0]))
                return None
            if stamp_of(self._files.paths) != stamp:
                return None  # still being written
            self._stamp = stamp
        _log.info("certificate_replaced", certificate=self._files.certificate)
        return fresh


def server_credentials(tls: ServerTlsSettings) -> grpc.ServerCredentials:
    """Credentials that follow the files. Blocks. Raises `ConfigurationError` when the files can't be used."""
    certificates = ServerCertificates(PemFiles.of_server(tls))
    return grpc.dynamic_ssl_server_credentials(
        certificates.initial,
        certificates.fetch,  # pyright: ignore[reportArgumentType] - grpc's documentation allows None, its stubs forgot it
        require_client_authentication=tls.client_roots is not None,
    )


def channel_credentials(tls: ClientTlsSettings) -> grpc.ChannelCredentials:
    """Credentials from the files as they are now. Blocks. Raises `ConfigurationError` when the files can't be used."""
    texts = PemFiles.of_client(tls).read()
    return grpc.ssl_channel_credentials(texts.roots, texts.private_key, texts.certificate)


def _configuration(texts: PemTexts) -> grpc.ServerCertificateConfiguration:
    pair = (texts.private_key or b"", texts.certificate or b"")
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=texts.roots)
