"""TLS as callers and servers meet it: real handshakes with certificates made here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from blockbuster import BlockBuster
from emafusion.router.v1 import router_service_pb2 as pb
from emafusion.router.v1 import router_service_pb2_grpc as rpc
from emafusion_cli.health import service_ready
from emafusion_cli.surroundings import Address
from emafusion_client import Tls

from servicekit.access import AccessRules, check_caller
from servicekit.channels import open_channel
from servicekit.credentials import PeerCredentials
from servicekit.errors import AccessRefused, Reason, read_status
from servicekit.settings.load import ConfigurationError
from servicekit.settings.serving import ClientTlsSettings, ServerTlsSettings
from servicekit.telemetry import Telemetry
from tests.support.certificates import CASCADE, Authority, Party, client_tls, server_tls
from tests.support.servers import QUICK, Served, serve
from tests.support.suite import blocking_allowed

ROUTER = "emafusion.router.v1.RouterService"
EXPIRED = datetime(2020, 1, 1, tzinfo=UTC)


class Router(rpc.RouterServiceServicer):
    async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        return pb.RouteResponse()

    async def BatchRoute(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise NotImplementedError

    def add(self, server: grpc.aio.Server) -> Sequence[str]:
        rpc.add_RouterServiceServicer_to_server(self, server)
        return [ROUTER]


@dataclass(frozen=True)
class Scene:
    """An authority that everybody trusts, one that nobody does, and a channel for whoever calls."""

    authority: Authority
    stranger: Authority
    server: Party
    buster: BlockBuster

    def channel(self, served: Served, tls: ClientTlsSettings) -> grpc.aio.Channel:
        with blocking_allowed(self.buster):
            return open_channel(
                served.target, server=QUICK, service_names=[ROUTER], telemetry=Telemetry.off(), credentials=PeerCredentials(tls=tls)
            )


@pytest.fixture
def scene(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> Scene:
    buster = blocked_event_loop_is_an_error
    authority = Authority(tmp_path / "ours", buster)
    return Scene(authority, Authority(tmp_path / "theirs", buster), authority.issue("server", "127.0.0.1"), buster)


def serving(tls: ServerTlsSettings, *, callers: frozenset[str] = frozenset()) -> Any:
    return serve(Router().add, settings=QUICK.model_copy(update={"tls": tls}), access=AccessRules(callers=callers))


async def route(channel: grpc.aio.Channel) -> None:
    await rpc.RouterServiceStub(channel).Route(pb.RouteRequest(), timeout=20)


async def refused(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await route(channel)
    return caught.value


async def test_calls_go_through_tls_and_plain_ones_do_not(scene: Scene) -> None:
    async with serving(server_tls(scene.server)) as served:
        async with scene.channel(served, client_tls(scene.authority.roots)) as channel:
            await route(channel)
        assert (await refused(served.channel)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_another_authority_is_not_spoken_to(scene: Scene) -> None:
    async with serving(server_tls(scene.server)) as served, scene.channel(served, client_tls(scene.stranger.roots)) as channel:
        error = await refused(channel)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_with_an_expired_certificate_is_not_spoken_to(scene: Scene) -> None:
    old = scene.authority.issue("old", "127.0.0.1", not_after=EXPIRED)
    async with serving(server_tls(old)) as served, scene.channel(served, client_tls(scene.authority.roots)) as channel:
        assert (await refused(channel)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_with_the_certificate_of_another_host_is_not_spoken_to(scene: Scene) -> None:
    elsewhere = scene.authority.issue("elsewhere", "elsewhere.test")
    async with serving(server_tls(elsewhere)) as served, scene.channel(served, client_tls(scene.authority.roots)) as channel:
        assert (await refused(channel)).code() is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls_takes_callers_of_its_own_authority_only(scene: Scene) -> None:
    known = scene.authority.issue("caller", "cascade.test")
    expired = scene.authority.issue("expired", "cascade.test", not_after=EXPIRED)
    unknown = scene.stranger.issue("caller", "cascade.test")
    async with serving(server_tls(scene.server, client_roots=scene.authority.roots)) as served:
        async with scene.channel(served, client_tls(scene.authority.roots, known)) as channel:
            await route(channel)
        for party in (None, unknown, expired):
            async with scene.channel(served, client_tls(scene.authority.roots, party)) as channel:
                assert (await refused(channel)).code() is grpc.StatusCode.UNAVAILABLE


async def test_only_listed_names_may_call(scene: Scene) -> None:
    allowed = frozenset({CASCADE, "cascade.test"})
    callers = {
        "uri": scene.authority.issue_uri("uri", CASCADE),
        "dns": scene.authority.issue("dns", "cascade.test"),
        "other": scene.authority.issue("other", "judge.test"),
        "other uri": scene.authority.issue_uri("other-uri", f"{CASCADE}/more"),
    }
    outcomes: dict[str, str] = {}
    async with serving(server_tls(scene.server, client_roots=scene.authority.roots), callers=allowed) as served:
        for name, party in callers.items():
            async with scene.channel(served, client_tls(scene.authority.roots, party)) as channel:
                try:
                    await route(channel)
                    outcomes[name] = "OK"
                except grpc.aio.AioRpcError as error:
                    outcomes[name] = f"{error.code().name} {read_status(error).reason}"
    denied = f"PERMISSION_DENIED {Reason.CALLER_NOT_ALLOWED}"
    assert outcomes == {"uri": "OK", "dns": "OK", "other": denied, "other uri": denied}


@pytest.mark.parametrize(
    ("identity", "allowed"),
    [
        ({"peer_dns": [b"cascade.test"]}, True),
        ({"peer_uri": [b"urn:emafusion:cascade"]}, True),
        ({"peer_dns": [b"judge.test", b"cascade.test"]}, True),
        ({"peer_uri": [b"cascade.test"]}, False),
        ({"peer_dns": [b"urn:emafusion:cascade"]}, False),
        ({"x509_common_name": [b"cascade.test"], "peer_email": [b"cascade.test"]}, False),
        ({"peer_dns": [b"cascade.test.evil"]}, False),
        ({}, False),
    ],
)
def test_a_name_counts_as_what_it_is(identity: dict[str, list[bytes]], allowed: bool) -> None:
    callers = frozenset({"cascade.test", "urn:emafusion:cascade"})
    if allowed:
        check_caller(callers, identity)
    else:
        with pytest.raises(AccessRefused):
            check_caller(callers, identity)


async def test_health_is_asked_through_tls(scene: Scene) -> None:
    caller = scene.authority.issue("caller", "prober.test")
    with blocking_allowed(scene.buster):
        roots = scene.authority.roots.read_bytes()
        tls = Tls(root_certificates=roots, private_key=caller.key.read_bytes(), certificate_chain=caller.certificate.read_bytes())
    mutual = server_tls(scene.server, client_roots=scene.authority.roots)
    async with serving(mutual, callers=frozenset({"cascade.test"})) as served:
        assert await asyncio.to_thread(service_ready, Address(target=served.target, tls=tls))
        assert not await asyncio.to_thread(service_ready, Address(target=served.target, tls=Tls(root_certificates=roots)))
        assert not await asyncio.to_thread(service_ready, Address(target=served.target))


async def test_a_new_certificate_is_served_without_a_restart(scene: Scene, tmp_path: Path) -> None:
    successor = Authority(tmp_path / "successor", scene.buster)
    async with serving(server_tls(scene.server)) as served:
        async with scene.channel(served, client_tls(scene.authority.roots)) as before:
            await route(before)
            fresh = successor.issue("server", "127.0.0.1")
            with blocking_allowed(scene.buster):
                fresh.certificate.replace(scene.server.certificate)
            # Half of a change is none: the old certificate is served on until its successor's key is there too.
            async with scene.channel(served, client_tls(scene.authority.roots)) as halfway:
                await route(halfway)
            with blocking_allowed(scene.buster):
                fresh.key.replace(scene.server.key)
            async with scene.channel(served, client_tls(successor.roots)) as after:
                await route(after)
            await route(before)  # the connection that was there goes on
        async with scene.channel(served, client_tls(scene.authority.roots)) as old:
            assert (await refused(old)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_channel_shows_its_new_certificate_without_a_restart(scene: Scene) -> None:
    caller = scene.authority.issue("caller", "judge.test")
    mutual = server_tls(scene.server, client_roots=scene.authority.roots)
    async with (
        serving(mutual, callers=frozenset({"cascade.test"})) as served,
        scene.channel(served, client_tls(scene.authority.roots, caller)) as channel,
    ):
        assert (await refused(channel)).code() is grpc.StatusCode.PERMISSION_DENIED
        scene.authority.issue("caller", "cascade.test")
        async with asyncio.timeout(60):
            while (code := await code_of(channel)) is not grpc.StatusCode.OK:
                assert code is grpc.StatusCode.PERMISSION_DENIED
                await asyncio.sleep(0.05)


async def code_of(channel: grpc.aio.Channel) -> grpc.StatusCode:
    try:
        await route(channel)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("server.pem", None, "server.tls.certificate: {certificate} can't be read"),
        ("server.key", None, "server.tls.private_key: {key} can't be read"),
        ("server.pem", "not PEM", "server.tls.certificate: {certificate} and the key in {key}"),
        ("server.key", "not PEM", "server.tls.certificate: {certificate} and the key in {key}"),
    ],
)
async def test_files_that_can_not_be_used_are_configuration_errors(scene: Scene, file: str, content: str | None, named: str) -> None:
    path = scene.server.certificate.parent / file
    with blocking_allowed(scene.buster):
        path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        async with serving(server_tls(scene.server)):
            pass
    assert named.format(certificate=scene.server.certificate, key=scene.server.key) in str(caught.value)


async def test_the_key_of_another_certificate_and_roots_that_are_none_are_configuration_errors(scene: Scene) -> None:
    other = scene.authority.issue("other", "127.0.0.1")
    with pytest.raises(ConfigurationError, match="can't be used together"):
        async with serving(server_tls(Party(scene.server.certificate, other.key))):
            pass
    with pytest.raises(ConfigurationError, match=r"server\.tls\.client_roots: .*server\.key holds no certificate"):
        async with serving(server_tls(scene.server, client_roots=scene.server.key)):
            pass
    with pytest.raises(ConfigurationError, match=r"services\.tls\.roots: .*server\.key holds no certificate"):
        async with serving(server_tls(scene.server)) as served:
            scene.channel(served, client_tls(scene.server.key))
