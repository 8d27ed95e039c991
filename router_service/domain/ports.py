"""What the router needs from the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from router_service.domain.suitability import Suitability
from router_service.domain.taxonomy import Axis, AxisDistribution


@dataclass(frozen=True, slots=True)
class Reading:
    """What the encoder makes of a conversation.

    ``vector`` is the embedding of its last message, ``(dimensions,)`` float32 of length 1; ``input_tokens`` the estimate for the whole
    conversation, 1 or more; ``queue_s`` and ``inference_s`` are seconds spent waiting for a batch and inside one of ``batch_size`` texts.
    """

    vector: npt.NDArray[np.float32]
    input_tokens: int
    queue_s: float
    inference_s: float
    batch_size: int


class ConversationReader(Protocol):
    """Reads conversations: one embedding and one token count each."""

    async def read(self, messages: Sequence[str]) -> Reading:
        """Reads the texts of a conversation, last one last. Raises ``EncoderOverloaded``."""
        ...


class FastClassifier(Protocol):
    """Classifies embeddings on all axes of the taxonomy."""

    async def classify(self, vector: npt.NDArray[np.float32]) -> tuple[AxisDistribution, ...]:
        """One distribution per axis, in the order of ``Axis``."""
        ...


class QualityPredictor(Protocol):
    """Predicts how well models will answer."""

    async def predict(self, vector: npt.NDArray[np.float32]) -> Mapping[str, Suitability]:
        """Predicted suitability, by name, of every model that was trained on; ``vector`` is the embedding of the request."""
        ...


class SlowClassifier(Protocol):
    """Classifies the text itself, slower, on some axes."""

    async def classify(self, text: str) -> Mapping[Axis, AxisDistribution]:
        """Distributions on the axes it was asked for; empty when it failed or took too long. Never raises."""
        ...
