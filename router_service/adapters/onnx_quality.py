"""The learned router's regression: qualities and answer lengths of all models it knows, in one ONNX graph on the embedding.

The graph also says what all models share of the request, its difficulty and skills, with which models that it does not know are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from router_service.adapters.onnx_session import InferenceSession, open_session
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.newcomers import LabelledAnswers, Newcomer
from router_service.domain.suitability import Suitability
from servicekit.artifacts import Manifest

INPUT, QUALITY, OUTPUT_TOKENS = "sentence_embedding", "quality", "output_tokens"
QUALITY_BASES, LENGTH_BASES = "quality_bases", "length_bases"
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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Models beside those of the regression, and the variance of the logarithm of one answer's tokens."""

    newcomers: tuple[Newcomer, ...] = ()
    tokens_noise: float = 0.0


class OnnxQuality:
    """Predicts. A call takes tens of microseconds, so it runs where it is called."""

    def __init__(self, session: InferenceSession, models: Sequence[KnownModel], beside: Surroundings | None = None) -> None:
        """``models`` are in the order of the graph's outputs. A newcomer with the name of one of them corrects its prediction."""
        self._session = session
        self._models = tuple(models)
        self._beside = beside or Surroundings()

    @property
    def names(self) -> tuple[str, ...]:
        """The models that were trained on."""
        return tuple(model.name for model in self._models)

    async def predict(self, vector: npt.NDArray[np.float32]) -> Mapping[str, Suitability]:
        """Predicted suitability, by name, of every model that was trained on and of every newcomer."""
        quality, tokens = self._session.run([QUALITY, OUTPUT_TOKENS], {INPUT: vector[np.newaxis, :]})
        known = {
            model.name: Suitability(float(quality[0, index]), model.error, float(tokens[0, index]), model.answers, measured=True)
            for index, model in enumerate(self._models)
        }
        return {**known, **self._newcomers(vector, known)} if self._beside.newcomers else known

    def evidence(self, vectors: npt.NDArray[np.float32], name: str, *, right: Sequence[bool], tokens: Sequence[float]) -> LabelledAnswers:
        """Labelled answers of model ``name`` to the requests with the embeddings ``vectors``, as beliefs are updated with them.

        For a model that was trained on, its own predictions stand in the place of the shared part.
        """
        quality, log_tokens = (found.astype(np.float64) for found in self._session.run([QUALITY_BASES, LENGTH_BASES], {INPUT: vectors}))
        if name in self.names:
            index = self.names.index(name)
            own, length = self._session.run([QUALITY, OUTPUT_TOKENS], {INPUT: vectors})
            quality[:, 0], log_tokens[:, 0] = own[:, index], np.log(length[:, index])
        return LabelledAnswers(quality, log_tokens, np.array(right, dtype=np.float64), np.array(tokens, dtype=np.float64))

    def _newcomers(self, vector: npt.NDArray[np.float32], known: Mapping[str, Suitability]) -> dict[str, Suitability]:
        quality, log_tokens = (
            found[0].astype(np.float64) for found in self._session.run([QUALITY_BASES, LENGTH_BASES], {INPUT: vector[np.newaxis, :]})
        )
        found: dict[str, Suitability] = {}
        for newcomer in self._beside.newcomers:
            mine, length = quality.copy(), log_tokens.copy()
            if (own := known.get(newcomer.name)) is not None:
                mine[0], length[0] = own.mean, np.log(own.output_tokens)
            found[newcomer.name] = newcomer.predict(mine, length, tokens_noise=self._beside.tokens_noise)
        return found


def open_quality(folder: Path, manifest: Manifest, *, beside: Surroundings | None = None) -> OnnxQuality:
    """The regression of the artifact in ``folder``; blocks. Raises ``ArtifactMismatch`` when its models are not named."""
    return OnnxQuality(open_session(folder / FILE, threads=1), known_models(folder, manifest), beside)


def known_models(folder: Path, manifest: Manifest) -> tuple[KnownModel, ...]:
    """The models of the regression. Raises ``ArtifactMismatch`` when they are not named."""
    try:
        parameters = _Parameters.model_validate(manifest.parameters)
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise ArtifactMismatch(f"{folder / 'manifest.json'}: `parameters.models` {reason}; mend it with `{manifest.command}`") from error
    return tuple(KnownModel(model.name, model.answers, model.error) for model in parameters.models)
