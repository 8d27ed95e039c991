"""Fits the gain model: what asking one more model is worth, when the request goes on sensibly after it.

One step of policy improvement by roll-outs. From a drawn state one model is asked; from there a simple rule goes on (ask the model of most
predicted net worth until the support is high enough for what the best model costs). What the recorded answers then bring, less all costs
and less what stopping at once would have brought, is the target. Looking one answer ahead would miss that two cheap answers that agree
are worth what neither is alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from cascade_service.domain.gain import GAIN_FEATURES, Rows
from training.value_states import Belief, Episodes, Floats, Mask, Standing, rows_of

BELIEF_SHARE: Final = 0.5
"""Share of the belief in a target's worth; the rest is whether the answer was right. The belief is less noisy, the label unbiased."""
ASKED_FIRST: Final = (0, 0, 1, 1, 2, 2, 3, 4)
"""How many models were asked already in a drawn state."""
CHEAP_FIRST: Final = 0.5
"""How much a drawn state prefers cheap models."""
STEPS_PER_STATE: Final = 2
PRICE_AVERSION: Final = 3.0
"""The rule that goes on asks the model with the best quality less this many prices,"""
STOP_PRICES: Final = 1.5
"""stops at a support of 1 less this many prices of the best model (0.6 at least),"""
STOP_MIN: Final = 0.6
ASK_PRICE_MAX: Final = 0.25
"""asks nobody dearer than this,"""
ASKED_MAX: Final = 5
"""and no more than so many."""
TARGET_MAX: Final = 1.2
ROUNDS: Final = 300
FALLS_WITH: Final = ("price", "p_top")
RISES_WITH: Final = ("q",)
TREES: Final[dict[str, Any]] = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 600,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "seed": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
    "monotone_constraints": [(name in RISES_WITH) - (name in FALLS_WITH) for name in GAIN_FEATURES],
}


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the gain model learns from: rows and targets in right answers."""

    rows: Rows
    targets: Floats


def lessons_of(episodes: Episodes, belief: Belief, rng: np.random.Generator) -> Lessons:
    """Lessons from one drawn state of every episode."""
    asked = _drawn(episodes, rng)
    before = belief.standing(episodes, asked)
    rows = rows_of(episodes, before, asked)
    state, model = _steps(asked, rng)
    there, after = episodes.part(state), asked[state]
    after[np.arange(len(state)), model] = True
    final = go_on(there, belief, after)
    end = belief.standing(there, final)
    spent = (there.cost * (final & ~asked[state])).sum(axis=1)
    targets = _worth(end) - _worth(before)[state] - spent
    return Lessons(rows[state, model], np.clip(targets, -TARGET_MAX, TARGET_MAX))


def fit(lessons: list[Lessons], *, threads: int) -> lgb.Booster:
    """The gain model."""
    rows, targets = np.concatenate([some.rows for some in lessons]), np.concatenate([some.targets for some in lessons])
    return lgb.train({**TREES, "num_threads": threads}, lgb.Dataset(rows, targets), ROUNDS)


def go_on(episodes: Episodes, belief: Belief, asked: Mask) -> Mask:
    """Who has been asked in the end by the rule."""
    asked = asked.copy()
    rows = np.arange(len(asked))
    best_price = episodes.price[rows, episodes.quality.argmax(axis=1)]
    enough = np.maximum(STOP_MIN, 1.0 - STOP_PRICES * best_price)
    active = rows
    while active.size:
        some = episodes.part(active)
        left = np.where(asked[active], -np.inf, some.quality - PRICE_AVERSION * some.price)
        pick = left.argmax(axis=1)
        price = some.price[np.arange(len(active)), pick]
        may = (~asked[active]).any(axis=1) & (asked[active].sum(axis=1) < ASKED_MAX) & (price < ASK_PRICE_MAX)
        goes = may & (belief.standing(some, asked[active]).support < enough[active])
        asked[active[goes], pick[goes]] = True
        active = active[goes]
    return asked


def follow(episodes: Episodes, belief: Belief, booster: lgb.Booster) -> tuple[Mask, Standing]:
    """Who is asked in the end by the value policy, and what is believed then."""
    asked = np.zeros(episodes.answers.shape, dtype=np.bool_)
    active = np.arange(len(asked))
    while active.size:
        some = episodes.part(active)
        rows = rows_of(some, belief.standing(some, asked[active]), asked[active])
        gain = np.asarray(booster.predict(rows.reshape(-1, rows.shape[2]), num_threads=1)).reshape(rows.shape[:2])
        gain[asked[active]] = -np.inf
        pick = gain.argmax(axis=1)
        goes = ~asked[active].all(axis=1) & ((gain.max(axis=1) > 0.0) | ~asked[active].any(axis=1))
        asked[active[goes], pick[goes]] = True
        active = active[goes]
    return asked, belief.standing(episodes, asked)


def _worth(standing: Standing) -> Floats:
    return BELIEF_SHARE * standing.support + (1.0 - BELIEF_SHARE) * standing.right


def _drawn(episodes: Episodes, rng: np.random.Generator) -> Mask:
    """Models that were asked already, rather the cheap ones."""
    count, models = episodes.answers.shape
    cheapness = np.argsort(np.argsort(episodes.price, axis=1), axis=1) / models
    order = np.argsort(np.argsort(rng.random((count, models)) + CHEAP_FIRST * cheapness, axis=1), axis=1)
    return order < np.minimum(rng.choice(ASKED_FIRST, count), models - 1)[:, None]


def _steps(asked: Mask, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Up to ``STEPS_PER_STATE`` models that were not asked, of every state."""
    lot = np.where(asked, 2.0, rng.random(asked.shape))
    order = np.argsort(lot, axis=1)[:, :STEPS_PER_STATE]
    state, place = np.nonzero(np.take_along_axis(lot, order, axis=1) <= 1.0)
    return state, order[state, place]
