"""The fast classifier: one linear head per axis on the embedding, in one ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from router_service.adapters.onnx_session import InferenceSession, open_session
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.taxonomy import Axis, AxisDistribution, distribution, knows_all_axes
from servicekit.artifacts import Manifest

INPUT = "sentence_embedding"


class OnnxHeads:
    """Classifies an embedding on all axes. A call takes tens of microseconds, so it runs where it is called."""

    def __init__(self, session: InferenceSession, labels: Mapping[Axis, Sequence[str]]) -> None:
        """``labels`` are those of each axis in the order of the graph's outputs."""
        self._session = session
        self._labels = labels

    async def classify(self, vector: npt.NDArray[np.float32]) -> tuple[AxisDistribution, ...]:
        """One distribution per axis, in the order of ``Axis``."""
        outputs = self._session.run([axis.value for axis in Axis], {INPUT: vector[np.newaxis, :]})
        return tuple(
            distribution(axis, dict(zip(self._labels[axis], map(float, output[0]), strict=True)))
            for axis, output in zip(Axis, outputs, strict=True)
        )


def open_heads(folder: Path, manifest: Manifest) -> OnnxHeads:
    """The heads of the artifact in ``folder``. Raises ``ArtifactMismatch`` when its labels are not those of four axes."""
    return OnnxHeads(open_session(folder / "heads.onnx", threads=1), labels_of(folder, manifest))


def labels_of(folder: Path, manifest: Manifest) -> dict[Axis, tuple[str, ...]]:
    """Labels by axis as the manifest has them. Raises ``ArtifactMismatch``."""
    found = manifest.parameters.get("labels")
    if not isinstance(found, dict) or not knows_all_axes(found):
        axes = ", ".join(Axis)
        raise ArtifactMismatch(f"{folder / 'manifest.json'}: `parameters.labels` must name {axes}; mend it with `{manifest.command}`")
    return {Axis(axis): tuple(map(str, labels)) for axis, labels in found.items() if isinstance(labels, list)}
