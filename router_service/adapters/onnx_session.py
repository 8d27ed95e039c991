"""ONNX Runtime sessions, opened the same way everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import onnxruntime  # pyright: ignore[reportMissingTypeStubs] - has none


class InferenceSession(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that is used; the package brings no types of its own."""

    def run(
        self, output_names: list[str] | None, inputs: Mapping[str, npt.NDArray[np.int64] | npt.NDArray[np.float32]]
    ) -> list[npt.NDArray[np.float32]]:
        """Runs the graph; returns one array per output name."""
        ...


def open_session(path: Path, *, threads: int) -> InferenceSession:
    """Session on the CPU with ``threads`` intra-op threads that never spin.

    Threads that busy-wait gain nothing on a busy machine and take time from everybody else (ADR 0005), so spinning is off.
    """
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return cast("InferenceSession", runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
