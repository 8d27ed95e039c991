"""The learned router's regression: qualities and answer lengths of all models it knows, in one ONNX graph on the embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from router_service.adapters.onnx_session import InferenceSession, open_session
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.suitability import Suitability
from servicekit.artifacts import Manifest

INPUT, QUALITY, OUTPUT_TOKENS = "sentence_embedding", "quality", "output_tokens"
FILE = "quality.onnx"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    answers: int = Field(ge=1)
    error: float = Field(ge=0.0, le=0.5)


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    models: tuple[_Model, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of the regression: from how many answers it was learned, and how far predicted qualities are off, 0.0 to 0.5."""

    name: str
    answers: int
    error: float


class OnnxQuality:
    """Predicts. A call takes tens of microseconds, so it runs where it is called."""

    def __init__(self, session: InferenceSession, models: Sequence[KnownModel]) -> None:
        """``models`` are in the order of the graph's outputs."""
        self._session = session
        self._models = tuple(models)

    async def predict(self, vector: npt.NDArray[np.float32]) -> Mapping[str, Suitability]:
        """Predicted suitability of every model that was trained on, by name."""
        quality, tokens = self._session.run([QUALITY, OUTPUT_TOKENS], {INPUT: vector[np.newaxis, :]})
        return {
            model.name: Suitability(float(quality[0, index]), model.error, float(tokens[0, index]), model.answers, measured=True)
            for index, model in enumerate(self._models)
        }


def open_quality(folder: Path, manifest: Manifest) -> OnnxQuality:
    """The regression of the artifact in ``folder``; blocks. Raises ``ArtifactMismatch`` when its models are not named."""
    try:
        parameters = _Parameters.model_validate(manifest.parameters)
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise ArtifactMismatch(f"{folder / 'manifest.json'}: `parameters.models` {reason}; mend it with `{manifest.command}`") from error
    models = [KnownModel(model.name, model.answers, model.error) for model in parameters.models]
    return OnnxQuality(open_session(folder / FILE, threads=1), models)
