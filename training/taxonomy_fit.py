"""Fits one axis of the taxonomy: multinomial logistic regression on embeddings, temperature, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

STRENGTHS = (3.0, 10.0)
"""Inverse regularisation strengths; the one with the least log loss on dev is taken."""
TEMPERATURES = tuple(np.geomspace(0.4, 3.0, 61).tolist())
ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class Sample:
    """Embeddings ``(n, 384)``, label indices ``(n,)`` and weights ``(n,)``."""

    vectors: Vectors
    labels: Labels
    weights: Floats

    def where(self, chosen: npt.NDArray[np.bool_]) -> Sample:
        """The rows that are chosen."""
        return Sample(self.vectors[chosen], self.labels[chosen], self.weights[chosen])


@dataclass(frozen=True, slots=True)
class Head:
    """Linear scores ``vectors @ weights + bias`` ``(n, labels)``; a softmax over scores divided by ``temperature`` gives probabilities."""

    weights: Floats
    bias: Floats
    strength: float
    temperature: float = 1.0

    def probabilities(self, vectors: Vectors) -> Floats:
        """Probabilities ``(n, labels)``; rows add up to 1."""
        scores = (vectors @ self.weights + self.bias) / self.temperature
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def fit_head(train: Sample, dev: Sample, *, label_count: int) -> Head:
    """The head with the least weighted log loss on ``dev``, then its temperature, chosen on ``dev`` as well."""
    heads = [_fit(train, strength, label_count=label_count) for strength in STRENGTHS]
    best = min(heads, key=lambda head: _loss(head, dev))
    tempered = [Head(best.weights, best.bias, best.strength, temperature) for temperature in TEMPERATURES]
    return min(tempered, key=lambda head: _loss(head, dev))


def _fit(train: Sample, strength: float, *, label_count: int) -> Head:
    model = LogisticRegression(C=strength, max_iter=400)
    model.fit(train.vectors, train.labels, sample_weight=train.weights)
    if len(model.classes_) != label_count:
        raise ValueError(f"{label_count} labels, but the training data has {len(model.classes_)}")
    return Head(np.asarray(model.coef_, dtype=np.float64).T, np.asarray(model.intercept_, dtype=np.float64), strength)


def _loss(head: Head, sample: Sample) -> float:
    probabilities = head.probabilities(sample.vectors)
    return float(log_loss(sample.labels, probabilities, sample_weight=sample.weights, labels=np.arange(probabilities.shape[1])))


def quality(head: Head, sample: Sample) -> dict[str, float | int]:
    """Accuracy, macro-F1 over the labels that occur, expected calibration error of the best label, log loss, and n."""
    probabilities = head.probabilities(sample.vectors)
    predicted = probabilities.argmax(axis=1)
    right = predicted == sample.labels
    return {
        "n": len(sample.labels),
        "accuracy": round(float(right.mean()), 4),
        "majority_share": round(float(np.bincount(sample.labels).max() / len(sample.labels)), 4),
        "macro_f1": round(float(f1_score(sample.labels, predicted, average="macro", labels=np.unique(sample.labels), zero_division=0)), 4),
        "ece": round(calibration_error(probabilities.max(axis=1), right), 4),
        "log_loss": round(float(log_loss(sample.labels, probabilities, labels=np.arange(probabilities.shape[1]))), 4),
    }


def calibration_error(confidence: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over ``ECE_BINS`` bins of equal width: mean |accuracy − confidence|, weighted by bin."""
    bins = np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gaps = [abs(right[bins == index].mean() - confidence[bins == index].mean()) * (bins == index).mean() for index in np.unique(bins)]
    return float(np.sum(gaps))
