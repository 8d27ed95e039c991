"""Rows of figures that the verifier's trees read, built the same way in training and in serving.

Ensembles follow each other: ``options`` reads how an option compares with the others; ``choice`` and ``open`` read one answer alone, with
that plausibility where the question has options; ``together`` reads what they say of the answer and of the other answers there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from judge_service.domain.final_answer import same_answer
from judge_service.domain.verifier_features import ANSWER_FEATURES, QUESTION_FEATURES, AnswerSheet, QuestionSheet
from judge_service.domain.verifier_prior import OPTION_FEATURES, option_features

NAN: Final = math.nan
KINDS: Final = ("numeric_options", "worded_options", "open")
"""Kinds of questions that models do differently well on, told apart by the options alone."""

SAME_FROM: Final = 0.5
"""Similarity from which two final answers count as the same."""

OPEN_ALTERNATIVES: Final = 10.0
"""Number of answers that an open question is taken to have when the chance of agreeing by accident is reckoned."""

PRIOR_FEATURES: Final = ("p_chosen", "p_margin", "p_best", "p_entropy")
RECORD_FEATURES: Final = ("m_rate", "m_length")
WORD_FEATURES: Final = ("w_question", "w_answer")
ALONE_FEATURES: Final = (*QUESTION_FEATURES, *ANSWER_FEATURES, *PRIOR_FEATURES, *RECORD_FEATURES, *WORD_FEATURES)
TOGETHER_FEATURES: Final = (
    "own",
    "others",
    "agree",
    "differ",
    "agree_sum",
    "agree_max",
    "differ_sum",
    "differ_max",
    "differ_min",
    "rival_votes",
    "answers",
    "posterior",
    "rival_support",
    "support",
    "agree_rate_sum",
    "agree_rate_max",
    "differ_rate_sum",
    "differ_rate_max",
    "own_rate",
    "silent",
    *PRIOR_FEATURES,
    "rival_prior",
    "agree_words_alike",
    "agree_numbers_alike",
    "differ_words_alike",
    "differ_numbers_alike",
    "w_question",
    "q_options",
    "q_option_numeric",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRecord:
    """How a model does on one kind of question: log-odds of being right, mean and standard deviation of ln(1 + characters)."""

    rate: float
    log_chars_mean: float
    log_chars_stddev: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """One answer with all that is known of it before the others are looked at. ``log_odds`` is what ``choice`` or ``open`` says."""

    sheet: AnswerSheet
    prior: tuple[float, ...]
    rate: float
    log_odds: float


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


def together_row(target: Seen, others: Sequence[Seen], *, question: QuestionSheet, ease: float) -> tuple[float, ...]:
    """Input of ``together``: ``TOGETHER_FEATURES``. Does not depend on the order of ``others`` as long as their log-odds differ."""
    groups = _groups([target, *sorted(others, key=lambda seen: -seen.log_odds)])
    own, rivals = groups[0], groups[1:]
    agree = own[1:]
    differ = [seen for group in rivals for seen in group]
    alternatives = float(max(len(question.options.texts), 2)) if question.options.texts else OPEN_ALTERNATIVES
    supports = [math.fsum(_weight(seen, alternatives) for seen in group) for group in groups]
    spoken = [support for support, group in zip(supports, groups, strict=True) if group[0].sheet.final.form != "nothing"]
    rival = max(supports[1:], default=NAN)
    return (
        target.log_odds,
        float(len(others)),
        float(len(agree)),
        float(len(differ)),
        math.fsum(seen.log_odds for seen in agree),
        max((seen.log_odds for seen in agree), default=NAN),
        math.fsum(seen.log_odds for seen in differ),
        max((seen.log_odds for seen in differ), default=NAN),
        min((seen.log_odds for seen in differ), default=NAN),
        float(max(map(len, rivals), default=0)),
        float(len(groups)),
        _log_posterior(supports[0], spoken),
        rival,
        supports[0],
        *_rates(agree),
        *_rates(differ),
        target.rate,
        float(sum(seen.sheet.final.form == "nothing" for seen in others)),
        *target.prior,
        max((seen.prior[0] for seen in differ if not math.isnan(seen.prior[0])), default=NAN),
        *_likeness(target, agree),
        *_likeness(target, differ),
        ease,
        float(len(question.options.texts)),
        question.options.numeric_share if question.options.texts else NAN,
    )


def _groups(seen: Sequence[Seen]) -> list[list[Seen]]:
    """Answers by what they say; the first group is that of the first answer."""
    groups: list[list[Seen]] = []
    for answer in seen:
        home = next((group for group in groups if same_answer(group[0].sheet.final, answer.sheet.final) >= SAME_FROM), None)
        if home is None:
            groups.append([answer])
        else:
            home.append(answer)
    return groups


def _weight(seen: Seen, alternatives: float) -> float:
    """Log-odds against one particular wrong answer: ln(p (n - 1) / (1 - p))."""
    return min(max(seen.log_odds, -7.0), 7.0) + math.log(alternatives - 1.0)


def _log_posterior(own: float, supports: Sequence[float]) -> float:
    """Logarithm of the share of the own support among all and an answer that nobody gave."""
    every = [*supports, 0.0]
    highest = max(*every, own)
    return own - highest - math.log(math.fsum(math.exp(support - highest) for support in every))


def _likeness(target: Seen, others: Sequence[Seen]) -> tuple[float, float]:
    """Highest overlap (Jaccard) of the target's words and of its numbers with those of one of ``others``."""
    words = [_overlap_of_slots(target.sheet.slots, other.sheet.slots) for other in others]
    numbers = [
        len(target.sheet.numbers & other.sheet.numbers) / len(target.sheet.numbers | other.sheet.numbers)
        for other in others
        if target.sheet.numbers or other.sheet.numbers
    ]
    return (max(words, default=NAN), max(numbers, default=NAN))


def _overlap_of_slots(one: npt.NDArray[np.uint16], other: npt.NDArray[np.uint16]) -> float:
    common = np.intersect1d(one, other, assume_unique=True).size
    return common / max(one.size + other.size - common, 1)


def _rates(seen: Sequence[Seen]) -> tuple[float, float]:
    known = [answer.rate for answer in seen if not math.isnan(answer.rate)]
    return (math.fsum(known), max(known, default=NAN))
