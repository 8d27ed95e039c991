"""What the learned router predicts of every recorded answer, out of fold where it was learnt from that question."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.embeddings import EmbeddingCache
from training.learned_router import TOKENS_MAX, answer_tables
from training.learned_router_fit import cross_predict
from training.ridge import Floats
from training.tables import read_outcomes, read_questions

QUALITY_EDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Predictions:
    """Quality and output tokens by question and model ``(questions, models)``, with the place of each in the tables."""

    questions: dict[str, int]
    models: dict[str, int]
    quality: Floats
    tokens: Floats

    def quality_of(self, question: str, model: str) -> float:
        """Predicted quality, NaN for a model that the router was not trained on."""
        return float(self.quality[self.questions[question], self.models[model]]) if model in self.models else float("nan")

    def tokens_of(self, question: str, model: str) -> float:
        """Predicted output tokens, NaN likewise."""
        return float(self.tokens[self.questions[question], self.models[model]]) if model in self.models else float("nan")


def predict_recorded(folder: Path, *, folds: npt.NDArray[np.int64], ids: list[str], encoder: Path, cache: Path) -> Predictions:
    """Predictions for all questions of the data directory; ``folds`` numbers the fold of each of ``ids``."""
    questions: list[dict[str, Any]] = read_questions(folder)
    names, right, tokens = answer_tables(questions, read_outcomes(folder))
    vectors = EmbeddingCache(cache, encoder=encoder, tokens_max=TOKENS_MAX).embed([row["question"] for row in questions])
    fold_of = dict(zip(ids, folds.tolist(), strict=True))
    fold = np.array([fold_of[row["question_id"]] for row in questions])
    train = np.array([row["split"] == "train" for row in questions])
    quality, lengths = cross_predict(vectors.astype(np.float64), right, tokens, train=train, fold=fold)
    places = {row["question_id"]: place for place, row in enumerate(questions)}
    return Predictions(places, {name: place for place, name in enumerate(names)}, quality, lengths)
