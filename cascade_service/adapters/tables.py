"""The tables of the decision store, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Float, ForeignKey, Index, Integer, MetaData, String, Table, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateColumn

metadata = MetaData()

_Document = JSON(none_as_null=True)

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", String(64), primary_key=True),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("status", String(16), nullable=False),
    Column("prompt_sha256", String(64), nullable=False),
    Column("policy", String(128), nullable=False),
    Column("threshold", Float, nullable=False),
    Column("delivery", String(16), nullable=False),
    Column("error_reason", String(64), nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("policy_kind", String(16), nullable=False, server_default="threshold"),
    Column("answer_worth_nano_usd", BigInteger),
    Column("key_id", String(128), nullable=False, server_default=""),
    Column("risk", _Document),
    Column("prompt", _Document),
    Column("plan", _Document),
    Column("attempts", _Document, nullable=False),
    Column("completion", _Document),
    Index("decisions_by_time", "create_time"),
)
"""One row per request. Texts stand in ``prompt``, ``attempts`` and ``completion`` only when the operator turned that on."""

parts = Table(
    "parts",
    metadata,
    Column("decision_id", String(64), ForeignKey("decisions.decision_id"), primary_key=True),
    Column("parts", _Document, nullable=False),
)
"""One row per request that was split. A table of its own, so that stores from before it need no change."""

feedback = Table(
    "feedback",
    metadata,
    Column("feedback_id", Integer, primary_key=True, autoincrement=True),
    Column("decision_id", String(64), ForeignKey("decisions.decision_id"), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("correct", Boolean),
    Column("rating", Float),
    Column("source", String(128), nullable=False),
    Index("feedback_by_decision", "decision_id"),
)
"""Any number of rows per decision, in order of ``feedback_id``."""

quota_accounts = Table(
    "quota_accounts",
    metadata,
    Column("scope", String(160), primary_key=True),
    Column("limits", _Document, nullable=False),
    Column("requests_until_ns", BigInteger, nullable=False, default=0),
    Column("tokens_until_ns", BigInteger, nullable=False, default=0),
    Column("running", Integer, nullable=False, default=0),
    Column("cost_held_nano_usd", BigInteger, nullable=False, default=0),
    Column("day", String(10), nullable=False, default=""),
    Column("requests_today", BigInteger, nullable=False, default=0),
    Column("tokens_today", BigInteger, nullable=False, default=0),
    Column("cost_today_nano_usd", BigInteger, nullable=False, default=0),
)
"""One row per scope: what it has used up. Every change of a row is made by whoever has it locked."""

quota_holds = Table(
    "quota_holds",
    metadata,
    Column("tab_id", String(64), primary_key=True),
    Column("scope", String(160), primary_key=True),
    Column("tokens_held", BigInteger, nullable=False),
    Column("cost_held_nano_usd", BigInteger, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("tokens_used", BigInteger, nullable=False, default=0),
    Column("cost_used_nano_usd", BigInteger, nullable=False, default=0),
    Column("expires_ns", BigInteger, nullable=False),
    Index("quota_holds_by_expiry", "expires_ns"),
)
"""What requests under way hold, by scope. A row that is not renewed in time is that of a process that is gone."""


def create_tables(connection: Connection) -> None:
    """Creates tables that are missing, and columns that tables of an earlier version lack."""
    metadata.create_all(connection)
    existing = inspect(connection)
    for table in metadata.sorted_tables:
        known = {column["name"] for column in existing.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
