"""Rows of figures on answers that are read together: what is known of one, of those that say the same, and of those that differ.

Written for many sets of answers at a time, because training looks at hundreds of thousands of them; serving looks at one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from judge_service.domain.final_answer import FinalAnswer, same_answer

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SAME_FROM: Final = 0.5
"""Similarity from which two final answers count as the same."""
SILENT: Final = -1
"""Group of an answer that says nothing."""
OPEN_ALTERNATIVES: Final = 10.0
"""Number of answers that an open question is taken to have when the chance of agreeing by accident is reckoned."""
LOG_ODDS_MAX: Final = 7.0

TOGETHER_FEATURES: Final = (
    "own",
    "quality",
    "rate",
    "p_chosen",
    "p_margin",
    "p_best",
    "p_entropy",
    "others",
    "silent",
    "answers",
    "agree",
    "agree_sum",
    "agree_max",
    "agree_quality_sum",
    "agree_quality_max",
    "agree_rate_sum",
    "agree_rate_max",
    "agree_words_alike",
    "agree_numbers_alike",
    "differ",
    "differ_sum",
    "differ_max",
    "differ_min",
    "differ_quality_sum",
    "differ_quality_max",
    "differ_rate_sum",
    "differ_rate_max",
    "differ_words_alike",
    "differ_numbers_alike",
    "rival_votes",
    "rival_prior",
    "rival_support",
    "support",
    "posterior",
    "rival_quality",
    "quality_support",
    "quality_posterior",
    "w_question",
    "q_options",
    "q_option_numeric",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """Sets of answers, one row per set and one column per answer; ``here`` says which columns of a row hold one.

    ``log_odds`` is what the answer alone says. ``quality`` are the log-odds that the router predicted for the model before there was an
    answer, ``rate`` those of its record; ``prior`` ``(sets, answers, 4)``; NaN where unknown. ``group`` is equal for answers that say the
    same, and ``SILENT``. ``words_alike`` and ``numbers_alike`` ``(sets, answers, answers)`` are Jaccard overlaps. Per set: ``ease`` of the
    question's words, number of ``options`` (0 for an open question) and the share of them that is ``numeric``.
    """

    here: Mask
    log_odds: Floats
    quality: Floats
    rate: Floats
    prior: Floats
    group: npt.NDArray[np.int64]
    words_alike: Floats
    numbers_alike: Floats
    ease: Floats
    options: Floats
    numeric: Floats


def groups_of(finals: Sequence[FinalAnswer], log_odds: Sequence[float]) -> npt.NDArray[np.int64]:
    """Group of each answer; the most probable answer of a group stands for it, so the order of the answers does not matter."""
    found = np.full(len(finals), SILENT, dtype=np.int64)
    leaders: list[int] = []
    for index in sorted(range(len(finals)), key=lambda place: -log_odds[place]):
        if finals[index].form == "nothing":
            continue
        home = next((place for place, leader in enumerate(leaders) if same_answer(finals[leader], finals[index]) >= SAME_FROM), None)
        if home is None:
            home = len(leaders)
            leaders.append(index)
        found[index] = home
    return found


def alike(pieces: Sequence[npt.NDArray[np.uint16]], numbers: Sequence[frozenset[float]]) -> tuple[Floats, Floats]:
    """Overlap (Jaccard) of the words and of the numbers of each pair of answers; NaN where neither has a number."""
    count = len(pieces)
    words, figures = np.zeros((count, count)), np.full((count, count), np.nan)
    for one in range(count):
        for other in range(one):
            common = np.intersect1d(pieces[one], pieces[other], assume_unique=True).size
            words[one, other] = words[other, one] = common / max(pieces[one].size + pieces[other].size - common, 1)
            if either := numbers[one] | numbers[other]:
                figures[one, other] = figures[other, one] = len(numbers[one] & numbers[other]) / len(either)
    return words, figures


def together_rows(answers: Answers) -> npt.NDArray[np.float32]:
    """Input of the ensemble ``together``: ``(sets, answers, TOGETHER_FEATURES)``; rows of columns that hold no answer mean nothing."""
    spoke = answers.here & (answers.group != SILENT)
    same = (answers.group[:, :, None] == answers.group[:, None, :]) & spoke[:, :, None] & spoke[:, None, :]
    itself = np.eye(answers.here.shape[1], dtype=np.bool_)
    agree, differ = same & ~itself, spoke[:, None, :] & ~same & ~itself
    leads = spoke & ~(same & np.tril(~itself)).any(axis=2)
    unknown = (np.isnan(answers.quality) & answers.here).sum(axis=1, keepdims=True)
    quality = np.where(unknown == 0, answers.quality, np.nan)
    options = np.where(answers.options > 0.0, np.maximum(answers.options, 2.0), OPEN_ALTERNATIVES)
    counted = _Support(same | (itself & answers.here[:, :, None]), leads, differ, np.log(options - 1.0))
    rival, support, posterior = counted.of(answers.log_odds)
    rival_quality, quality_support, quality_posterior = counted.of(quality)
    said = (answers.log_odds, quality, answers.rate)
    votes = same.sum(axis=2).astype(np.float64)
    columns = (
        *said,
        *np.moveaxis(answers.prior, 2, 0),
        answers.here.sum(axis=1) - 1.0,
        (answers.here & ~spoke).sum(axis=1),
        leads.sum(axis=1),
        agree.sum(axis=2),
        *_sums_and_highest(agree, said),
        _highest(agree, answers.words_alike),
        _highest(agree, answers.numbers_alike),
        differ.sum(axis=2),
        *_sums_and_highest(differ, said[:1]),
        -_highest(differ, -_across(answers.log_odds)),
        *_sums_and_highest(differ, said[1:]),
        _highest(differ, answers.words_alike),
        _highest(differ, answers.numbers_alike),
        np.nan_to_num(_highest(differ, _across(votes))),
        _highest(differ, _across(answers.prior[:, :, 0])),
        rival,
        support,
        posterior,
        rival_quality,
        quality_support,
        quality_posterior,
        answers.ease,
        answers.options,
        np.where(answers.options > 0.0, answers.numeric, np.nan),
    )
    shape = answers.here.shape
    return np.stack([np.broadcast_to(column if column.ndim > 1 else column[:, None], shape) for column in columns], axis=2).astype(
        np.float32
    )


@dataclass(frozen=True, slots=True)
class _Support:
    """Adds up what speaks for groups of answers. ``log_rivals`` ``(sets,)`` is the logarithm of the number of wrong answers."""

    same: Mask
    leads: Mask
    differ: Mask
    log_rivals: Floats

    def of(self, log_odds: Floats) -> tuple[Floats, Floats, Floats]:
        """The strongest rival group's support, the own group's, and the logarithm of its share of all and of an answer nobody gave.

        One answer's support are the log-odds against one particular wrong answer: ln(p (n - 1) / (1 - p)).
        """
        weight = np.clip(log_odds, -LOG_ODDS_MAX, LOG_ODDS_MAX) + self.log_rivals[:, None]
        support = np.where(self.same, weight[:, None, :], 0.0).sum(axis=2)
        every = np.where(self.leads, support, -np.inf)
        highest = np.maximum(every.max(axis=1), 0.0)
        total = highest + np.log(np.exp(every - highest[:, None]).sum(axis=1) + np.exp(-highest))
        return _highest(self.differ, _across(support)), support, support - total[:, None]


def _across(values: Floats) -> Floats:
    """Values of the answers as seen from each answer: ``(sets, 1, answers)``."""
    return values[:, None, :]


def _sums_and_highest(chosen: Mask, said: Sequence[Floats]) -> list[Floats]:
    found: list[Floats] = []
    for values in said:
        known = np.where(chosen, np.nan_to_num(_across(values)), 0.0).sum(axis=2)
        found += [known, _highest(chosen, _across(values))]
    return found


def _highest(chosen: Mask, values: Floats) -> Floats:
    """Highest known value among the chosen, NaN without one."""
    among: Floats = np.where(chosen, values, -np.inf)
    highest = np.nan_to_num(among, nan=-np.inf, neginf=-np.inf).max(axis=2)
    return np.where(highest > -np.inf, highest, math.nan)
