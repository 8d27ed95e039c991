"""A verifier with simple stand-ins for its trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from judge_service.domain.verifier import Curve, Verifier, VerifierParts, WordScore
from judge_service.domain.verifier_rows import ALONE_FEATURES, KindRecord
from judge_service.domain.verifier_together import TOGETHER_FEATURES
from judge_service.domain.verifier_words import SLOTS


class ColumnTrees:
    """Says of each row what ``rule`` makes of its named figures. Keeps the rows that it was asked about."""

    def __init__(self, names: tuple[str, ...], rule: Callable[[Mapping[str, float]], float]) -> None:
        self._names = names
        self._rule = rule
        self.asked: list[dict[str, float]] = []

    def log_odds(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        named = [dict(zip(self._names, map(float, row), strict=True)) for row in rows]
        self.asked += named
        return np.array([self._rule(row) for row in named])


class FlatTrees:
    """Says the same of every row."""

    def log_odds(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.zeros(len(rows))


STRAIGHT = Curve(log_odds=(-4.0, 4.0), probabilities=(0.02, 0.98))


def verifier(records: Mapping[str, tuple[KindRecord, ...]] | None = None) -> tuple[Verifier, ColumnTrees, ColumnTrees]:
    """A verifier that trusts announced answers, and the difference of votes; and its two last ensembles."""
    alone = ColumnTrees(ALONE_FEATURES, lambda row: row["a_announced"])
    together = ColumnTrees(TOGETHER_FEATURES, lambda row: row["own"] + row["agree"] - row["differ"])
    words = WordScore(weights=np.zeros(SLOTS, dtype=np.float32), intercept=0.25)
    parts = VerifierParts(
        options=FlatTrees(),
        choice=alone,
        open=alone,
        together=together,
        question_words=words,
        answer_words=words,
        records=records or {},
        curve=STRAIGHT,
    )
    return Verifier(parts), alone, together
