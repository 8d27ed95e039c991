"""Database engines of the decision store and of the accounts, on SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import URL, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cascade_service.domain.errors import StoreUnavailable
from servicekit.settings.load import ConfigurationError
from servicekit.settings.schema import Problem

_log = structlog.get_logger(__name__)

_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection, None]:
    """A transaction that ends with the block. Raises ``StoreUnavailable``, and ``IntegrityError`` as it is."""
    try:
        async with engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except (SQLAlchemyError, OSError) as error:
        # The statement's parameters may be texts, so the driver's message stays out of the log.
        cause = error.__cause__ or error
        _log.error("store_failed", error=type(cause).__name__, dialect=engine.dialect.name)
        raise StoreUnavailable("the decision store can't be reached") from error


def open_engine(url: str, *, timeout_s: float, counters: bool = False) -> AsyncEngine:
    """An engine on the database under a SQLAlchemy URL (``sqlite+aiosqlite`` or ``postgresql+asyncpg``).

    ``timeout_s`` bounds waits for a lock or a connection, in seconds. ``counters`` does without waiting for the disk: what is written
    survives the process, but of a power cut maybe not its last moments. Creates the folder of a SQLite file; blocks on it. Raises
    ``ConfigurationError``, whose text does not show the URL: it may contain a password.
    """
    try:
        target = make_url(url)
        if target.drivername not in _DRIVERS:
            raise _unusable(f"driver `{target.drivername}` is not supported; allowed: {', '.join(_DRIVERS)}")
        if target.get_backend_name() == "sqlite":
            return _open_sqlite(target, timeout_s=timeout_s, counters=counters)
        asked: dict[str, Any] = {"server_settings": {"synchronous_commit": "off"}} if counters else {}
        return create_async_engine(target, pool_timeout=timeout_s, pool_pre_ping=True, hide_parameters=True, connect_args=asked)
    except ArgumentError as error:
        raise _unusable("not a SQLAlchemy URL") from error
    except ModuleNotFoundError as error:
        raise _unusable(f"needs {error.name}: install emafusion with the extra `postgres`") from error


def _open_sqlite(target: URL, *, timeout_s: float, counters: bool) -> AsyncEngine:
    if target.database and target.database != ":memory:":
        try:
            Path(target.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(f"the folder of {target.database} can't be made ({error.strerror})") from error
    # SQLite has one writer at a time. Counters take turns in this process, so that they don't fight over the file's lock.
    turns: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if counters else {}
    engine = create_async_engine(target, connect_args={"timeout": timeout_s}, pool_timeout=timeout_s, hide_parameters=True, **turns)
    # WAL lets readers go on while a record is written; FULL keeps a committed record through a power cut.
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL" if counters else "synchronous=FULL", "foreign_keys=ON")

    def set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - SQLAlchemy's adapted connection has no public type
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", set_up)
    return engine


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError([Problem("cascade.store.url", problem)])
