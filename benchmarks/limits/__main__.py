"""``python -m benchmarks.limits``: what holding and settling limits costs a request, beside the record that it writes anyway.

The ways take turns within one run, so that other work on the machine hits them alike; what counts are the ratios to the record.
With ``--at-once`` requests at a time all under the same key and service limit, which is the worst case for their rows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cascade_service.adapters.decision_store import SqlDecisionStore, open_store
from cascade_service.adapters.engines import open_engine
from cascade_service.adapters.quota_store import Entry, SqlQuotaStore
from cascade_service.domain.decision import Decision, DecisionStatus
from cascade_service.domain.events import DeliveryMode
from cascade_service.domain.quotas import Limits, Scope, Use, nanoseconds

_PLENTY = 10**8
_TIMEOUT_S = 60.0
_SCOPES = (
    Scope("key:bench", Limits(requests_per_minute=_PLENTY, tokens_per_minute=_PLENTY, cost_max_nano_usd_per_day=10**15)),
    Scope("service", Limits(concurrent_requests=_PLENTY)),
)
_NEED = Use(tokens=600, cost_nano_usd=10**6)


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds of one step with so many requests at once; ``ratio`` is the median's to that of the record in the same run."""

    at_once: int
    step: str
    p50_ms: float
    p99_ms: float
    ratio: float


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="SQLAlchemy URL of the database. Default: a new SQLite file")
    parser.add_argument("--rounds", type=int, default=200, help="requests for each number at once")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 16], help="requests at a time")
    parser.add_argument("--output", type=Path, help="file for the rows as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.url or f"sqlite+aiosqlite:///{folder}/decisions.sqlite3"
        rows = asyncio.run(measure(url, rounds=chosen.rounds, at_once=chosen.at_once))
    show(rows)
    if chosen.output is not None:
        chosen.output.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


async def measure(url: str, *, rounds: int, at_once: Sequence[int]) -> list[Row]:
    """Rows for each number of requests at once."""
    records = open_store(url, timeout_s=_TIMEOUT_S)
    quotas = SqlQuotaStore(open_engine(url, timeout_s=_TIMEOUT_S, counters=True))
    await records.prepare()
    rows: list[Row] = []
    try:
        for number in at_once:
            taken: dict[str, list[float]] = {"record": [], "hold": [], "settle": []}
            batches = track(range(max(1, rounds // number)), description=f"{number} at once", console=Console(stderr=True))
            for _ in batches:
                await _batch(records, quotas, number, taken)
            base = float(np.median(taken["record"]))
            rows += [_row(number, step, times, base) for step, times in taken.items()]
    finally:
        await quotas.aclose()
        await records.aclose()
    return rows


async def _batch(records: SqlDecisionStore, quotas: SqlQuotaStore, number: int, taken: dict[str, list[float]]) -> None:
    """Each step by all requests of the batch before the next step."""
    ids = [uuid.uuid4().hex for _ in range(number)]
    now_ns = nanoseconds(datetime.now(UTC))

    async def hold(tab_id: str) -> None:
        await quotas.reserve(tab_id, _SCOPES, _NEED, now_ns=now_ns, expires_ns=now_ns + 60 * 10**9)

    async def settle(tab_id: str) -> None:
        await quotas.settle([Entry(tab_id=tab_id, scope=scope, hold=None, use=_NEED) for scope in _SCOPES], now_ns=now_ns)

    async def record(tab_id: str) -> None:
        await records.save(_decision(tab_id))

    for step, work in (("hold", hold), ("record", record), ("settle", settle)):
        taken[step] += await asyncio.gather(*(_milliseconds(work, tab_id) for tab_id in ids))


async def _milliseconds(work: Callable[[str], Awaitable[None]], tab_id: str) -> float:
    started = time.perf_counter()
    await work(tab_id)
    return (time.perf_counter() - started) * 1e3


def _decision(decision_id: str) -> Decision:
    return Decision(
        decision_id=decision_id,
        create_time=datetime.now(UTC),
        status=DecisionStatus.COMPLETED,
        prompt_sha256="0" * 64,
        prompt_json=None,
        plan=None,
        policy="balanced",
        threshold=0.7,
        delivery=DeliveryMode.BUFFERED,
        attempts=(),
        completion=None,
        error_reason="",
        trace_id="0" * 32,
    )


def _row(at_once: int, step: str, times: Sequence[float], base: float) -> Row:
    median, late = np.percentile(times, [50, 99])
    return Row(at_once, step, round(float(median), 2), round(float(late), 2), round(float(median) / base, 2))


def show(rows: Sequence[Row]) -> None:
    """Prints the table."""
    table = Table("at once", "step", "p50 ms", "p99 ms", "ratio", title="limits, beside the decision record")
    for row in rows:
        table.add_row(*(str(value) for value in asdict(row).values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
