"""Accounts of what callers use, in the decision store, so that replicas agree. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cascade_service.adapters.engines import transaction
from cascade_service.adapters.tables import create_tables, quota_accounts, quota_holds
from cascade_service.domain.quotas import NO_LIMITS, Account, Hold, Limits, Scope, Use, admit, affordable, progress, settle

_ACCOUNTS, _HOLDS = quota_accounts.c, quota_holds.c
_LISTED_MAX = 10_000
_EXPIRED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request in one scope: its hold, None where it has none, and what it has used so far."""

    tab_id: str
    scope: Scope
    hold: Hold | None
    use: Use


class SqlQuotaStore:
    """Keeps accounts in a database. Every method raises ``StoreUnavailable`` when that fails."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def prepare(self) -> None:
        """Creates the tables that are missing."""
        async with transaction(self._engine) as connection:
            await connection.run_sync(create_tables)

    async def reserve(
        self, tab_id: str, scopes: Sequence[Scope], need: Use, *, now_ns: int, expires_ns: int
    ) -> tuple[dict[str, Hold], int]:
        """Holds ``need`` in all ``scopes`` or in none; the holds by scope and the nano-USD that may be spent. Raises ``LimitReached``."""
        async with transaction(self._engine) as connection:
            accounts = {scope.name: await _locked(connection, scope) for scope in _in_order(scopes)}
            cost = need.cost_nano_usd
            for scope in scopes:
                cost = affordable(accounts[scope.name], scope.limits, cost, now_ns=now_ns)
            granted, holds = replace(need, cost_nano_usd=cost), dict[str, Hold]()
            for scope in scopes:
                account, holds[scope.name] = admit(accounts[scope.name], scope.limits, granted, now_ns=now_ns)
                await _write(connection, account)
            rows = [_hold_row(tab_id, name, hold, expires_ns) for name, hold in holds.items()]
            await connection.execute(insert(quota_holds), rows)
        return holds, cost

    async def renew(self, entries: Sequence[Entry], *, now_ns: int, expires_ns: int) -> list[Hold]:
        """Keeps the holds of requests under way from expiring and notes what they have used; the holds, grown to the tokens used."""
        grown: list[Hold] = []
        async with transaction(self._engine) as connection:
            accounts = await _locked_all(connection, (entry.scope for entry in entries if _outgrown(entry)))
            rows: list[dict[str, object]] = []
            for entry in entries:
                hold = entry.hold or Hold()
                if _outgrown(entry):
                    name = entry.scope.name
                    accounts[name], hold = progress(accounts[name], hold, entry.use, now_ns=now_ns)
                grown.append(hold)
                rows.append({**_renewed_row(entry, hold), "expires": expires_ns})
            for account in accounts.values():
                await _write(connection, account)
            await connection.execute(_RENEWAL, rows)
        return grown

    async def settle(self, entries: Sequence[Entry], *, now_ns: int) -> None:
        """Ends requests: gives back what they held and did not use, and counts what they used."""
        async with transaction(self._engine) as connection:
            held = await _taken(connection, _HOLDS.tab_id.in_({entry.tab_id for entry in entries}))
            accounts = await _locked_all(connection, (entry.scope for entry in entries))
            for entry in entries:
                # A hold that has expired in the meantime was given back then.
                hold = entry.hold if (entry.tab_id, entry.scope.name) in held else None
                account = replace(accounts[entry.scope.name], limits=entry.scope.limits)
                accounts[entry.scope.name] = settle(account, hold, entry.use, now_ns=now_ns)
            for account in accounts.values():
                await _write(connection, account)

    async def expire(self, *, now_ns: int) -> int:
        """Ends requests of processes that are gone: what they were last known to have used counts. How many holds that were."""
        async with transaction(self._engine) as connection:
            oldest = select(_HOLDS.tab_id).where(_HOLDS.expires_ns < now_ns).order_by(_HOLDS.expires_ns).limit(_EXPIRED_AT_ONCE)
            if (await connection.execute(oldest.limit(1))).first() is None:
                return 0
            gone = await _taken(connection, and_(_HOLDS.tab_id.in_(oldest), _HOLDS.expires_ns < now_ns))
            accounts = await _locked_all(connection, (Scope(name, NO_LIMITS) for _, name in gone))
            for (_, name), (hold, use) in gone.items():
                accounts[name] = settle(accounts[name], hold, use, now_ns=now_ns)
            for account in accounts.values():
                await _write(connection, account)
        return len(gone)

    async def accounts(self) -> list[Account]:
        """All accounts, in order of scope; at most 10,000."""
        async with transaction(self._engine) as connection:
            found = await connection.execute(select(quota_accounts).order_by(_ACCOUNTS.scope).limit(_LISTED_MAX))
            return [_account(row) for row in found.mappings()]

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


_RENEWAL = (
    update(quota_holds)
    .where(_HOLDS.tab_id == bindparam("tab"), _HOLDS.scope == bindparam("of"))
    .values(
        tokens_held=bindparam("tokens"),
        tokens_used=bindparam("used"),
        cost_used_nano_usd=bindparam("cost"),
        expires_ns=bindparam("expires"),
    )
)


async def _locked(connection: AsyncConnection, scope: Scope) -> Account:
    """The scope's account, locked until the transaction ends, made if there is none."""
    # An update that changes nothing locks the row on PostgreSQL and the file on SQLite: one way for both.
    touch = update(quota_accounts).where(_ACCOUNTS.scope == scope.name).values(scope=scope.name).returning(quota_accounts)
    row = (await connection.execute(touch)).mappings().first()
    if row is None:
        try:
            async with connection.begin_nested():
                await connection.execute(insert(quota_accounts).values(_account_row(Account(scope=scope.name, limits=scope.limits))))
        except IntegrityError:
            pass  # another replica was first
        row = (await connection.execute(touch)).mappings().one()
    return _account(row)


