"""The verifier: how likely an answer is right, from its text, the question's text, and the other answers there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from judge_service.domain.candidates import Case
from judge_service.domain.verdicts import Opinion
from judge_service.domain.verifier_features import AnswerSheet, QuestionSheet, read_answer, read_question
from judge_service.domain.verifier_rows import KindRecord, alone_row, kind_of, option_rows, prior_row, record_row, shares_of
from judge_service.domain.verifier_together import Answers, alike, groups_of, together_rows
from judge_service.domain.verifier_words import linear_score

OTHERS_MAX: Final = 7
"""Only so many other answers are read: each takes about a millisecond, and training saw no more."""
READ_MAX: Final = 64
"""Questions, answers and sets of them that are kept as read: a cascade has its earlier answers judged again with every new one."""
QUALITY_EDGE: Final = 1e-3
"""Predicted qualities are taken to be this far from 0 and 1, at least."""


class Trees(Protocol):
    """An ensemble of trees."""

    def log_odds(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Log-odds of each row of (rows, features), (rows,)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WordScore:
    """A linear score of words: weights of ``SLOTS`` slots and an intercept."""

    weights: npt.NDArray[np.float32]
    intercept: float

    def of(self, slots: npt.NDArray[np.uint16]) -> float:
        """Log-odds that ``slots`` suggest."""
        return linear_score(slots, self.weights, self.intercept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A calibration: probabilities at rising log-odds, linear in between, constant outside."""

    log_odds: tuple[float, ...]
    probabilities: tuple[float, ...]

    def at(self, log_odds: float) -> float:
        """Calibrated probability, 0.0 to 1.0."""
        return float(np.interp(log_odds, self.log_odds, self.probabilities))


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierParts:
    """What training publishes.

    ``choice`` reads answers to questions with options, ``open`` all others. ``records`` has one entry per kind of question (``KINDS``) for
    every model that is known.
    """

    options: Trees
    choice: Trees
    open: Trees
    together: Trees
    question_words: WordScore
    answer_words: WordScore
    records: Mapping[str, tuple[KindRecord, ...]]
    curve: Curve


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """A question as read, with the plausibility of its options and the ease that its words suggest."""

    sheet: QuestionSheet
    shares: npt.NDArray[np.float64]
    ease: float


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One answer with all that is known of it before the others are looked at. ``log_odds`` is what ``choice`` or ``open`` says."""

    sheet: AnswerSheet
    prior: tuple[float, ...]
    rate: float
    log_odds: float


@dataclass(frozen=True, slots=True)
class _Told:
    """An answer as the verifier is told of it."""

    text: str
    model: str
    quality: float | None


def _order(answer: _Told) -> tuple[str, str, float]:
    return answer.text, answer.model, -1.0 if answer.quality is None else answer.quality


class Verifier:
    """Reads answers. Thread-safe as far as the trees are."""

    def __init__(self, parts: VerifierParts) -> None:
        self._parts = parts
        self._question = lru_cache(READ_MAX)(self._read_question)
        self._seen = lru_cache(READ_MAX)(self._read_answer)
        self._scores = lru_cache(READ_MAX)(self._score_all)

    def opinion_of(self, case: Case) -> Opinion:
        """Calibrated probability that the candidate is right.

        Abstains on free text, of which training has seen none. Never raises on any text.
        """
        question = self._question(case.question)
        seen = self._seen(case.question, case.candidate.text, case.candidate.model)
        if seen.sheet.final.form == "prose" and not question.sheet.options.texts:
            return Opinion(score=None, explanation="the answer ends in free text; only short final answers can be verified")
        others = [other for other in case.others[:OTHERS_MAX] if other.text.strip()]
        told = [_Told(one.text, one.model, one.predicted_quality) for one in (case.candidate, *others)]
        score = self._scores(case.question, tuple(sorted(told, key=_order)))[told[0]]
        if not others:
            return Opinion(score=score, explanation="from the answer alone")
        return Opinion(score=score, explanation=f"from the answer and {len(others)} other{'s' if len(others) > 1 else ''}")

    def _score_all(self, asked: str, told: tuple[_Told, ...]) -> Mapping[_Told, float]:
        """Scores of all answers of a set, whatever their order."""
        rows = together_rows(self._answers(asked, self._question(asked), told))
        log_odds = self._parts.together.log_odds(rows[0])
        return {answer: self._parts.curve.at(float(value)) for answer, value in zip(told, log_odds, strict=True)}

    def _answers(self, asked: str, question: _Question, told: Sequence[_Told]) -> Answers:
        """One set of answers."""
        seen = [self._seen(asked, answer.text, answer.model) for answer in told]
        options = question.sheet.options
        log_odds = [answer.log_odds for answer in seen]
        words, numbers = alike([answer.sheet.slots for answer in seen], [answer.sheet.numbers for answer in seen])
        return Answers(
            here=np.ones((1, len(seen)), dtype=np.bool_),
            log_odds=np.array([log_odds]),
            quality=np.array([[_log_odds(answer.quality) for answer in told]]),
            rate=np.array([[answer.rate for answer in seen]]),
            prior=np.array([[answer.prior for answer in seen]]),
            group=groups_of([answer.sheet.final for answer in seen], log_odds)[None],
            words_alike=words[None],
            numbers_alike=numbers[None],
            ease=np.array([question.ease]),
            options=np.array([float(len(options.texts))]),
            numeric=np.array([options.numeric_share]),
        )

    def _read_question(self, text: str) -> _Question:
        sheet = read_question(text)
        shares = shares_of(self._parts.options.log_odds(option_rows(sheet)))
        return _Question(sheet, shares, self._parts.question_words.of(sheet.slots))

    def _read_answer(self, asked: str, text: str, model: str) -> _Seen:
        parts, question = self._parts, self._question(asked)
        sheet = read_answer(text, question.sheet)
        records = parts.records.get(model)
        record = None if records is None else records[kind_of(question.sheet)]
        prior = prior_row(question.shares, sheet.choice)
        words = (question.ease, parts.answer_words.of(sheet.slots))
        row = alone_row(question.sheet, sheet, prior=prior, record=record_row(sheet, record), words=words)
        trees = parts.choice if question.sheet.options.texts else parts.open
        log_odds = float(trees.log_odds(np.array([row], dtype=np.float32))[0])
        return _Seen(sheet, prior, math.nan if record is None else record.rate, log_odds)


def _log_odds(probability: float | None) -> float:
    """Log-odds of a predicted quality, NaN without one."""
    if probability is None:
        return math.nan
    safe = min(max(probability, QUALITY_EDGE), 1.0 - QUALITY_EDGE)
    return math.log(safe / (1.0 - safe))
