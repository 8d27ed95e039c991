"""API keys as callers meet them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import yaml
from blockbuster import BlockBuster
from emafusion.router.v1 import router_service_pb2 as pb
from emafusion.router.v1 import router_service_pb2_grpc as rpc
from emafusion_cli.health import service_ready
from emafusion_cli.surroundings import Address
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit import semconv
from servicekit.access import AccessRules, bearer
from servicekit.channels import open_channel
from servicekit.credentials import PeerCredentials
from servicekit.errors import Reason, read_status
from servicekit.keys import hash_of, new_key
from servicekit.settings.auth import ApiKeySettings, AuthSettings
from servicekit.settings.base import SecretRef
from servicekit.settings.load import ConfigurationError
from servicekit.settings.secrets import SecretSource
from servicekit.telemetry import Telemetry
from tests.support.servers import QUICK, Served, serve
from tests.support.spans import record_telemetry
from tests.support.suite import blocking_allowed

ROUTER = "emafusion.router.v1.RouterService"
KEY = new_key()
PAST, FUTURE = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(days=1)


class Router(rpc.RouterServiceServicer):
    async def Route(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        return pb.RouteResponse()

    async def BatchRoute(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        return pb.BatchRouteResponse()

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        return pb.ListModelsResponse()

    def add(self, server: grpc.aio.Server) -> Sequence[str]:
        rpc.add_RouterServiceServicer_to_server(self, server)
        return [ROUTER]


def listed(key: str = KEY, *, name: str = "web", scopes: Sequence[str] = ("route",), expires: datetime | None = None) -> ApiKeySettings:
    return ApiKeySettings.model_validate({"id": name, "hash": hash_of(key), "scopes": scopes, "expires": expires})


def serving(auth: AuthSettings, *, folder: Path = Path(), telemetry: Telemetry | None = None) -> AbstractAsyncContextManager[Served]:
    rules = AccessRules(scopes={f"{ROUTER}/Route": "route", f"{ROUTER}/ListModels": "read"}, secrets=SecretSource({}, folder))
    return serve(Router().add, settings=QUICK.model_copy(update={"auth": auth}), access=rules, telemetry=telemetry)


async def outcome(served: Served, *metadata: tuple[str, str], method: str = "Route") -> str:
    stub = rpc.RouterServiceStub(served.channel)
    calls: dict[str, Any] = {"Route": pb.RouteRequest(), "ListModels": pb.ListModelsRequest(), "BatchRoute": pb.BatchRouteRequest()}
    try:
        await getattr(stub, method)(calls[method], metadata=metadata, timeout=20)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {read_status(error).reason}"
    return "OK"


MISSING = f"UNAUTHENTICATED {Reason.API_KEY_MISSING}"
UNKNOWN = f"UNAUTHENTICATED {Reason.API_KEY_UNKNOWN}"
EXPIRED = f"UNAUTHENTICATED {Reason.API_KEY_EXPIRED}"
DENIED = f"PERMISSION_DENIED {Reason.SCOPE_MISSING}"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((bearer(KEY),), "OK"),
        ((("authorization", f"bearer  {KEY} "),), "OK"),
        ((), MISSING),
        ((("authorization", KEY),), MISSING),
        ((("authorization", "Bearer "),), MISSING),
        ((("authorization", f"Basic {KEY}"),), MISSING),
        ((bearer(KEY), bearer(KEY)), MISSING),
        ((bearer(KEY[:-1]),), UNKNOWN),
        ((bearer(hash_of(KEY)),), UNKNOWN),
        ((bearer(KEY + "x" * 5_000),), UNKNOWN),
    ],
)
async def test_a_call_needs_one_known_key(metadata: tuple[tuple[str, str], ...], expected: str) -> None:
    async with serving(AuthSettings(keys=(listed(),))) as served:
        assert await outcome(served, *metadata) == expected


async def test_a_key_is_good_until_it_expires_and_for_its_scopes() -> None:
    old, both = new_key(), new_key()
    known = (
        listed(expires=FUTURE),
        listed(old, name="old", expires=PAST),
        listed(both, name="both", scopes=("read", "route")),
    )
    async with serving(AuthSettings(keys=known)) as served:
        assert await outcome(served, bearer(KEY)) == "OK"
        assert await outcome(served, bearer(old)) == EXPIRED
        assert await outcome(served, bearer(KEY), method="ListModels") == DENIED
        assert await outcome(served, bearer(both), method="ListModels") == "OK"
        # A method that nobody gave a scope is open to no key.
        assert await outcome(served, bearer(both), method="BatchRoute") == DENIED


async def test_the_id_is_seen_and_the_key_is_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    telemetry = record_telemetry()
    async with serving(AuthSettings(keys=(listed(),)), telemetry=telemetry.telemetry) as served:
        await outcome(served, bearer(KEY))
        await outcome(served, bearer(KEY), method="ListModels")
        await outcome(served, bearer("not-a-known-key"))
    calls = [entry for record in caplog.records if (entry := json.loads(record.message))["event"] == "call"]
    assert [entry.get("key_id") for entry in calls] == ["web", "web", None]
    spans = [span for span in telemetry.spans if semconv.EMAFUSION_CALLER_KEY_ID in (span.attributes or {})]
    assert [str((span.attributes or {})[semconv.EMAFUSION_CALLER_KEY_ID]) for span in spans] == ["web", "web"]
    everything = caplog.text + "".join(span.to_json() for span in telemetry.spans)
    assert KEY not in everything
    assert hash_of(KEY) not in everything
    assert "not-a-known-key" not in everything


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> Write:
    """Writes a file while the server runs."""

    def written(name: str, text: str) -> Path:
        with blocking_allowed(blocked_event_loop_is_an_error):
            (tmp_path / name).write_text(text)
        return tmp_path / name

    return written


def as_file(*keys: ApiKeySettings) -> str:
    return yaml.safe_dump({"keys": [key.model_dump(mode="json", exclude_none=True) for key in keys]})


async def test_keys_are_exchanged_without_a_restart(tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    fresh = new_key()
    by_file = ApiKeySettings(id="kept", hash_from=SecretRef(file="hash"), scopes=("route",))
    write("hash", hash_of("another"))
    auth = AuthSettings(keys=(by_file,), keys_file=str(write("keys.yaml", as_file(listed()))))
    async with serving(auth, folder=tmp_path) as served, asyncio.timeout(60):
        assert await outcome(served, bearer(KEY)) == "OK"
        write("hash", hash_of(fresh))
        while (now := await outcome(served, bearer(fresh))) != "OK":
            assert now == UNKNOWN
            await asyncio.sleep(0.05)
        write("keys.yaml", "keys: [{id: broken}]")
        while "keys_not_replaced" not in caplog.text:
            assert await outcome(served, bearer(KEY)) == "OK"
            await asyncio.sleep(0.05)
        assert await outcome(served, bearer(KEY)) == "OK"  # what is wrong changes nothing
        write("keys.yaml", as_file())
        while (now := await outcome(served, bearer(KEY))) != UNKNOWN:
            assert now == "OK"
            await asyncio.sleep(0.05)
        assert await outcome(served, bearer(fresh)) == "OK"


async def test_health_and_reflection_are_open_or_not_as_configured() -> None:
    async def reflected(served: Served, *metadata: tuple[str, str]) -> str:
        stub: Any = cast("Any", reflection_pb2_grpc).ServerReflectionStub(served.channel)

        async def ask() -> Any:
            yield reflection_pb2.ServerReflectionRequest(list_services="")

        try:
            async for _ in stub.ServerReflectionInfo(ask(), metadata=metadata, timeout=20):
                return "OK"
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {read_status(error).reason}"
        return "no answer"

    async def ready(served: Served, key: str | None = None) -> bool:
        return await asyncio.to_thread(service_ready, Address(target=served.target, api_key=key))

    async with serving(AuthSettings(keys=(listed(),))) as served:
        assert await ready(served)
        assert await reflected(served) == MISSING
        assert await reflected(served, bearer(KEY)) == "OK"
    async with serving(AuthSettings(keys=(listed(),), health_needs_key=True, reflection_needs_key=False)) as served:
        assert not await ready(served)
        assert not await ready(served, "wrong")
        assert await ready(served, KEY)
        assert await reflected(served) == "OK"
        assert await outcome(served, bearer(KEY)) == "OK"  # the channel does not watch what it may not see


async def test_services_show_their_own_key_and_its_successor(
    tmp_path: Path, write: Write, blocked_event_loop_is_an_error: BlockBuster
) -> None:
    write("own", "not known yet")
    credentials = PeerCredentials(api_key=SecretRef(file="own"), secrets=SecretSource({}, tmp_path))
    async with serving(AuthSettings(keys=(listed(),))) as served, asyncio.timeout(60):
        with blocking_allowed(blocked_event_loop_is_an_error):
            channel = open_channel(served.target, server=QUICK, service_names=[ROUTER], telemetry=Telemetry.off(), credentials=credentials)
        async with channel:
            other = Served(served.server, channel)
            assert await outcome(other) == UNKNOWN
            write("own", KEY)
            while (now := await outcome(other)) != "OK":
                assert now == UNKNOWN
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "server.auth.keys_file: {file} can't be read (No such file or directory)"),
        ("keys: [", "server.auth.keys_file: {file} is not valid YAML"),
        (
            "keys: [{id: a, hash: 'sha256:short', scopes: [route]}]",
            "server.auth.keys_file: {file}: keys.0.hash: String should",
        ),
        ("keys: [{id: a, hash: secret-by-mistake, scopes: [route]}]", "keys.0.hash"),
    ],
)
async def test_files_that_can_not_be_used_are_configuration_errors(tmp_path: Path, write: Write, content: str | None, problem: str) -> None:
    file = tmp_path / "keys.yaml" if content is None else write("keys.yaml", content)
    with pytest.raises(ConfigurationError) as caught:
        async with serving(AuthSettings(keys_file=str(file))):
            pass
    assert problem.format(file=file) in str(caught.value)
    assert "secret-by-mistake" not in str(caught.value)
