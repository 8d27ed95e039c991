"""Logistic regression with weights that are not negative, small enough to be read: cyclic coordinate descent on a convex loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SWEEPS_MAX = 500
_TOLERANCE = 1e-7
_CURVATURE_MIN = 1e-6


@dataclass(frozen=True, slots=True)
class Fit:
    """Log-odds = ``intercept`` + features · ``weights``."""

    intercept: float
    weights: Array

    def probability(self, features: Array) -> Array:
        """One probability per row of ``features``."""
        return sigmoid(self.intercept + features @ self.weights)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def fit_logistic(
    features: Array, labels: Array, *, penalty: float, free: frozenset[int] = frozenset(), weights: Array | None = None
) -> Fit:
    """Minimises the weighted log loss plus ``penalty``/2 · Σ (weight · spread)², spread being the feature's standard deviation.

    Weights are 0 or more except those at positions ``free``. ``weights`` are the rows' own, default 1.
    """
    rows = np.ones(len(labels)) if weights is None else weights
    ridge = penalty * features.var(axis=0) if features.size else np.zeros(features.shape[1])
    coefficients = np.zeros(features.shape[1])
    intercept = 0.0
    for _ in range(_SWEEPS_MAX):
        before = np.append(coefficients, intercept)
        intercept += _step(np.ones(len(labels)), _residual(intercept, coefficients, features, labels), rows, 0.0, 0.0)
        for position in range(len(coefficients)):
            residual = _residual(intercept, coefficients, features, labels)
            moved = coefficients[position] + _step(features[:, position], residual, rows, ridge[position], coefficients[position])
            coefficients[position] = moved if position in free else max(moved, 0.0)
        if np.abs(np.append(coefficients, intercept) - before).max() < _TOLERANCE:
            break
    return Fit(float(intercept), coefficients)


def _residual(intercept: float, coefficients: Array, features: Array, labels: Array) -> Array:
    return labels - sigmoid(intercept + features @ coefficients)


def _step(column: Array, residual: Array, rows: Array, ridge: float, current: float) -> float:
    """A step against the gradient, with an upper bound of the curvature (a quarter per row), so that the loss never rises."""
    gradient = float((rows * residual) @ column) - ridge * current
    curvature = float((rows * column) @ column) / 4.0 + ridge
    return gradient / max(curvature, _CURVATURE_MIN)


def auroc(scores: Array, labels: Array) -> float:
    """Probability that a right answer scores above a wrong one, ties counting half; NaN when one of the two is missing."""
    right, wrong = scores[labels > 0], np.sort(scores[labels <= 0])
    if not len(right) or not len(wrong):
        return float("nan")
    below = np.searchsorted(wrong, right, side="left") + np.searchsorted(wrong, right, side="right")
    return float(below.mean() / (2 * len(wrong)))


def brier(scores: Array, labels: Array) -> float:
    """Mean squared distance between probability and outcome."""
    return float(((scores - labels) ** 2).mean())


def calibration_error(scores: Array, labels: Array, *, bins: int = 10) -> float:
    """Expected calibration error over ``bins`` equally wide bins."""
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [abs(float(scores[place == i].mean() - labels[place == i].mean())) * float((place == i).mean()) for i in np.unique(place)]
    return float(sum(gaps))
