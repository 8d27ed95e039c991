"""Requests that never were: pools of recorded models, plans over them, and what asking some of them comes to.

Every episode is one recorded question put to one pool of models at one worth of a right answer. Its plan holds the models of most
predicted net worth, as the router orders them. What is believed of the answers is the verifier's, out of fold on training questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from cascade_service.domain.gain import NOTHING_SAID, Rows, States, state_rows
from judge_service.domain.verifier_together import SILENT
from training.verifier_sets import NOBODY, Places
from training.verifier_work import Work

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PLAN_MODELS: Final = 8
"""Models in a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Facts of every recorded answer, in columns: actual and predicted cost in nano-USD, predicted quality."""

    cost: Floats
    predicted_cost: Floats
    quality: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """Episodes of one pool ``(episodes, models)``: the recorded answer behind each planned model, what it costs and is predicted to cost.

    Costs are in right answers. ``right`` is 1.0 for a right answer.
    """

    answers: Places
    quality: Floats
    price: Floats
    cost: Floats
    right: Floats
    group: npt.NDArray[np.int64]

    def part(self, rows: Places) -> Episodes:
        """Some of the episodes, any of them as often as wanted."""
        return Episodes(**{name: getattr(self, name)[rows] for name in self.__slots__})


def make_episodes(work: Work, answered: Answered, pool: Places, worth: Floats) -> Episodes:
    """Plans for the questions of ``pool`` ``(questions, models)`` (numbers of answers) at ``worth`` ``(questions,)`` in nano-USD."""
    net = answered.quality[pool] - answered.predicted_cost[pool] / worth[:, None]
    chosen = np.take_along_axis(pool, np.argsort(-net, axis=1, kind="stable")[:, :PLAN_MODELS], axis=1)
    group = work.known.group[chosen]
    return Episodes(
        answers=chosen,
        quality=answered.quality[chosen],
        price=answered.predicted_cost[chosen] / worth[:, None],
        cost=answered.cost[chosen] / worth[:, None],
        right=work.corpus.correct[chosen].astype(np.float64),
        group=np.where(group != SILENT, group, NOTHING_SAID),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """What is believed once some models were asked: confidences, support of the best group, and whether its answer is right (0.0, 1.0)."""

    confidence: Floats
    support: Floats
    right: Floats


class Judging(Protocol):
    """Who is believed: the verifier by itself, or a panel with it."""

    def confidence(self, sets: Places) -> npt.NDArray[np.float32]:
        """Calibrated probability that each answer of each set is right ``(sets, answers)``, NaN where there is none."""
        ...


class Belief:
    """The confidences of ``judging``. Equal sets of answers are judged once."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging
        self._known: dict[bytes, npt.NDArray[np.float32]] = {}

    def standing(self, episodes: Episodes, asked: Mask) -> Standing:
        """After ``asked`` ``(episodes, models)``; nothing asked supports nothing."""
        confidence = self._confidence(np.where(asked, episodes.answers, NOBODY))
        spoke = asked & (episodes.group != NOTHING_SAID)
        believed = np.where(spoke, np.nan_to_num(confidence), -1.0)
        same = (episodes.group[:, :, None] == episodes.group[:, None, :]) & spoke[:, :, None] & spoke[:, None, :]
        support = np.where(same, believed[:, None, :], -1.0).max(axis=2)
        votes = same.sum(axis=2)
        # The product gives the best group's member of the best predicted model; within a group all are equally right.
        order = np.lexsort((episodes.quality, votes, support), axis=1)[:, -1]
        rows = np.arange(len(order))
        there = support[rows, order] >= 0.0
        return Standing(
            confidence=np.nan_to_num(confidence).astype(np.float64),
            support=np.where(there, support[rows, order], 0.0),
            right=np.where(there, episodes.right[rows, order], 0.0),
        )

    def _confidence(self, sets: Places) -> npt.NDArray[np.float32]:
        order = np.argsort(sets, axis=1)
        unique, inverse = np.unique(np.take_along_axis(sets, order, axis=1), axis=0, return_inverse=True)
        keys = [row.tobytes() for row in unique]
        fresh = [place for place, key in enumerate(keys) if key not in self._known]
        if fresh:
            self._learn(unique[fresh], [keys[place] for place in fresh])
        found = np.stack([self._known[key] for key in keys])[inverse.reshape(-1)]
        back = np.empty_like(found)
        np.put_along_axis(back, order, found, axis=1)
        return back

    def _learn(self, sets: Places, keys: Sequence[bytes]) -> None:
        said = np.full(sets.shape, np.nan, dtype=np.float32)
        anyone = (sets != NOBODY).any(axis=1)
        if anyone.any():
            said[anyone] = self._judging.confidence(sets[anyone])
        self._known.update(zip(keys, said, strict=True))


def rows_of(episodes: Episodes, standing: Standing, asked: Mask) -> Rows:
    """What the gain model reads ``(episodes, models, features)``."""
    state = States(
        asked=asked,
        confidence=standing.confidence,
        group=np.where(asked, episodes.group, NOTHING_SAID),
        quality=episodes.quality,
        price=episodes.price,
    )
    return state_rows(state)
