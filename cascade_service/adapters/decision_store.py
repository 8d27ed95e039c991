"""Decision records in SQLite or PostgreSQL, through one code path of SQLAlchemy Core."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from cascade_service.adapters.engines import open_engine, transaction
from cascade_service.adapters.tables import create_tables, decisions, feedback, parts
from cascade_service.domain.decision import Decision, DecisionStatus, Feedback, RecordedAttempt, RecordedPart
from cascade_service.domain.errors import DecisionNotFound
from cascade_service.domain.events import Completion, DeliveryMode, PolicyKind
from cascade_service.domain.plan import Plan
from cascade_service.domain.risk import RiskCertificate

_PLAN = TypeAdapter(Plan)
_ATTEMPTS = TypeAdapter(tuple[RecordedAttempt, ...])
_COMPLETION = TypeAdapter(Completion)
_PARTS = TypeAdapter(tuple[RecordedPart, ...])
_RISK = TypeAdapter(RiskCertificate)


class SqlDecisionStore:
    """Keeps decision records in a database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def prepare(self) -> None:
        """Creates the tables and columns that are missing. Raises ``StoreUnavailable``."""
        async with transaction(self._engine) as connection:
            await connection.run_sync(create_tables)

    async def check(self) -> None:
        """Returns when the database takes records. Raises ``StoreUnavailable``."""
        async with transaction(self._engine) as connection:
            # Changes nothing and needs all that a write needs: a lock on the file, or a server that is no standby.
            await connection.execute(update(decisions).where(decisions.c.decision_id == "").values(decision_id=""))

    async def save(self, decision: Decision) -> None:
        """Writes the record and commits it; a record under the same id is replaced, its feedback kept."""
        values = _values(decision)
        async with transaction(self._engine) as connection:
            replaced = await connection.execute(update(decisions).where(decisions.c.decision_id == decision.decision_id).values(**values))
            if replaced.rowcount == 0:
                await connection.execute(insert(decisions).values(**values))
            if decision.parts:
                document = _PARTS.dump_python(decision.parts, mode="json")
                await connection.execute(delete(parts).where(parts.c.decision_id == decision.decision_id))
                await connection.execute(insert(parts).values(decision_id=decision.decision_id, parts=document))

    async def get(self, decision_id: str) -> Decision:
        """The record with its feedback, oldest first. Raises ``DecisionNotFound``."""
        async with transaction(self._engine) as connection:
            found = await connection.execute(select(decisions).where(decisions.c.decision_id == decision_id))
            row = found.mappings().first()
            if row is None:
                raise DecisionNotFound(decision_id)
            split = await connection.scalar(select(parts.c.parts).where(parts.c.decision_id == decision_id))
            opinions = await connection.execute(
                select(feedback).where(feedback.c.decision_id == decision_id).order_by(feedback.c.feedback_id)
            )
            decision = _decision(row, tuple(_feedback(opinion) for opinion in opinions.mappings()))
            return decision if split is None else replace(decision, parts=_PARTS.validate_python(split))

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        """Adds feedback and commits it. Raises ``DecisionNotFound``."""
        try:
            async with transaction(self._engine) as connection:
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

    async def add_feedback_once(self, decision_id: str, opinion: Feedback) -> None:
        """Adds feedback unless the very same, to the microsecond, is there. Raises ``DecisionNotFound``."""
        same = select(feedback.c.feedback_id).where(
            feedback.c.decision_id == decision_id,
            feedback.c.create_time == opinion.create_time,
            feedback.c.correct.is_not_distinct_from(opinion.correct),
            feedback.c.rating.is_not_distinct_from(opinion.rating),
            feedback.c.source == opinion.source,
        )
        async with transaction(self._engine) as connection:
            if (await connection.execute(same)).first() is not None:
                return
        await self.add_feedback(decision_id, opinion)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


def open_store(url: str, *, timeout_s: float) -> SqlDecisionStore:
    """A store on the database under a SQLAlchemy URL; blocks and raises like ``open_engine``."""
    return SqlDecisionStore(open_engine(url, timeout_s=timeout_s))


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
        "key_id": decision.key_id,
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
        key_id=row["key_id"],
        risk=None if risk is None else _RISK.validate_python(risk),
        feedback=opinions,
    )


def _feedback(row: RowMapping) -> Feedback:
    return Feedback(correct=row["correct"], rating=row["rating"], source=row["source"], create_time=_utc(row["create_time"]))


def _utc(time: datetime) -> datetime:
    # SQLite keeps no time zone; all times are written in UTC.
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
