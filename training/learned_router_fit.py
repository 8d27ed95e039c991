"""Fits the learned router: how right and how long each model's answer will be, from the embedding of the question.

Features are the embedding ``x`` and soft memberships of clusters of training questions. Quality is additive,
``ability_m + f(x) + g_m(x)``: difficulty ``f`` is shared by all models and lightly shrunk, what sets model ``m`` apart is shrunk hard,
because choosing the best of many noisy predictions rewards noise. Lengths are fitted alike on the logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from training.ridge import OWN_RIDGE, ROUNDS, SHARED_RIDGE, Floats, Ridge

CLUSTERS = 384
TEMPERATURE = 0.05
"""Cosine similarity over which the membership of a cluster falls by a factor e."""
QUALITY_MIN = 0.01
ERROR_BINS = 10
SEED = 0


@dataclass(frozen=True, slots=True)
class Regression:
    """``features(x) @ weights + bias`` ``(n, models)``."""

    weights: Floats
    bias: Floats

    def __call__(self, features: Floats) -> Floats:
        """The values ``(n, models)``."""
        return features @ self.weights + self.bias


@dataclass(frozen=True, slots=True)
class Fitted:
    """Centroids ``(clusters, dimensions)`` of length 1, and the regressions of quality and of the logarithm of tokens."""

    centroids: Floats
    quality: Regression
    log_tokens: Regression

    def features(self, vectors: Floats) -> Floats:
        """The embedding and the memberships of clusters ``(n, dimensions + clusters)``."""
        return features(vectors, self.centroids)

    def predict(self, vectors: Floats) -> Floats:
        """Qualities ``(n, models)``, within [0.01, 0.99]."""
        return np.clip(self.quality(self.features(vectors)), QUALITY_MIN, 1.0 - QUALITY_MIN)


def fit(vectors: Floats, right: Floats, tokens: Floats) -> Fitted:
    """Fits on embeddings ``(n, dimensions)`` and answers ``(n, models)``, NaN where a model did not answer. Deterministic."""
    centroids = centroids_of(vectors)
    inputs = features(vectors, centroids)
    lengths = _additive(inputs, np.log1p(tokens))
    ratio = np.nanmean(tokens, axis=0) / np.nanmean(np.where(np.isnan(tokens), np.nan, np.exp(lengths(inputs))), axis=0)
    return Fitted(centroids, _additive(inputs, right), Regression(lengths.weights, lengths.bias + np.log(ratio)))


def cross_predict(
    vectors: Floats, right: Floats, tokens: Floats, *, train: npt.NDArray[np.bool_], fold: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Qualities and output tokens of every question, each ``(n, models)``: of training questions out of fold, of all others plainly.

    ``fold`` numbers the parts that are held out in turn; questions that nobody answered are learnt nothing from.
    """
    use = train & ~np.isnan(right).all(axis=1)
    quality, lengths = _predict_both(fit(vectors[use], right[use], tokens[use]), vectors)
    for part in np.unique(fold[use]):
        inside, rest = train & (fold == part), use & (fold != part)
        quality[inside], lengths[inside] = _predict_both(fit(vectors[rest], right[rest], tokens[rest]), vectors[inside])
    return quality, lengths


def _predict_both(fitted: Fitted, vectors: Floats) -> tuple[Floats, Floats]:
    return fitted.predict(vectors), np.exp(fitted.log_tokens(fitted.features(vectors)))


def centroids_of(vectors: Floats) -> Floats:
    """Centres of clusters ``(clusters, dimensions)``, of length 1."""
    clusters = MiniBatchKMeans(min(CLUSTERS, len(vectors)), random_state=SEED, n_init=3, batch_size=1024).fit(vectors)
    centres = np.asarray(clusters.cluster_centers_, dtype=np.float64)
    return centres / np.linalg.norm(centres, axis=1, keepdims=True)


def features(vectors: Floats, centroids: Floats) -> Floats:
    """The embedding and the soft memberships of clusters."""
    scores = vectors @ centroids.T / TEMPERATURE
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.concatenate([vectors, exponentials / exponentials.sum(axis=1, keepdims=True)], axis=1)


def _additive(inputs: Floats, values: Floats) -> Regression:
    """``ability_m + f(x) + g_m(x)``, abilities and difficulty in turns, then what is left of each model."""
    answered = ~np.isnan(values)
    ability = np.nanmean(values, axis=0)
    shared, level = np.zeros(inputs.shape[1]), 0.0
    difficulty_of = Ridge.on(inputs, np.ones(len(inputs), dtype=bool), SHARED_RIDGE)
    for _ in range(ROUNDS):
        difficulty = np.nanmean(values - ability, axis=1)
        shared, level = difficulty_of.fit(difficulty)
        ability = np.nanmean(values - (inputs @ shared + level)[:, None], axis=0)
    left = values - (inputs @ shared + level)[:, None]
    weights, bias = np.empty((inputs.shape[1], values.shape[1])), np.empty(values.shape[1])
    for model in range(values.shape[1]):
        own, offset = Ridge.on(inputs, answered[:, model], OWN_RIDGE).fit(left[:, model])
        weights[:, model], bias[model] = shared + own, level + offset
    return Regression(weights, bias)


def calibration_rmse(predicted: Floats, right: Floats) -> float:
    """Root mean square gap between predicted and observed success rates over bins of equal count, 0.0 to 0.5."""
    bins = np.array_split(np.argsort(predicted), ERROR_BINS)
    gaps = [float((predicted[rows].mean() - right[rows].mean()) ** 2) for rows in bins if len(rows)]
    return min(float(np.sqrt(np.mean(gaps))), 0.5)
