"""``python -m benchmarks.encoder_latency``: latency of one text by its length, for each way to run the encoder's session.

All ways take turns text by text within one run, so that other work on the machine hits them alike; what counts are the ratios to the
way that the service uses. Each length is measured on the machine as it is, and again beside one busy process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs] - has none
from rich.console import Console
from rich.progress import track
from rich.table import Table

from router_service.adapters.onnx_session import InferenceSession, open_session

TOKENS = (16, 40, 64, 128, 256)
_WORD_IDS = (2000, 29000)


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds for one text of ``tokens`` tokens; ``ratio`` is the median's to that of the service's way in the same run."""

    tokens: int
    beside: str
    way: str
    p50_ms: float
    p99_ms: float
    ratio: float


def spinning_session(path: Path, *, threads: int) -> InferenceSession:
    """The runtime's own default: threads that busy-wait for work."""
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return cast("InferenceSession", runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, default=Path("artifacts/encoder"), help="folder of the encoder")
    parser.add_argument("--rounds", type=int, default=100, help="texts per length and way")
    parser.add_argument("--output", type=Path, help="file for the rows as JSON")
    chosen = parser.parse_args()
    model = chosen.artifact / "model.onnx"
    if not model.is_file():
        sys.exit(f"{model} is missing; name the encoder's folder with --artifact")
    ways = {
        "1 thread (the service)": open_session(model, threads=1),
        "2 threads": open_session(model, threads=2),
        "2 threads, spinning": spinning_session(model, threads=2),
    }
    rows = measure(ways, rounds=chosen.rounds, beside="nothing of ours")
    with busy_process():
        rows += measure(ways, rounds=chosen.rounds, beside="a busy process")
    show(rows)
    if chosen.output is not None:
        chosen.output.write_text(json.dumps({"cores": os.cpu_count(), "rows": [asdict(row) for row in rows]}, indent=1), encoding="utf-8")


def measure(ways: dict[str, InferenceSession], *, rounds: int, beside: str) -> list[Row]:
    """A row per length and way; the ways take turns."""
    random = np.random.default_rng(0)
    rows: list[Row] = []
    for tokens in track(TOKENS, description=f"beside {beside}", console=Console(stderr=True)):
        texts = random.integers(*_WORD_IDS, size=(rounds, 1, tokens), dtype=np.int64)
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for text in texts:
            for way, session in ways.items():
                taken[way].append(_milliseconds(session, text))
        base = float(np.median(taken[next(iter(ways))]))
        rows += [_row(tokens, beside, way, times, base) for way, times in taken.items()]
    return rows


def _milliseconds(session: InferenceSession, ids: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    started = time.perf_counter()
    session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return (time.perf_counter() - started) * 1e3


def _row(tokens: int, beside: str, way: str, times: Sequence[float], base: float) -> Row:
    median, late = np.percentile(times, [50, 99])
    return Row(tokens, beside, way, round(float(median), 2), round(float(late), 2), round(float(median) / base, 2))


@contextmanager
def busy_process() -> Generator[None]:
    """A process that wants a core for as long as the block lasts."""
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _spin() -> None:
    while True:
        pass


def show(rows: Sequence[Row]) -> None:
    """Prints the table."""
    table = Table(title=f"encoder, one text, {os.cpu_count()} cores")
    for name in ("tokens", "beside", "way", "p50 ms", "p99 ms", "ratio"):
        table.add_column(name, justify="left" if name in {"beside", "way"} else "right")
    for row in rows:
        table.add_row(*(str(value) for value in asdict(row).values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