async def _locked_all(connection: AsyncConnection, scopes: Iterable[Scope]) -> dict[str, Account]:
    return {scope.name: await _locked(connection, scope) for scope in _in_order({scope.name: scope for scope in scopes}.values())}


def _in_order(scopes: Iterable[Scope]) -> list[Scope]:
    """Everybody locks in the same order, so that nobody waits in a circle."""
    return sorted(scopes, key=lambda scope: scope.name)


async def _write(connection: AsyncConnection, account: Account) -> None:
    row = _account_row(account)
    await connection.execute(update(quota_accounts).where(_ACCOUNTS.scope == row.pop("scope")).values(row))


async def _taken(connection: AsyncConnection, which: ColumnElement[bool]) -> dict[tuple[str, str], tuple[Hold, Use]]:
    """Removes holds; what they held and used, by tab and scope."""
    gone = await connection.execute(delete(quota_holds).where(which).returning(quota_holds))
    return {(row["tab_id"], row["scope"]): (_hold(row), _used(row)) for row in gone.mappings()}


def _outgrown(entry: Entry) -> bool:
    return entry.hold is not None and entry.use.tokens > entry.hold.use.tokens


def _account(row: Mapping[Any, Any]) -> Account:
    values: dict[str, Any] = {**row, "limits": Limits(**row["limits"])}
    return Account(**values)


def _account_row(account: Account) -> dict[str, Any]:
    return asdict(account)


def _hold_row(tab_id: str, scope: str, hold: Hold, expires_ns: int) -> dict[str, object]:
    return {
        "tab_id": tab_id,
        "scope": scope,
        "tokens_held": hold.use.tokens,
        "cost_held_nano_usd": hold.use.cost_nano_usd,
        "at_ns": hold.at_ns,
        "expires_ns": expires_ns,
    }


def _renewed_row(entry: Entry, hold: Hold) -> dict[str, object]:
    return {
        "tab": entry.tab_id,
        "of": entry.scope.name,
        "tokens": hold.use.tokens,
        "used": entry.use.tokens,
        "cost": entry.use.cost_nano_usd,
    }


def _hold(row: Mapping[Any, Any]) -> Hold:
    return Hold(use=Use(tokens=row["tokens_held"], cost_nano_usd=row["cost_held_nano_usd"]), at_ns=row["at_ns"])


def _used(row: Mapping[Any, Any]) -> Use:
    return Use(tokens=row["tokens_used"], cost_nano_usd=row["cost_used_nano_usd"])
