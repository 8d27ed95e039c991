"""Accounts in the store, on SQLite and on a real PostgreSQL: replicas race, die, and agree all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete

from cascade_service.adapters.engines import open_engine
from cascade_service.adapters.quota_store import Entry, SqlQuotaStore
from cascade_service.adapters.tables import quota_accounts, quota_holds
from cascade_service.domain.quotas import Hold, Limit, LimitReached, Limits, Scope, Use, nanoseconds
from tests.support.postgres import NoPostgres, running_postgres

NOW_NS = nanoseconds(datetime(2026, 11, 22, 8, 30, tzinfo=UTC))
LATER_NS = NOW_NS + 30 * 10**9
KEY = Scope("key:web", Limits(requests_per_minute=20, cost_max_nano_usd_per_day=1_000, concurrent_requests=100))
SERVICE = Scope("service", Limits(tokens_per_minute=1_000))


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    try:
        with running_postgres() as url:
            yield url
    except NoPostgres as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite+aiosqlite:///{tmp_path}/decisions.sqlite3"


@pytest.fixture
async def replicas(url: str) -> AsyncIterator[tuple[SqlQuotaStore, SqlQuotaStore]]:
    engines = [await asyncio.to_thread(open_engine, url, timeout_s=20.0, counters=True) for _ in range(2)]
    first, second = (SqlQuotaStore(engine) for engine in engines)
    await first.prepare()
    async with engines[0].begin() as connection:  # the PostgreSQL server is shared by the tests here
        for table in (quota_accounts, quota_holds):
            await connection.execute(delete(table))
    yield first, second
    await first.aclose()
    await second.aclose()


async def reserve(store: SqlQuotaStore, tab: str, *scopes: Scope, tokens: int = 10, cost: int = 100) -> tuple[dict[str, Hold], int]:
    need = Use(tokens=tokens, cost_nano_usd=cost)
    return await store.reserve(tab, scopes, need, now_ns=NOW_NS, expires_ns=LATER_NS)


async def try_reserve(store: SqlQuotaStore, tab: str, *scopes: Scope, tokens: int = 10, cost: int = 100) -> LimitReached | int:
    try:
        return (await reserve(store, tab, *scopes, tokens=tokens, cost=cost))[1]
    except LimitReached as refused:
        return refused


async def test_replicas_that_race_never_let_more_through_than_the_limit(replicas: tuple[SqlQuotaStore, SqlQuotaStore]) -> None:
    key, service = KEY, SERVICE
    tries = [try_reserve(replicas[number % 2], f"tab-{number}", key, service, cost=0) for number in range(50)]
    results = await asyncio.gather(*tries)
    refused = [result for result in results if isinstance(result, LimitReached)]
    assert len(results) - len(refused) == 20
    assert {error.exceeded.limit for error in refused} == {Limit.REQUESTS}
    accounts = {account.scope: account for account in await replicas[0].accounts()}
    assert (accounts[key.name].running, accounts[key.name].requests_used(NOW_NS)) == (20, 20)
    assert (accounts[service.name].running, accounts[service.name].tokens_used(NOW_NS)) == (20, 200)


async def test_replicas_that_race_never_hold_more_than_the_budget(replicas: tuple[SqlQuotaStore, SqlQuotaStore]) -> None:
    key = KEY
    tries = [try_reserve(replicas[number % 2], f"tab-{number}", key, cost=150) for number in range(15)]
    results = await asyncio.gather(*tries)
    granted = [result for result in results if isinstance(result, int)]
    assert sorted(granted) == [100] + [150] * 6, "the last one gets what is left"
    assert sum(granted) == 1_000


async def test_nothing_is_held_anywhere_when_one_scope_refuses(replicas: tuple[SqlQuotaStore, SqlQuotaStore]) -> None:
    key, service = KEY, Scope("service", Limits(concurrent_requests=0))
    assert isinstance(await try_reserve(replicas[0], "tab", key, service), LimitReached)
    assert not [account for account in await replicas[1].accounts() if account.scope == key.name and account.running]


async def test_settling_gives_back_what_was_not_used(replicas: tuple[SqlQuotaStore, SqlQuotaStore]) -> None:
    first, second = replicas
    key = KEY
    holds, _ = await reserve(first, "tab", key, cost=900)
    entry = Entry(tab_id="tab", scope=key, hold=holds[key.name], use=Use(tokens=7, cost_nano_usd=30))
    await first.settle([entry], now_ns=NOW_NS)
    (account,) = [account for account in await second.accounts() if account.scope == key.name]
    assert (account.running, account.cost_held_nano_usd, account.cost_today_nano_usd) == (0, 0, 30)
    assert (account.day, account.requests_today, account.tokens_today) == ("2026-11-22", 1, 7)


async def test_what_a_dead_process_held_expires_and_is_not_given_back_twice(replicas: tuple[SqlQuotaStore, SqlQuotaStore]) -> None:
    dead, alive = replicas
    key = KEY
    holds, _ = await reserve(dead, "tab", key, cost=900)
    entry = Entry(tab_id="tab", scope=key, hold=holds[key.name], use=Use(tokens=40, cost_nano_usd=25))
    (grown,) = await dead.renew([entry], now_ns=NOW_NS, expires_ns=LATER_NS)
    assert grown.use.tokens == 40, "tokens beyond those held are held now"
    assert await alive.expire(now_ns=LATER_NS) == 0, "not before its time"
    assert await alive.expire(now_ns=LATER_NS + 1) == 1
    assert await alive.expire(now_ns=LATER_NS + 1) == 0
    (account,) = [account for account in await alive.accounts() if account.scope == key.name]
    assert (account.running, account.cost_held_nano_usd, account.cost_today_nano_usd) == (0, 0, 25)
    # It was not dead after all: what it used counts, what it held was given back already.
    await dead.settle([entry], now_ns=LATER_NS + 1)
    (account,) = [account for account in await alive.accounts() if account.scope == key.name]
    assert (account.running, account.cost_held_nano_usd, account.requests_today) == (0, 0, 2)


async def test_a_renewed_hold_does_not_expire(replicas: tuple[SqlQuotaStore, SqlQuotaStore]) -> None:
    first, second = replicas
    key = KEY
    holds, _ = await reserve(first, "tab", key)
    entry = Entry(tab_id="tab", scope=key, hold=holds[key.name], use=Use())
    await first.renew([entry], now_ns=NOW_NS, expires_ns=LATER_NS + 10)
    assert await second.expire(now_ns=LATER_NS + 5) == 0
    assert await second.expire(now_ns=LATER_NS + 11) == 1


async def test_use_without_a_hold_is_counted(replicas: tuple[SqlQuotaStore, SqlQuotaStore]) -> None:
    key = Scope("key:free", Limits())
    entries = [Entry(tab_id=f"tab-{n}", scope=key, hold=None, use=Use(tokens=3, cost_nano_usd=2)) for n in range(20)]
    await asyncio.gather(*(replicas[number % 2].settle([entry], now_ns=NOW_NS) for number, entry in enumerate(entries)))
    (account,) = [account for account in await replicas[0].accounts() if account.scope == key.name]
    assert (account.requests_today, account.tokens_today, account.cost_today_nano_usd, account.running) == (20, 60, 40, 0)
