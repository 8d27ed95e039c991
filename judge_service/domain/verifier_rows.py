"""Rows of figures that the verifier's trees read, built the same way in training and in serving.

Ensembles follow each other: ``options`` reads how an option compares with the others; ``choice`` and ``open`` read one answer alone, with
that plausibility where the question has options; ``together`` (``verifier_together``) reads what they say of the answers there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from judge_service.domain.verifier_features import ANSWER_FEATURES, QUESTION_FEATURES, AnswerSheet, QuestionSheet
from judge_service.domain.verifier_prior import OPTION_FEATURES, option_features

NAN: Final = math.nan
KINDS: Final = ("numeric_options", "worded_options", "open")
"""Kinds of questions that models do differently well on, told apart by the options alone."""

PRIOR_FEATURES: Final = ("p_chosen", "p_margin", "p_best", "p_entropy")
RECORD_FEATURES: Final = ("m_rate", "m_length")
WORD_FEATURES: Final = ("w_question", "w_answer")
ALONE_FEATURES: Final = (*QUESTION_FEATURES, *ANSWER_FEATURES, *PRIOR_FEATURES, *RECORD_FEATURES, *WORD_FEATURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRecord:
    """How a model does on one kind of question: log-odds of being right, mean and standard deviation of ln(1 + characters)."""

    rate: float
    log_chars_mean: float
    log_chars_stddev: float


def kind_of(question: QuestionSheet) -> int:
    """Index in ``KINDS``."""
    options = question.options
    if not options.texts:
        return 2
    return 0 if options.numeric_share > 0.5 else 1  # noqa: PLR2004 more than half of them


def option_rows(question: QuestionSheet) -> npt.NDArray[np.float32]:
    """Input of ``options``: one row per option, (options, ``OPTION_FEATURES``)."""
    rows = option_features(question.options, question.words, question.numbers, len(question.text))
    assert rows.shape[1] == len(OPTION_FEATURES)  # noqa: S101 a row of the wrong width would be scored as another question
    return rows


def shares_of(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Plausibility of each option, adding up to 1, from what ``options`` says."""
    if not log_odds.size:
        return log_odds
    raised = np.exp(log_odds - log_odds.max())
    return raised / raised.sum()


def prior_row(shares: npt.NDArray[np.float64], choice: int) -> tuple[float, ...]:
    """``PRIOR_FEATURES`` of the option that an answer chose."""
    if not shares.size:
        return (NAN, NAN, NAN, NAN)
    safe = np.maximum(shares, 1e-9)
    best, entropy = float(safe.max()), float(-(safe * np.log(safe)).sum())
    if not 0 <= choice < len(safe):
        return (NAN, NAN, best, entropy)
    rival = float(np.delete(safe, choice).max())
    return (math.log(safe[choice]), math.log(safe[choice] / rival), best, entropy)


def record_row(sheet: AnswerSheet, record: KindRecord | None) -> tuple[float, ...]:
    """``RECORD_FEATURES``; NaN for a model without a record."""
    if record is None:
        return (NAN, NAN)
    return (record.rate, (sheet.log_chars - record.log_chars_mean) / max(record.log_chars_stddev, 0.05))


def alone_row(
    question: QuestionSheet, sheet: AnswerSheet, *, prior: Sequence[float], record: Sequence[float], words: Sequence[float]
) -> tuple[float, ...]:
    """Input of ``choice`` and ``open``: ``ALONE_FEATURES``."""
    return (*question.features, *sheet.features, *prior, *record, *words)
