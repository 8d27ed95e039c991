"""The published taxonomy heads, for training steps that build on what the router will see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from router_service.adapters.onnx_session import open_session
from training.embeddings import EmbeddingCache


class TaxonomyHeads:
    """Classifies texts as the router does."""

    def __init__(self, folder: Path, cache: EmbeddingCache) -> None:
        """``folder`` is that of the taxonomy artifact."""
        self._session = open_session(folder / "heads.onnx", threads=1)
        self._cache = cache

    def cells(self, texts: list[str]) -> npt.NDArray[np.float64]:
        """Probability of every cell ``(texts, domains, complexities)``; each text's add up to 1."""
        outputs = self._session.run(["domain", "reasoning_complexity"], {"sentence_embedding": self._cache.embed(texts)})
        domains, complexities = (output.astype(np.float64) for output in outputs)
        joint = domains[:, :, None] * complexities[:, None, :]
        return joint / joint.sum(axis=(1, 2), keepdims=True)
