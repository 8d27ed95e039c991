"""Decision records in SQLite or PostgreSQL, through one code path of SQLAlchemy Core."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter
from sqlalchemy import URL, RowMapping, event, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cascade_service.adapters.tables import create_tables, decisions, feedback
from cascade_service.domain.decision import Decision, DecisionStatus, Feedback, RecordedAttempt
from cascade_service.domain.errors import DecisionNotFound, StoreUnavailable
from cascade_service.domain.events import Completion, DeliveryMode, PolicyKind
from cascade_service.domain.plan import Plan
from cascade_service.domain.risk import RiskCertificate
from servicekit.settings.load import ConfigurationError
from servicekit.settings.schema import Problem

_log = structlog.get_logger(__name__)

_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")
_PLAN = TypeAdapter(Plan)
_ATTEMPTS = TypeAdapter(tuple[RecordedAttempt, ...])
_COMPLETION = TypeAdapter(Completion)
_RISK = TypeAdapter(RiskCertificate)


class SqlDecisionStore:
    """Keeps decision records in a database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def prepare(self) -> None:
        """Creates the tables and columns that are missing. Raises ``StoreUnavailable``."""
        async with self._transaction() as connection:
            await connection.run_sync(create_tables)

    async def check(self) -> None:
        """Returns when the database answers. Raises ``StoreUnavailable``."""
        async with self._transaction() as connection:
            await connection.execute(select(1))

    async def save(self, decision: Decision) -> None:
        """Writes the record and commits it; a record under the same id is replaced, its feedback kept."""
        values = _values(decision)
        async with self._transaction() as connection:
            replaced = await connection.execute(update(decisions).where(decisions.c.decision_id == decision.decision_id).values(**values))
            if replaced.rowcount == 0:
                await connection.execute(insert(decisions).values(**values))

    async def get(self, decision_id: str) -> Decision:
        """The record with its feedback, oldest first. Raises ``DecisionNotFound``."""
        async with self._transaction() as connection:
            found = await connection.execute(select(decisions).where(decisions.c.decision_id == decision_id))
            row = found.mappings().first()
            if row is None:
                raise DecisionNotFound(decision_id)
            opinions = await connection.execute(
                select(feedback).where(feedback.c.decision_id == decision_id).order_by(feedback.c.feedback_id)
            )
            return _decision(row, tuple(_feedback(opinion) for opinion in opinions.mappings()))

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        """Adds feedback and commits it. Raises ``DecisionNotFound``."""
        try:
            async with self._transaction() as connection:
                await connection.execute(
                    insert(feedback).values(
                        decision_id=decision_id,
                        create_time=opinion.create_time,
                        correct=opinion.correct,
                        rating=opinion.rating,
                        source=opinion.source,
                    )
                )
        except IntegrityError as error:  # the foreign key: there is no such decision
            raise DecisionNotFound(decision_id) from error

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncConnection, None]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            # The statement's parameters may be texts, so the driver's message stays out of the log.
            cause = error.__cause__ or error
            _log.error("store_failed", error=type(cause).__name__, dialect=self._engine.dialect.name)
            raise StoreUnavailable("the decision store can't be reached") from error


def open_store(url: str, *, timeout_s: float) -> SqlDecisionStore:
    """A store on the database under a SQLAlchemy URL (``sqlite+aiosqlite`` or ``postgresql+asyncpg``).

    ``timeout_s`` bounds waits for a lock or a connection, in seconds. Creates the folder of a SQLite file; blocks on it.
    Raises ``ConfigurationError``, whose text does not show the URL: it may contain a password.
    """
    try:
        target = make_url(url)
        if target.drivername not in _DRIVERS:
            raise _unusable(f"driver `{target.drivername}` is not supported; allowed: {', '.join(_DRIVERS)}")
        if target.get_backend_name() == "sqlite":
            return _open_sqlite(target, timeout_s=timeout_s)
        return SqlDecisionStore(create_async_engine(target, pool_timeout=timeout_s, pool_pre_ping=True, hide_parameters=True))
    except ArgumentError as error:
        raise _unusable("not a SQLAlchemy URL") from error
    except ModuleNotFoundError as error:
        raise _unusable(f"needs {error.name}: install emafusion with the extra `postgres`") from error


def _open_sqlite(target: URL, *, timeout_s: float) -> SqlDecisionStore:
    if target.database and target.database != ":memory:":
        try:
            Path(target.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(f"the folder of {target.database} can't be made ({error.strerror})") from error
    engine = create_async_engine(target, connect_args={"timeout": timeout_s}, pool_timeout=timeout_s, hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return SqlDecisionStore(engine)


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError([Problem("cascade.store.url", problem)])


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - SQLAlchemy's adapted connection has no public type
    cursor = connection.cursor()
    # WAL lets readers go on while a record is written; FULL keeps a committed record through a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _values(decision: Decision) -> dict[str, object]:
    return {
        "decision_id": decision.decision_id,
        "create_time": decision.create_time,
        "status": decision.status.value,
        "prompt_sha256": decision.prompt_sha256,
        "policy": decision.policy,
        "threshold": decision.threshold,
        "delivery": decision.delivery.value,
        "error_reason": decision.error_reason,
        "trace_id": decision.trace_id,
        "policy_kind": decision.policy_kind.value,
        "answer_worth_nano_usd": decision.answer_worth_nano_usd,
        "risk": None if decision.risk is None else _RISK.dump_python(decision.risk, mode="json"),
        "prompt": None if decision.prompt_json is None else json.loads(decision.prompt_json),
        "plan": None if decision.plan is None else _PLAN.dump_python(decision.plan, mode="json"),
        "attempts": _ATTEMPTS.dump_python(decision.attempts, mode="json"),
        "completion": None if decision.completion is None else _COMPLETION.dump_python(decision.completion, mode="json"),
    }


def _decision(row: RowMapping, opinions: tuple[Feedback, ...]) -> Decision:
    prompt, plan, completion, risk = row["prompt"], row["plan"], row["completion"], row["risk"]
    return Decision(
        decision_id=row["decision_id"],
        create_time=_utc(row["create_time"]),
        status=DecisionStatus(row["status"]),
        prompt_sha256=row["prompt_sha256"],
        prompt_json=None if prompt is None else json.dumps(prompt, ensure_ascii=False, separators=(",", ":")),
        plan=None if plan is None else _PLAN.validate_python(plan),
        policy=row["policy"],
        threshold=row["threshold"],
        delivery=DeliveryMode(row["delivery"]),
        attempts=_ATTEMPTS.validate_python(row["attempts"]),
        completion=None if completion is None else _COMPLETION.validate_python(completion),
        error_reason=row["error_reason"],
        trace_id=row["trace_id"],
        policy_kind=PolicyKind(row["policy_kind"]),
        answer_worth_nano_usd=row["answer_worth_nano_usd"],
        risk=None if risk is None else _RISK.validate_python(risk),
        feedback=opinions,
    )


def _feedback(row: RowMapping) -> Feedback:
    return Feedback(correct=row["correct"], rating=row["rating"], source=row["source"], create_time=_utc(row["create_time"]))


def _utc(time: datetime) -> datetime:
    # SQLite keeps no time zone; all times are written in UTC.
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
