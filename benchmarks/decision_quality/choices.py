"""Methods that choose before anything is answered and are no part of the product: what the product has to beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.decision_quality.play import Played
from benchmarks.decision_quality.pools import Floats, Pool

Picks = npt.NDArray[np.int64]

NEIGHBOURS = 30
PRIOR_NEIGHBOURS = 3.0
SHARPNESS = 0.05
"""Distance in cosine similarity over which a neighbour's weight falls by a factor e."""


def cheapest_right(pool: Pool) -> Picks:
    """The oracle: the cheapest endpoint that is right, the cheapest at all when none is."""
    price = np.where(pool.right > 0.0, pool.cost, pool.cost + 1e6)
    return np.asarray(price.argmin(axis=1), dtype=np.int64)


def random_mix(pool: Pool, *, cheap: int, dear: int, share: float) -> Played:
    """Expected accuracy and cost when the dear endpoint gets ``share`` of the questions by lot."""
    weights = np.array([1.0 - share, share])
    pair = [cheap, dear]
    ones = np.ones(len(pool.questions), dtype=np.int64)
    return Played(pool.right[:, pair] @ weights, pool.cost[:, pair] @ weights, ones, np.zeros(len(ones)))


def neighbours_quality(vectors: Floats, known: Floats, right: Floats) -> Floats:
    """Success rates among the nearest training questions ``(questions, endpoints)``; vectors have length 1."""
    count = min(NEIGHBOURS, len(known))
    similarity = vectors @ known.T
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(similarity, nearest, axis=1)
    weight = np.exp((near - near.max(axis=1, keepdims=True)) / SHARPNESS)
    prior = PRIOR_NEIGHBOURS * weight.mean(axis=1, keepdims=True)
    total = (weight[:, :, None] * right[nearest]).sum(axis=1) + prior * right.mean(axis=0)
    return total / (weight.sum(axis=1, keepdims=True) + prior)


def best_net(quality: Floats, cost_ratio: Floats, *, trade_off: float) -> Picks:
    """The endpoint with the best predicted quality less ``trade_off`` times its cost relative to the best single model."""
    return np.asarray((quality - trade_off * cost_ratio).argmax(axis=1), dtype=np.int64)
