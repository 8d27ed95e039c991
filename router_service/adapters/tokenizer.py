"""Turns texts into token ids for the encoder, and counts tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

PAD_ID = 0
"""Id of ``[PAD]`` in the WordPiece vocabulary; padded positions are masked."""


@dataclass(frozen=True, slots=True)
class Tokenised:
    """A text in token ids, shortened to what the encoder reads. ``total`` counts the tokens of the whole text."""

    ids: tuple[int, ...]
    total: int


class WordPieceTokenizer:
    """The encoder's own tokenizer. Thread-safe; does not touch the event loop, so call it from a worker thread."""

    def __init__(self, path: Path, *, tokens_max: int) -> None:
        """Reads ``tokenizer.json`` at ``path``; texts longer than ``tokens_max`` (16 to 512) lose their middle.

        The published file pads every text to 128 tokens and cuts it there; both are switched off.
        """
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._tokens_max = tokens_max

    def tokenise(self, text: str) -> Tokenised:
        """Ids of ``text`` between ``[CLS]`` and ``[SEP]``.

        Of a long text the head and the tail are kept: instructions usually stand first, the question proper last.
        """
        ids: list[int] = self._tokenizer.encode(text).ids
        if len(ids) <= self._tokens_max:
            return Tokenised(tuple(ids), len(ids))
        tail = self._tokens_max // 2
        return Tokenised(tuple(ids[: self._tokens_max - tail] + ids[-tail:]), len(ids))

    def count(self, text: str) -> int:
        """Tokens of ``text`` without ``[CLS]`` and ``[SEP]``."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def pad(sequences: list[tuple[int, ...]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids and attention mask, both ``(len(sequences), longest)`` int64."""
    longest = max(len(ids) for ids in sequences)
    token_ids = np.full((len(sequences), longest), PAD_ID, dtype=np.int64)
    mask = np.zeros((len(sequences), longest), dtype=np.int64)
    for row, ids in enumerate(sequences):
        token_ids[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return token_ids, mask
