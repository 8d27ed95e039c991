"""Certificate authorities and certificates in files, for tests of TLS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme
from blockbuster import BlockBuster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from servicekit.settings.serving import ClientTlsSettings, ServerTlsSettings
from tests.support.suite import blocking_allowed

CASCADE = "spiffe://emafusion.test/cascade"
"""A caller's name, as a mesh would give it."""


@dataclass(frozen=True)
class Party:
    """Files of one certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority with its files in ``folder``. ``buster`` is the fixture that forbids blocking calls elsewhere."""

    def __init__(self, folder: Path, buster: BlockBuster) -> None:
        self._folder = folder
        self._buster = buster
        self._authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.roots = folder / "roots.pem"
        with blocking_allowed(buster):
            folder.mkdir(parents=True, exist_ok=True)
            self.roots.write_bytes(self._authority.cert_pem.bytes())

    def issue(self, file: str, *names: str, not_after: datetime | None = None) -> Party:
        """A certificate for DNS names or IP addresses; written anew when it is there already."""
        leaf = self._authority.issue_cert(*names, not_after=not_after, key_type=trustme.KeyType.ECDSA)
        return self._written(file, leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())

    def issue_uri(self, file: str, uri: str) -> Party:
        """A certificate whose only name is a URI, as workload identities have."""
        key = ec.generate_private_key(ec.SECP256R1())
        roots = x509.load_pem_x509_certificate(self._authority.cert_pem.bytes())
        signer = serialization.load_pem_private_key(self._authority.private_key_pem.bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(roots.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(roots.not_valid_before_utc)
            .not_valid_after(roots.not_valid_after_utc)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
            .sign(signer, hashes.SHA256())
        )
        pem, form, locked = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self._written(file, certificate.public_bytes(pem), key.private_bytes(pem, form, locked))

    def _written(self, file: str, certificate: bytes, key: bytes) -> Party:
        party = Party(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        with blocking_allowed(self._buster):
            party.certificate.write_bytes(certificate)
            party.key.write_bytes(key)
        return party


def server_tls(party: Party, *, client_roots: Path | None = None) -> ServerTlsSettings:
    """`server.tls` with these files."""
    return ServerTlsSettings(
        certificate=str(party.certificate), private_key=str(party.key), client_roots=str(client_roots) if client_roots else None
    )


def client_tls(roots: Path, party: Party | None = None) -> ClientTlsSettings:
    """`services.tls` with these files."""
    if party is None:
        return ClientTlsSettings(roots=str(roots))
    return ClientTlsSettings(roots=str(roots), certificate=str(party.certificate), private_key=str(party.key))
