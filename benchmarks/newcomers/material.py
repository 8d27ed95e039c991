"""What the benchmark works on: recorded answers with the features of their questions, and regressions factored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from router_service.adapters.suitability_artifact import read_suitability
from router_service.domain.descriptors import Descriptors, all_features
from training.bases_fit import BasesFitter, Common, fit_common
from training.embeddings import EmbeddingCache
from training.heads import TaxonomyHeads
from training.learned_router import TOKENS_MAX, answer_tables
from training.learned_router_fit import Fitted, fit
from training.ridge import Floats
from training.suitability_fit import effects_of
from training.tables import read_cards, read_outcomes, read_questions

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Questions of one split: ids, embeddings, features, taxonomy cells ``(n, domains, complexities)``, who was right, and tokens."""

    ids: tuple[str, ...]
    vectors: Floats
    features: Floats
    cells: Floats
    right: Floats
    tokens: Floats

    def answered(self, model: int) -> Rows:
        """Rows that ``model`` answered."""
        return np.flatnonzero(~np.isnan(self.right[:, model]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Training and dev questions, the models' cards in the order of columns, the full regression, and the fitter of bases.

    ``effects`` are the logits of success by complexity that Φ starts from.
    """

    train: Side
    dev: Side
    cards: tuple[Descriptors, ...]
    full: Fitted
    fitter: BasesFitter
    log_tokens: Floats
    effects: Floats

    def without(self, left_out: Sequence[int]) -> Common:
        """What the other models share."""
        return fit_common(self.fitter, self.log_tokens, [model for model in range(len(self.cards)) if model not in left_out])


def read_material(data: Path, artifacts: Path, cache: Path) -> Material:
    """Reads the directory and fits what all rounds share; about two minutes on one core once the questions are embedded."""
    questions, cards = read_questions(data), read_cards(data)
    names, right, tokens = answer_tables(questions, read_outcomes(data))
    embeddings = EmbeddingCache(cache, encoder=artifacts / "encoder", tokens_max=TOKENS_MAX)
    texts = [row["question"] for row in questions]
    vectors = embeddings.embed(texts).astype(np.float64)
    cells = TaxonomyHeads(artifacts / "taxonomy", embeddings).cells(texts)
    answered = ~np.isnan(right).all(axis=1)
    train, dev = (np.array([row["split"] == split for row in questions]) & answered for split in ("train", "dev"))
    full = fit(vectors[train], right[train], tokens[train])
    sides = [
        Side(
            ids=tuple(row["question_id"] for row, kept in zip(questions, rows, strict=True) if kept),
            vectors=vectors[rows],
            features=full.features(vectors[rows]),
            cells=cells[rows],
            right=right[rows],
            tokens=tokens[rows],
        )
        for rows in (train, dev)
    ]
    ordered = tuple(cards[name] for name in names)
    return Material(
        train=sides[0],
        dev=sides[1],
        cards=ordered,
        full=full,
        fitter=BasesFitter.on(sides[0].features, sides[0].right, all_features(ordered)),
        log_tokens=np.log1p(sides[0].tokens),
        effects=effects_of(read_suitability(artifacts / "suitability").unknown),
    )
