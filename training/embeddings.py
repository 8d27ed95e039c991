"""Embeddings of training texts with the published encoder, kept on disk so that a second run is quick."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from router_service.adapters.onnx_session import open_session
from router_service.adapters.tokenizer import WordPieceTokenizer, pad

SAVE_EVERY = 1_000


class EmbeddingCache:
    """Vectors by sha256 of their text; one file per encoder and text length, so a new encoder never meets old vectors."""

    def __init__(self, folder: Path, *, encoder: Path, tokens_max: int, threads: int = 1) -> None:
        """``encoder`` is the folder with ``model.onnx`` and ``tokenizer.json``; vectors are kept below ``folder``."""
        self._session = open_session(encoder / "model.onnx", threads=threads)
        self._tokenizer = WordPieceTokenizer(encoder / "tokenizer.json", tokens_max=tokens_max)
        digest = hashlib.sha256((encoder / "model.onnx").read_bytes()).hexdigest()[:12]
        self._path = folder / f"embeddings-{digest}-{tokens_max}.npz"
        self._vectors = self._load()

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embeddings ``(len(texts), 384)`` of length 1; those that are missing are computed and saved."""
        keys = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._vectors}
        started = time.monotonic()
        for done, (key, text) in enumerate(missing.items(), start=1):
            token_ids, mask = pad([self._tokenizer.tokenise(text).ids])
            self._vectors[key] = self._session.run(None, {"input_ids": token_ids, "attention_mask": mask})[0][0]
            if done % SAVE_EVERY == 0 or done == len(missing):
                self._save()
                print(f"embedded {done} of {len(missing)} texts in {time.monotonic() - started:.0f} s", flush=True)
        return np.stack([self._vectors[key] for key in keys])

    def _load(self) -> dict[str, npt.NDArray[np.float32]]:
        if not self._path.exists():
            return {}
        with np.load(self._path) as stored:
            return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial.npz")
        np.savez(partial, keys=np.array(list(self._vectors)), vectors=np.stack(list(self._vectors.values())))
        partial.replace(self._path)
