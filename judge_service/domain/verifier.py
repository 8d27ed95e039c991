"""The verifier: how likely an answer is right, from its text, the question's text, and the other answers there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from judge_service.domain.candidates import Candidate, Case
from judge_service.domain.verdicts import Opinion
from judge_service.domain.verifier_features import AnswerSheet, QuestionSheet, read_answer, read_question
from judge_service.domain.verifier_rows import (
    KindRecord,
    Seen,
    alone_row,
    kind_of,
    option_rows,
    prior_row,
    record_row,
    shares_of,
    together_row,
)
from judge_service.domain.verifier_words import linear_score

OTHERS_MAX: Final = 6
"""Only so many other answers are read: each takes about a millisecond, and training saw no more than five."""


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
    alone_curve: Curve
    together_curve: Curve


class Verifier:
    """Reads answers. Thread-safe as far as the trees are."""

    def __init__(self, parts: VerifierParts) -> None:
        self._parts = parts

    def opinion_of(self, case: Case) -> Opinion:
        """Calibrated probability that the candidate is right.

        Abstains on free text, of which training has seen none. Never raises on any text.
        """
        parts = self._parts
        question = read_question(case.question)
        sheet = read_answer(case.candidate.text, question)
        if sheet.final.form == "prose" and not question.options.texts:
            return Opinion(score=None, explanation="the answer ends in free text; only short final answers can be verified")
        shares = shares_of(parts.options.log_odds(option_rows(question)))
        ease = parts.question_words.of(question.slots)
        target = self._seen(case.candidate, sheet, question, shares=shares, ease=ease)
        others = [
            self._seen(other, read_answer(other.text, question), question, shares=shares, ease=ease)
            for other in case.others[:OTHERS_MAX]
            if other.text.strip()
        ]
        if not others:
            return Opinion(score=parts.alone_curve.at(target.log_odds), explanation="from the answer alone")
        row = np.array([together_row(target, others, question=question, ease=ease)], dtype=np.float32)
        score = parts.together_curve.at(float(parts.together.log_odds(row)[0]))
        return Opinion(score=score, explanation=f"from the answer and {len(others)} other{'s' if len(others) > 1 else ''}")

    def _seen(
        self, candidate: Candidate, sheet: AnswerSheet, question: QuestionSheet, *, shares: npt.NDArray[np.float64], ease: float
    ) -> Seen:
        parts = self._parts
        records = parts.records.get(candidate.model)
        record = None if records is None else records[kind_of(question)]
        prior = prior_row(shares, sheet.choice)
        row = alone_row(
            question,
            sheet,
            prior=prior,
            record=record_row(sheet, record),
            words=(ease, parts.answer_words.of(sheet.slots)),
        )
        trees = parts.choice if question.options.texts else parts.open
        log_odds = float(trees.log_odds(np.array([row], dtype=np.float32))[0])
        return Seen(sheet=sheet, prior=prior, rate=math.nan if record is None else record.rate, log_odds=log_odds)
