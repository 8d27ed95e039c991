"""The gain model as an ONNX graph, with the manifest that says which features it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs] - has none

from cascade_service.domain.gain import GAIN_FEATURES, Floats, Rows
from servicekit.artifacts import ArtifactError, load_manifest

GRAPH_NAME: Final = "gain.onnx"
INPUT: Final = "rows"
"""Rows (n, features), float32."""
OUTPUT: Final = "net_gain"
"""Net gains (n,) or (n, 1), float32."""


class _Session(Protocol):
    def get_inputs(self) -> list[Any]: ...
    def get_outputs(self) -> list[Any]: ...
    def run(self, output_names: list[str], inputs: Mapping[str, Rows]) -> list[Rows]: ...


class OnnxGain:
    """Reads rows with a graph, on one thread: those of one plan take less than a millisecond."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def net_gain(self, rows: Rows) -> Floats:
        """The expected net gain of each of ``rows``, (rows,), in right answers."""
        return self._session.run([OUTPUT], {INPUT: rows})[0].astype(np.float64).reshape(len(rows))


def open_gain_model(folder: Path) -> OnnxGain:
    """The artifact in ``folder``, after its manifest and its features have been checked. Blocks; raises ``ArtifactError``."""
    manifest = load_manifest(folder)
    mend = f"make it again with `{manifest.command}`"
    if GRAPH_NAME not in {file.path for file in manifest.files}:
        raise ArtifactError(f"{folder} has no {GRAPH_NAME} in its manifest; {mend}")
    if manifest.parameters.get("features") != list(GAIN_FEATURES):
        raise ArtifactError(f"{folder / GRAPH_NAME} was made for other features than this version computes; {mend}")
    session = _open(folder / GRAPH_NAME, mend)
    shapes = {entry.name: entry.shape for entry in session.get_inputs()}
    if INPUT not in shapes or shapes[INPUT][-1] != len(GAIN_FEATURES) or OUTPUT not in {entry.name for entry in session.get_outputs()}:
        raise ArtifactError(f"{folder / GRAPH_NAME} must read `{INPUT}` (n, {len(GAIN_FEATURES)}) and write `{OUTPUT}` (n,); {mend}")
    return OnnxGain(session)


def _open(path: Path, mend: str) -> _Session:
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return cast("_Session", runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base but this
        raise ArtifactError(f"{path} can't be read as an ONNX graph; {mend}") from error
