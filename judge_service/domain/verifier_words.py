"""Words of a text as a sparse vector, and linear scores of it.

Words and pairs of neighbouring words are hashed (CRC-32) into ``SLOTS`` slots; numbers count by their number of digits, so that the
scores know the style of numbers but no value. A text is the set of its slots, scaled to length 1.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

SLOTS: Final = 1 << 15
WORDS_MAX: Final = 1_500
WORD_CHARS_MAX: Final = 24

_WORD = re.compile(r"[^\W\d_]+|\d+|[=≈%$\\^]")


def words_of(text: str) -> list[str]:
    """Lower-case words, numbers as `#` and their number of digits, and a few signs; the first and last ``WORDS_MAX`` / 2."""
    found = _WORD.findall(text.lower())
    if len(found) > WORDS_MAX:
        found = found[: WORDS_MAX // 2] + found[-WORDS_MAX // 2 :]
    return [f"#{min(len(word), 9)}" if word[0].isdigit() else word[:WORD_CHARS_MAX] for word in found]


def slots_of(words: Sequence[str]) -> npt.NDArray[np.uint16]:
    """Slots of the words and pairs of ``words``: sorted, each once."""
    hashed = {zlib.crc32(word.encode("utf-8", "replace")) & (SLOTS - 1) for word in words}
    hashed.update(zlib.crc32(f"{one} {two}".encode("utf-8", "replace")) & (SLOTS - 1) for one, two in pairwise(words))
    return np.fromiter(sorted(hashed), dtype=np.uint16, count=len(hashed))


def linear_score(slots: npt.NDArray[np.uint16], weights: npt.NDArray[np.float32], intercept: float) -> float:
    """``intercept`` + mean-like sum of ``weights`` (``SLOTS``) over ``slots``, divided by the root of their number."""
    if not slots.size:
        return intercept
    return intercept + float(weights[slots].sum(dtype=np.float64)) / math.sqrt(slots.size)
