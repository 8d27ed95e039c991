"""The client speaks TLS, and only to servers that the given roots vouch for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2_grpc
from emafusion_client import EmafusionClient, Tls
from emafusion_client.errors import Unavailable

from tests.support.client_fakes import FakeCascade


def _certificate(folder: Path) -> tuple[bytes, bytes]:
    """A fresh key and a certificate for localhost that it signed itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *request, *files], check=True, capture_output=True)  # noqa: S603 fixed arguments
    return key.read_bytes(), certificate.read_bytes()


@pytest.fixture
def pem(tmp_path: Path) -> tuple[bytes, bytes]:
    return _certificate(tmp_path)


async def test_calls_go_through_tls(pem: tuple[bytes, bytes]) -> None:
    server = grpc.aio.server()
    cascade_service_pb2_grpc.add_CascadeServiceServicer_to_server(FakeCascade(), server)
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pem]))
    await server.start()
    try:
        async with EmafusionClient(cascade=f"localhost:{port}", tls=Tls(root_certificates=pem[1])) as client:
            assert (await client.complete("hi", timeout_s=20)).text == "Paris"
        async with EmafusionClient(cascade=f"localhost:{port}", tls=Tls()) as stranger:
            with pytest.raises(Unavailable):
                await stranger.complete("hi", timeout_s=20)
        async with EmafusionClient(cascade=f"localhost:{port}") as plain:
            with pytest.raises(Unavailable):
                await plain.complete("hi", timeout_s=20)
    finally:
        await server.stop(grace=None)
