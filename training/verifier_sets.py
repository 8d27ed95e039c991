"""Sets of recorded answers to one question, as the ensemble ``together`` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from judge_service.domain.verifier_together import Answers, alike, groups_of
from training.verifier_corpus import Corpus

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

NOBODY: Final = -1
"""Stands in a set where there is no answer."""
SIZES: Final = (1, 1, 2, 2, 3, 3, 4, 5, 6, 8)
"""Sizes of the sets that are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of every answer of a corpus before others are looked at, in columns of equal length.

    ``place`` is the answer's among those to its question; ``words`` and ``numbers`` have, per question, how alike its answers are.
    """

    question: Places
    place: Places
    log_odds: Floats
    quality: Floats
    rate: Floats
    prior: Floats
    group: Places
    ease: Floats
    options: Floats
    numeric: Floats
    words: Sequence[npt.NDArray[np.float32]]
    numbers: Sequence[npt.NDArray[np.float32]]

    def sets(self, chosen: Places) -> Answers:
        """Sets ``(sets, answers)`` of answers by their number in the corpus, ``NOBODY`` where there is none."""
        here = chosen != NOBODY
        some = np.where(here, chosen, np.take_along_axis(chosen, here.argmax(axis=1)[:, None], axis=1))
        asked = self.question[some[:, 0]]
        return Answers(
            here=here,
            log_odds=self.log_odds[some],
            quality=self.quality[some],
            rate=self.rate[some],
            prior=self.prior[some],
            group=self.group[some],
            words_alike=_pairs(self.words, asked, self.place[some]),
            numbers_alike=_pairs(self.numbers, asked, self.place[some]),
            ease=self.ease[some[:, 0]],
            options=self.options[asked],
            numeric=self.numeric[asked],
        )


def know(corpus: Corpus, *, log_odds: Floats, quality: Floats, rate: Floats, prior: Floats, ease: Floats) -> Known:
    """Compares all answers to the same question with each other."""
    members = answers_by_question(corpus)
    place, group = np.zeros(len(log_odds), dtype=np.int64), np.zeros(len(log_odds), dtype=np.int64)
    words: list[npt.NDArray[np.float32]] = []
    numbers: list[npt.NDArray[np.float32]] = []
    for own in members:
        sheets = [corpus.sheets[index] for index in own]
        place[own] = np.arange(len(own))
        group[own] = groups_of([sheet.final for sheet in sheets], log_odds[own].tolist())
        said, figures = alike([sheet.slots for sheet in sheets], [sheet.numbers for sheet in sheets])
        words.append(said.astype(np.float32))
        numbers.append(figures.astype(np.float32))
    return Known(
        question=corpus.question,
        place=place,
        log_odds=log_odds,
        quality=quality,
        rate=rate,
        prior=prior,
        group=group,
        ease=ease,
        options=np.array([float(len(question.options.texts)) for question in corpus.questions]),
        numeric=np.array([question.options.numeric_share for question in corpus.questions]),
        words=words,
        numbers=numbers,
    )


def answers_by_question(corpus: Corpus) -> list[Places]:
    """Numbers of the answers to each question."""
    order = np.argsort(corpus.question, kind="stable")
    ends = np.searchsorted(corpus.question[order], np.arange(len(corpus.questions) + 1))
    return [order[start:end] for start, end in pairwise(ends)]


def draw_sets(members: Iterable[Places], *, times: int, rng: np.random.Generator) -> Places:
    """``times`` sets of each of ``members``, of sizes drawn from ``SIZES``, ``(sets, largest size)``."""
    drawn: list[Places] = []
    for own in members:
        for size in rng.choice(SIZES, times).tolist():
            row = np.full(max(SIZES), NOBODY)
            some = rng.permutation(own)[:size]
            row[: len(some)] = some
            drawn.append(row)
    return np.array(drawn)


def _pairs(tables: Sequence[npt.NDArray[np.float32]], asked: Places, place: Places) -> Floats:
    found = np.empty((*place.shape, place.shape[1]))
    for row, (question, own) in enumerate(zip(asked.tolist(), place, strict=True)):
        found[row] = tables[question][np.ix_(own, own)]
    return found
