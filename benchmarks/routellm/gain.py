"""Predicts what the strong model adds: P(strong right) minus P(weak right), learned from labelled questions of the pair.

Two learners that err differently are averaged by standard scores: a linear one on words, embedding and figures, and trees on
figures and the embedding's main directions. Both learn the two models apart; what both fail, or both can, cancels out.
"""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.routellm.features import Seen, figures_of
from benchmarks.routellm.metric import Floats
from benchmarks.routellm.tables import Table

Rows = npt.NDArray[np.int64]

DIRECTIONS = 32
FIGURE_WEIGHT = 0.15
"""Weight of standardised figures beside word weights and an embedding of length 1."""
FIGURE_MAX = 4.0
LINEAR_C = 0.3
ROUNDS = 150
SEED = 1
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "seed": SEED,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
LEAF_MAX, LEAF_SHARE = 40, 0.02
"""Least questions per leaf: 40, or that share of the labels when they are few."""
WORDS, LINEAR, TREES, BOTH = "TF-IDF, logistic", "gain, linear", "gain, trees", "gain, both"


def predict(table: Table, seen: Seen, *, answers: bool, train: Rows, test: Rows) -> dict[str, Floats]:
    """Predicted gain of each of ``test`` by learner, learned from ``train``, in standard deviations; only its order means anything.

    With ``answers`` the weak model's answers are read; `TF-IDF, logistic`, a baseline on the words of the prompt, is then left out.
    """
    words = _words(seen, train)
    figures = figures_of(seen, answers=answers)
    inputs = sp.hstack([words, sp.csr_matrix(seen.embedding), sp.csr_matrix(_standard(figures, train))]).tocsr()
    linear = _scaled(_linear(inputs[train], inputs[test], table, train))
    trees = _scaled(_trees(figures, seen.embedding, table, train, test))
    found = {LINEAR: linear, TREES: trees, BOTH: (linear + trees) / 2.0}
    return found if answers else {WORDS: baseline(table, seen, train=train, test=test), **found}


def baseline(table: Table, seen: Seen, *, train: Rows, test: Rows) -> Floats:
    """Predicted gain of each of ``test`` from the words of the prompt alone."""
    words = _words(seen, train)
    return _scaled(_linear(words[train], words[test], table, train))


def _scaled(values: Floats) -> Floats:
    return (values - values.mean()) / max(float(values.std()), 1e-12)


def _words(seen: Seen, train: Rows) -> sp.csr_matrix:
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    vectoriser.fit([seen.prompts[row] for row in train])
    return vectoriser.transform(seen.prompts).tocsr()


def _standard(figures: Floats, train: Rows) -> Floats:
    """Figures with mean 0, clipped and weighted; where one does not apply, its mean."""
    known = ~np.isnan(figures[train]).all(axis=0)
    kept = figures[:, known]
    mean, spread = np.nanmean(kept[train], axis=0), np.nanstd(kept[train], axis=0)
    scaled = (kept - mean) / np.where(spread > 0.0, spread, 1.0)
    return FIGURE_WEIGHT * np.clip(np.nan_to_num(scaled, nan=0.0), -FIGURE_MAX, FIGURE_MAX)


def _linear(train_inputs: sp.csr_matrix, test_inputs: sp.csr_matrix, table: Table, train: Rows) -> Floats:
    said = [
        LogisticRegression(C=LINEAR_C, max_iter=100, tol=1e-3).fit(train_inputs, right[train]).predict_proba(test_inputs)[:, 1]
        for right in (table.strong, table.weak)
    ]
    return np.asarray(said[0] - said[1], dtype=np.float64)


def _trees(figures: Floats, embedding: Floats, table: Table, train: Rows, test: Rows) -> Floats:
    main = PCA(min(DIRECTIONS, len(train) - 1), svd_solver="covariance_eigh", random_state=SEED).fit(embedding[train])
    inputs = np.concatenate([figures, main.transform(embedding)], axis=1).astype(np.float32)
    leaf = max(5, min(LEAF_MAX, int(LEAF_SHARE * len(train))))
    said: list[Floats] = []
    for right in (table.strong, table.weak):
        data = lgb.Dataset(inputs[train], right[train])
        booster = lgb.train({**PARAMETERS, "min_data_in_leaf": leaf}, data, ROUNDS)
        said.append(np.asarray(booster.predict(inputs[test], num_threads=1), dtype=np.float64))
    return said[0] - said[1]
