"""SIGKILL at random moments under load: whatever a client was told is complete is in the store, or in the spool, whole and once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.support.crashes import Victim, victim


async def kill_again_and_again(service: Victim, *, kills: int, seed: int) -> None:
    """Each round: what was told before is still there, then load, then the end. Ends with a service that runs."""
    random = Random(seed)  # noqa: S311 - moments, not secrets
    checked = 0
    for _ in range(kills):
        await service.start()
        await service.check_told(list(service.told)[checked:])
        checked = len(service.told)
        await service.kill_under_load(random)
    await service.start()
    await service.check_told(list(service.told))


@asynccontextmanager
async def held_away(database: Path) -> AsyncGenerator[None]:
    """Somebody else holds the database's lock: nobody can write to it."""
    connection = await asyncio.to_thread(sqlite3.connect, database, check_same_thread=False)
    await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        await asyncio.to_thread(connection.rollback)
        await asyncio.to_thread(connection.close)


async def check_store(tmp_path: Path, *, kills: int, seed: int) -> None:
    async with victim(tmp_path, when_down="refuse") as service:
        await kill_again_and_again(service, kills=kills, seed=seed)
        assert len(service.told) >= kills, "the load must reach the end of some requests"
        assert service.begun > len(service.told), "and be cut off in others"
        await service.wait_until_idle()
        await service.kill()
        assert set(service.told) <= await asyncio.to_thread(service.ids_recorded)
        assert await asyncio.to_thread(service.recorded_twice_or_broken) == []


async def check_spool(tmp_path: Path, *, kills: int, seed: int) -> None:
    async with victim(tmp_path, when_down="spool") as service:
        await service.start()  # makes the database
        await service.kill()
        async with held_away(service.database):
            await kill_again_and_again(service, kills=kills, seed=seed)
            assert await asyncio.to_thread(lambda: service.spool.stat().st_size)
            assert not await asyncio.to_thread(service.ids_recorded)
            await service.kill()
        # The store is back. The process is killed while it replays, and then left to end it.
        random = Random(seed)  # noqa: S311 - moments, not secrets
        for _ in range(max(1, kills // 5)):
            await service.start()
            await asyncio.sleep(random.random() * 0.1)
            await service.kill()
        await service.start()
        async with asyncio.timeout(60):
            while await asyncio.to_thread(lambda: service.spool.stat().st_size):  # noqa: ASYNC110 - another process empties it
                await asyncio.sleep(0.05)
        await service.check_told(list(service.told))
        await service.kill()
        assert len(service.told) >= kills
        assert set(service.told) <= await asyncio.to_thread(service.ids_recorded)
        assert await asyncio.to_thread(service.recorded_twice_or_broken) == []


@pytest.mark.timeout(300)
async def test_killed_at_a_few_moments_no_committed_record_is_lost(tmp_path: Path) -> None:
    await check_store(tmp_path, kills=3, seed=1)


@pytest.mark.timeout(300)
async def test_killed_while_the_store_is_away_nothing_spooled_is_lost(tmp_path: Path) -> None:
    await check_spool(tmp_path, kills=2, seed=2)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", [11, 12])
async def test_killed_at_many_moments_no_committed_record_is_lost(seed: int, tmp_path: Path) -> None:
    await check_store(tmp_path, kills=25, seed=seed)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_killed_at_many_moments_while_the_store_is_away_nothing_spooled_is_lost(tmp_path: Path) -> None:
    await check_spool(tmp_path, kills=25, seed=13)
