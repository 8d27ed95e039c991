"""``python -m benchmarks.cancellation``: from the caller's cancel to the provider's, or the judge's, sight of it, on loopback.

The cascade is served as in production, over real sockets; provider, router and judge are doubles that record when a caller goes away.
Each delivery mode and each stage is played ``--repeat`` times. Beside it stands a floor: an HTTP client that is closed without any
cascade in between. All of it shares one process, so the figures include the work of every party.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import httpx
import structlog
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.support.cascade_served import FakeJudge, World, cascade_world, question
from tests.support.contract_cases import BEGINNING, HOLD_TOKENS
from tests.support.fault_rows import Mode, Writes
from tests.support.upstream import FakeUpstream
from tests.support.upstream_faults import ends, stalls, writes

TARGET_MS = 250.0
PROVIDER, JUDGE = "provider", "judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A moment at which the caller leaves, and who is to see it."""

    name: str
    mode: Mode
    part: Writes
    judging: bool = False
    seen_by: str = PROVIDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mode at one stage. Times in milliseconds; ``times_floor`` is the median over that of the bare HTTP client."""

    mode: str
    stage: str
    seen_by: str
    repeats: int
    median_ms: float
    p90_ms: float
    max_ms: float
    times_floor: float


def stages() -> Iterator[Stage]:
    """Every mode at every stage."""
    for mode in Mode:
        yield Stage(name="before the first token", mode=mode, part=Writes(finale=stalls))
        yield Stage(name="in mid-stream", mode=mode, part=Writes(pieces=("4",), finale=stalls))
        yield Stage(
            name="while the answer is judged", mode=mode, part=Writes(pieces=("4", "2"), finale=ends()), judging=True, seen_by=JUDGE
        )
    begun = Writes(pieces=(BEGINNING,), finale=stalls)
    yield Stage(name="while a beginning is judged", mode=Mode.PREFIX_COMMIT, part=begun, judging=True)
    yield Stage(name="after a beginning is final", mode=Mode.PREFIX_COMMIT, part=begun)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=50, help="how often each stage is played")
    parser.add_argument("--output", type=Path, help="file for the rows as JSON")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows = asyncio.run(measure(chosen.repeat))
    show(rows)
    if chosen.output:
        chosen.output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


async def measure(repeat: int) -> list[Row]:
    """One row per stage, and the floor first."""
    floor_ms = [await leave_alone() for _ in track(range(repeat), description="bare HTTP client")]
    rows = [_row("–", "a bare HTTP client, in mid-stream", PROVIDER, floor_ms, median(floor_ms))]
    for stage in stages():
        name = f"{stage.mode.value}, {stage.name}"
        with tempfile.TemporaryDirectory() as folder:
            times_ms = await play(stage, Path(folder), repeat, name)
        rows.append(_row(stage.mode.value, stage.name, stage.seen_by, times_ms, median(floor_ms)))
    return rows


async def leave_alone() -> float:
    """Milliseconds until the provider sees that a bare HTTP client has closed its stream."""
    async with FakeUpstream(writes(("4",), stalls)) as upstream, httpx.AsyncClient(trust_env=False) as client:
        async with client.stream("POST", f"{upstream.base_url}/chat/completions", json={}, timeout=10.0) as response:
            await anext(response.aiter_bytes())
            left_at = time.perf_counter()
        await upstream.disconnected.wait()
        return (time.perf_counter() - left_at) * 1e3


async def play(stage: Stage, folder: Path, repeat: int, name: str) -> list[float]:
    """Plays a stage over and over with one service; milliseconds each."""
    writing = asyncio.Event()
    upstream = FakeUpstream(default=writes(stage.part.pieces, stage.part.finale, writing=writing))
    judge = FakeJudge(gate=asyncio.Event() if stage.judging else None)
    async with cascade_world(folder, {"small": upstream}, judge=judge) as world:
        return [await leave(world, stage, writing) for _ in track(range(repeat), description=name)]


async def leave(world: World, stage: Stage, writing: asyncio.Event) -> float:
    """Asks, waits for the moment, leaves; milliseconds until it is seen."""
    upstream, judge = world.upstreams["small"], world.judge
    seen = judge.left if stage.seen_by == JUDGE else upstream.disconnected
    for event in (seen, writing, judge.asked):
        event.clear()
    request = question(mode=f"DELIVERY_MODE_{stage.mode.value}")
    request.prefix.hold_tokens = HOLD_TOKENS
    call = world.stub.StreamComplete(request, timeout=30.0)
    reading = asyncio.create_task(_read(call))
    await (judge.asked if stage.judging else writing).wait()
    await asyncio.sleep(0.02)  # so that what was written has been read, and a beginning that passes is final
    left_at = time.perf_counter()
    call.cancel()
    await seen.wait()
    took_ms = (time.perf_counter() - left_at) * 1e3
    await reading
    await upstream.quiet()
    return took_ms


async def _read(call: AsyncIterable[object]) -> None:
    try:
        async for _ in call:
            pass
    except asyncio.CancelledError:
        return


def _row(mode: str, stage: str, seen_by: str, times_ms: list[float], floor_ms: float) -> Row:
    return Row(
        mode=mode,
        stage=stage,
        seen_by=seen_by,
        repeats=len(times_ms),
        median_ms=median(times_ms),
        p90_ms=quantiles(times_ms, n=10, method="inclusive")[8],
        max_ms=max(times_ms),
        times_floor=median(times_ms) / floor_ms,
    )


def show(rows: list[Row]) -> None:
    """The rows as a table, and whether the target holds."""
    table = Table(
        "delivery", "the caller leaves", "seen by", "median", "p90", "max", "over the floor", title=f"{rows[0].repeats} times each"
    )
    for row in rows:
        figures = (f"{row.median_ms:.1f} ms", f"{row.p90_ms:.1f} ms", f"{row.max_ms:.1f} ms", f"{row.times_floor:.1f} ×")
        table.add_row(row.mode, row.stage, row.seen_by, *figures)
    Console(width=140).print(table)
    slow = [f"{row.mode} {row.stage}" for row in rows if row.median_ms > TARGET_MS]
    print(f"median within {TARGET_MS:g} ms: " + ("everywhere" if not slow else "not " + "; ".join(slow)))


if __name__ == "__main__":
    main()
