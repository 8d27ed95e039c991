"""Health follows what the service needs after its start, and peers that restart are survived without a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from emafusion.cascade.v1 import event_pb2
from grpc_health.v1 import health_pb2

from cascade_service.domain.errors import StoreUnavailable
from servicekit.server import Readiness, RunningServer
from tests.support.cascade_served import FakeJudge, World, cascade_world, question
from tests.support.servers import LOOPBACK, serve
from tests.support.upstream import FakeUpstream, answers

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
CASCADE = "emafusion.cascade.v1.CascadeService"


async def health(world: World, service: str = CASCADE) -> int:
    """Asked over a plain channel: the product's own leaves out a server that says NOT_SERVING."""
    async with grpc.aio.insecure_channel(world.served.target) as channel:
        ask: Any = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return (await ask(health_pb2.HealthCheckRequest(service=service), timeout=20)).status


async def until(world: World, status: int) -> None:
    async with asyncio.timeout(60):
        while await health(world) != status:  # noqa: ASYNC110 - asked over the wire, as a load balancer does
            await asyncio.sleep(0.01)


def follow(server: RunningServer, world: World) -> asyncio.Task[None]:
    return asyncio.create_task(server.follow(Readiness(look=world.service.ready, look_every_s=0.01)))


async def stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("when_down", ["refuse", "spool"])
async def test_health_follows_the_store(when_down: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "url": f"sqlite+aiosqlite:///{tmp_path}/decisions.sqlite3",
        "when_down": when_down,
        "spool_directory": str(tmp_path / "spool"),
    }
    async with cascade_world(tmp_path, {"small": FakeUpstream()}, cascade={"store": settings}) as world:
        tasks = (follow(world.served.server, world), asyncio.create_task(world.service.store.run(look_every_s=0.01)))
        await until(world, SERVING)

        async def down() -> None:
            raise StoreUnavailable("down")

        with monkeypatch.context() as patched:
            patched.setattr(world.service.store._store, "check", down)
            if when_down == "refuse":
                await until(world, NOT_SERVING)
                assert await health(world, "") == NOT_SERVING, "what the channels of other services watch"
            else:
                while world.service.store.up:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                assert await world.service.ready()
                assert await health(world) == SERVING
        await until(world, SERVING)
        await stopped(*tasks)


@pytest.mark.parametrize("peer", ["router", "judge"])
async def test_health_follows_a_peer_where_the_configuration_says_so(peer: str, tmp_path: Path) -> None:
    cascade = {"readiness": {"needs": [peer], "look_every_ms": 1_000}}
    up: dict[str, Any] = {f"{peer}_up": False}
    async with cascade_world(tmp_path, {"small": FakeUpstream()}, cascade=cascade, **up) as world:
        task = follow(world.served.server, world)
        await until(world, NOT_SERVING)
        await stopped(task)
    async with cascade_world(tmp_path, {"small": FakeUpstream()}, cascade=cascade) as world:
        assert await world.service.ready()


async def test_draining_is_for_good(tmp_path: Path) -> None:
    async with cascade_world(tmp_path, {"small": FakeUpstream()}) as world:
        await world.served.server._health.draining()
        await world.served.server.set_ready()
        assert await health(world) == NOT_SERVING


async def test_a_judge_that_restarts_is_survived(tmp_path: Path) -> None:
    upstream = FakeUpstream(default=answers("42"))
    port = 0
    async with serve(FakeJudge().add_to) as first:
        port = first.server.port
        async with cascade_world(tmp_path, {"small": upstream}, judge_target=first.target) as world:
            outcomes = [await outcome(world)]
            await first.server.stop()
            outcomes.append(await outcome(world))
            async with serve(FakeJudge().add_to, listen=f"{LOOPBACK.rpartition(':')[0]}:{port}"):
                async with asyncio.timeout(60):
                    while (again := await outcome(world)) != event_pb2.OUTCOME_ACCEPTED:
                        assert again == event_pb2.OUTCOME_UNJUDGED
            assert outcomes == [event_pb2.OUTCOME_ACCEPTED, event_pb2.OUTCOME_UNJUDGED]


async def outcome(world: World) -> int:
    return (await world.stream(question(), timeout_s=60))[-1].completed.completion.outcome
