"""The tables of the decision store, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, DateTime, Float, ForeignKey, Index, Integer, MetaData, String, Table

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
