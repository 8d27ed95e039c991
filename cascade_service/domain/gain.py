"""What asking one more model would bring: what is known of a request so far, as rows of features, and the model that reads them.

One code path computes the rows, for a single request and for training over many at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]

NOTHING_SAID: Final = -1
"""Group of a model that was asked and gave no answer to go by, and of one that was not asked."""

GAIN_FEATURES: Final = (
    "n_asked",
    "n_silent",
    "p_top",
    "votes_top",
    "p_second",
    "votes_second",
    "p_none",
    "n_groups",
    "q_mean",
    "q_max_remaining",
    "q_best_asked",
    "price_min_remaining",
    "price_two_cheapest",
    "n_remaining",
    "price",
    "q",
    "q_less_p_top",
    "q_rank",
)
"""What the gain model reads, in order. NaN where there is nothing to tell. Prices are in right answers: cost over what one is worth.

Of the state: models asked, and those of them without an answer to go by; support (greatest confidence of a member) and members of the best
and of the second group of answers that say the same, the probability that none of the groups is right, the number of groups; mean predicted
quality of all models, greatest of those that remain and of those asked; price of the cheapest that remains and of the two cheapest
together, and how many remain.

Of the model in question: its price, its predicted quality, that less the best group's support, and how many that remain are predicted
better.
"""


class GainModel(Protocol):
    """Knows what going on is worth. Called on the event loop: must take less than a millisecond for the models of one plan."""

    def net_gain(self, rows: Rows) -> Floats:
        """The expected net gain for each of ``rows`` (rows, ``GAIN_FEATURES``), as (rows,), in right answers.

        That of asking the model of the row now and going on as well as can be, less all prices, over stopping now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """``n`` states of requests that may go to the same ``m`` models.

    Arrays are (n, m): ``asked``; ``confidence`` 0.0 to 1.0 and ``group`` of each answer, ``NOTHING_SAID`` and any confidence where there is
    none; ``quality`` predicted, 0.0 to 1.0; ``price`` in right answers, 0 or more. Groups count from 0.
    """

    asked: npt.NDArray[np.bool_]
    confidence: Floats
    group: npt.NDArray[np.int64]
    quality: Floats
    price: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A model that was asked. Without a verdict on a whole answer ``confidence`` is None and ``group`` is ``NOTHING_SAID``."""

    quality: float
    confidence: float | None = None
    group: int = NOTHING_SAID


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A model that may be asked next: predicted quality, 0.0 to 1.0, and cost in nano-USD, 0 or more."""

    quality: float
    cost_nano_usd: int


def gain_rows(standing: Sequence[Seen], options: Sequence[Option], answer_worth_nano_usd: int) -> Rows:
    """Rows of one state, (options, ``GAIN_FEATURES``). A right answer is worth ``answer_worth_nano_usd``, 1 or more."""
    asked, said = len(standing), [seen.confidence for seen in standing]
    blank = [0.0] * len(options)
    state = States(
        asked=np.array([[True] * asked + [False] * len(options)]),
        confidence=np.array([[*(0.0 if confidence is None else confidence for confidence in said), *blank]]),
        group=np.array([[*(seen.group for seen in standing), *[NOTHING_SAID] * len(options)]], dtype=np.int64),
        quality=np.array([[*(seen.quality for seen in standing), *(option.quality for option in options)]]),
        price=np.array([[*[0.0] * asked, *(option.cost_nano_usd / answer_worth_nano_usd for option in options)]]),
    )
    return state_rows(state)[0, asked:]


def state_rows(states: States) -> Rows:
    """Rows of many states, (n, m, ``GAIN_FEATURES``). Those of models that were asked mean nothing."""
    columns = {**_state_columns(states), **_model_columns(states)}
    columns["q_less_p_top"] = columns["q"] - columns["p_top"]
    shape = states.asked.shape
    return np.stack([np.broadcast_to(columns[name], shape) for name in GAIN_FEATURES], axis=-1).astype(np.float32)


def _state_columns(states: States) -> dict[str, Floats]:
    """Features of the state, each (n, 1)."""
    asked, remaining = states.asked, ~states.asked
    cheapest = np.sort(np.where(remaining, states.price, np.inf), axis=1)[:, :2]
    columns = {
        "n_asked": asked.sum(axis=1),
        "n_silent": (asked & (states.group == NOTHING_SAID)).sum(axis=1),
        "q_mean": states.quality.mean(axis=1),
        "q_max_remaining": _largest(states.quality, remaining),
        "q_best_asked": _largest(states.quality, asked),
        "price_min_remaining": np.where(np.isfinite(cheapest[:, 0]), cheapest[:, 0], np.nan),
        "price_two_cheapest": np.where(np.isfinite(cheapest[:, 0]), np.where(np.isfinite(cheapest), cheapest, 0.0).sum(axis=1), np.nan),
        "n_remaining": remaining.sum(axis=1),
        **_vote_columns(states),
    }
    return {name: values.astype(np.float64)[:, None] for name, values in columns.items()}


def _vote_columns(states: States) -> dict[str, Floats]:
    """Who is backed how well, each (n,); NaN where nothing was said."""
    count = max(int(states.group.max(initial=0)) + 1, 2)
    members = [states.group == group for group in range(count)]
    votes = np.stack([member.sum(axis=1) for member in members], axis=1)
    support = np.stack([np.where(member, states.confidence, -1.0).max(axis=1, initial=-1.0) for member in members], axis=1)
    order = np.lexsort((votes, support), axis=1)
    top, second = (np.take_along_axis(support, order[:, -place, None], axis=1)[:, 0] for place in (1, 2))
    votes_top, votes_second = (np.take_along_axis(votes, order[:, -place, None], axis=1)[:, 0] for place in (1, 2))
    columns = {
        "p_top": top,
        "votes_top": votes_top,
        "p_second": np.maximum(second, 0.0),
        "votes_second": votes_second,
        "p_none": 1.0 - np.minimum(1.0, np.maximum(support, 0.0).sum(axis=1)),
        "n_groups": (votes > 0).sum(axis=1),
    }
    said = votes_top > 0
    return {name: np.where(said | (name == "n_groups"), values, np.nan) for name, values in columns.items()}


def _model_columns(states: States) -> dict[str, Floats]:
    """Features of each model, (n, m)."""
    remaining = ~states.asked
    rank = np.zeros(states.asked.shape)
    for other in range(states.asked.shape[1]):
        rank += remaining[:, other, None] & (states.quality[:, other, None] > states.quality)
    return {"price": states.price, "q": states.quality, "q_rank": rank}


def _largest(values: Floats, among: npt.NDArray[np.bool_]) -> Floats:
    largest = np.where(among, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, np.nan)
