"""Fits the verifier: options, words, one answer alone, answers together.

What one fit learns from another's output is always out of fold.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from judge_service.domain.verifier import Curve
from judge_service.domain.verifier_rows import (
    ALONE_FEATURES,
    KINDS,
    PRIOR_FEATURES,
    KindRecord,
    kind_of,
    prior_row,
    record_row,
    shares_of,
)
from judge_service.domain.verifier_together import TOGETHER_FEATURES, together_rows
from judge_service.domain.verifier_words import SLOTS
from training.verifier_corpus import Corpus
from training.verifier_sets import NOBODY, Known, Places, answers_by_question, draw_sets, know

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FOLDS = 3
SEED = 1
HIDDEN_SHARE = 0.25
"""Share of the training rows whose model is hidden, so that the trees know what to do with a model that they don't know."""
SETS_PER_QUESTION = 16
"""Sets of answers that are drawn of each training question; all answers of a set are learned from."""
ROWS_AT_A_TIME = 8_192
RECORD_STRENGTH = 20.0
"""Answers that a model's overall rate counts for in its rate on one kind of question."""
CURVE_KNOTS = 40
WORDS_PENALTY = 0.3
TREES: dict[str, dict[str, Any]] = {
    "options": {"rounds": 150, "num_leaves": 15, "min_data_in_leaf": 60, "feature_fraction": 0.5},
    "choice": {"rounds": 400, "num_leaves": 15, "min_data_in_leaf": 100, "feature_fraction": 0.3},
    "open": {"rounds": 600, "num_leaves": 31, "min_data_in_leaf": 200, "feature_fraction": 0.3},
    "together": {"rounds": 300, "num_leaves": 15, "min_data_in_leaf": 200, "feature_fraction": 0.4},
}


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """Log-odds ``said`` of all rows, out of fold where they were learnt from, the ensemble of all of them, and one without each fold."""

    said: Floats
    right: npt.NDArray[np.int64]
    whole: lgb.Booster
    by_fold: tuple[lgb.Booster, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What was fitted, and what it says out of fold (training questions) or plainly (all other questions) of each answer."""

    boosters: dict[str, lgb.Booster]
    together: CrossFitted
    words: Rows
    intercepts: tuple[float, float]
    records: dict[str, tuple[KindRecord, ...]]
    curve: Curve
    alone_rows: Rows
    known: Known


def fit(corpus: Corpus, use: Mask, quality: Floats, *, threads: int, tell: Callable[[str], None], drop: Sequence[str] = ()) -> Fitted:
    """Fits on the answers that ``use`` selects. Features whose name begins with one of ``drop`` are hidden, to see what they are worth.

    ``quality`` are the log-odds that the router predicted for each answer's model, out of fold on training questions.
    """
    shares, options = _fit_options(corpus, use, threads)
    tell("options done")
    ease, said, words, intercepts = _fit_words(corpus, use)
    tell("words done")
    kinds = np.array([kind_of(question) for question in corpus.questions])
    records = _records(corpus, use, kinds)
    rows = _alone_rows(corpus, shares=shares, records=records, kinds=kinds, words=(ease, said))
    _hide(rows, ALONE_FEATURES, drop)
    log_odds, alone = _fit_alone(corpus, rows, use, (kinds != KINDS.index("open"))[corpus.question], threads=threads, tell=tell)
    wide = rows.astype(np.float64)
    known = know(corpus, log_odds=log_odds, quality=quality, rate=wide[:, _RATE], prior=wide[:, _PRIOR], ease=ease)
    tell("answers compared")
    together = _fit_together(corpus, known, use, threads=threads, drop=drop)
    return Fitted(
        boosters={"options": options, **alone, "together": together.whole},
        together=together,
        words=words,
        intercepts=intercepts,
        records=records,
        curve=_curve(together.said, together.right),
        alone_rows=rows,
        known=known,
    )


def _hide(rows: Rows, names: Sequence[str], drop: Sequence[str]) -> None:
    for column, name in enumerate(names):
        if name.startswith(tuple(drop)):
            rows[:, column] = np.nan


def _fit_alone(
    corpus: Corpus, rows: Rows, use: Mask, offered: Mask, *, threads: int, tell: Callable[[str], None]
) -> tuple[Floats, dict[str, lgb.Booster]]:
    """What the answers alone say, and the ensembles for questions with options and without."""
    fold = corpus.fold[corpus.question] % FOLDS
    log_odds = np.zeros(len(rows))
    alone: dict[str, lgb.Booster] = {}
    for name, there in (("choice", offered), ("open", ~offered)):
        if not (use & there).any():
            raise SystemExit("the verifier learns from questions with options and from questions without; one of the two is missing")
        fitted = _cross_fit(
            name, _some_hidden(rows[there]), rows[there], corpus.correct[there], use=use[there], fold=fold[there], threads=threads
        )
        log_odds[there], alone[name] = fitted.said, fitted.whole
        tell(f"{name} done")
    return log_odds, alone


def _fit_together(corpus: Corpus, known: Known, use: Mask, *, threads: int, drop: Sequence[str]) -> CrossFitted:
    """Learns from sets of answers drawn by chance. In a quarter of the sets nothing was predicted by the router."""
    rng = np.random.default_rng(SEED)
    members = [own[use[own]] for own in answers_by_question(corpus)]
    drawn = draw_sets((own for own in members if own.size), times=SETS_PER_QUESTION, rng=rng)
    blind = rng.random(len(drawn)) < HIDDEN_SHARE
    rows, targets = rows_of_sets(known, drawn, blind=blind)
    _hide(rows, TOGETHER_FEATURES, drop)
    fold = corpus.fold[corpus.question[targets]] % FOLDS
    whole = np.ones(len(targets), dtype=np.bool_)
    return _cross_fit("together", rows, rows, corpus.correct[targets], use=whole, fold=fold, threads=threads)


def rows_of_sets(known: Known, drawn: Places, *, blind: Mask | None = None) -> tuple[Rows, Places]:
    """Rows of ``together`` for every answer of every set, and the answers' numbers."""
    rows: list[Rows] = []
    for start in range(0, len(drawn), ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        answers = known.sets(drawn[part])
        if blind is not None:
            answers = replace(answers, quality=np.where(blind[part, None], np.nan, answers.quality))
        rows.append(together_rows(answers)[answers.here])
    return np.concatenate(rows), drawn[drawn != NOBODY]


_PRIOR = slice(ALONE_FEATURES.index(PRIOR_FEATURES[0]), ALONE_FEATURES.index(PRIOR_FEATURES[-1]) + 1)
_RATE = ALONE_FEATURES.index("m_rate")


def boost(name: str, rows: Rows, right: npt.NDArray[np.int64], threads: int) -> lgb.Booster:
    """One ensemble."""
    parameters = {
        "objective": "binary",
        "learning_rate": 0.05,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "seed": SEED,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": threads,
        "verbose": -1,
        **{key: value for key, value in TREES[name].items() if key != "rounds"},
    }
    return lgb.train(parameters, lgb.Dataset(rows, right), TREES[name]["rounds"])


def log_odds_of(booster: lgb.Booster, rows: Rows) -> Floats:
    """What ``booster`` says, as log-odds."""
    return np.asarray(booster.predict(rows, raw_score=True, num_threads=1), dtype=np.float64)


def _cross_fit(
    name: str, learn: Rows, rows: Rows, right: npt.NDArray[np.int64], *, use: Mask, fold: npt.NDArray[np.int64], threads: int
) -> CrossFitted:
    """``learn`` are the rows to learn from, in the order of ``rows``."""
    whole = boost(name, learn[use], right[use], threads)
    said = log_odds_of(whole, rows)
    by_fold: list[lgb.Booster] = []
    for part in range(FOLDS):
        inside, rest = use & (fold == part), use & (fold != part)
        by_fold.append(boost(name, learn[rest], right[rest], threads))
        if inside.any():
            said[inside] = log_odds_of(by_fold[-1], rows[inside])
    return CrossFitted(said, right, whole, tuple(by_fold))


def _fit_options(corpus: Corpus, use: Mask, threads: int) -> tuple[list[Floats], lgb.Booster]:
    """Plausibility of the options of every question."""
    counts = [len(rows) for rows in corpus.options]
    owner = np.repeat(np.arange(len(counts)), counts)
    place = np.concatenate([np.arange(count) for count in counts])
    rows = np.concatenate(corpus.options)
    taught = np.zeros(len(counts), bool)
    taught[corpus.question[use]] = True
    fitted = _cross_fit(
        "options",
        rows,
        rows,
        (corpus.key[owner] == place).astype(np.int64),
        use=(taught & (corpus.key >= 0))[owner],
        fold=corpus.fold[owner] % FOLDS,
        threads=threads,
    )
    ends = np.cumsum(counts)
    return [shares_of(fitted.said[end - count : end]) for end, count in zip(ends, counts, strict=True)], fitted.whole


def _fit_words(corpus: Corpus, use: Mask) -> tuple[Floats, Floats, Rows, tuple[float, float]]:
    """Scores of each question's words and of each answer's, their weights, and their intercepts."""
    names, model = np.unique(corpus.model, return_inverse=True)
    count = len(corpus.sheets)
    who = sp.csr_matrix((np.full(count, 3.0, np.float32), (np.arange(count), model)), shape=(count, len(names)))
    asked = _sparse([question.slots for question in corpus.questions])
    ease, question_weights, question_intercept = _cross_words(asked[corpus.question], who, corpus, use)
    said, answer_weights, answer_intercept = _cross_words(_sparse([sheet.slots for sheet in corpus.sheets]), who, corpus, use)
    return ease, said, np.stack([question_weights, answer_weights]), (question_intercept, answer_intercept)


def _cross_words(words: sp.csr_matrix, who: sp.csr_matrix, corpus: Corpus, use: Mask) -> tuple[Floats, Rows, float]:
    """Columns for the models take up how good each is, so that the words need not."""
    together = sp.hstack([words, who]).tocsr()
    fold = corpus.fold[corpus.question] % FOLDS

    def learn(chosen: Mask) -> tuple[Rows, float]:
        with warnings.catch_warnings():
            # Stopping after so many steps is part of the regularisation.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = LogisticRegression(C=WORDS_PENALTY, max_iter=40, tol=1e-3).fit(together[chosen], corpus.correct[chosen])
        # Half precision is what is published, so it is what the trees learn from.
        return fitted.coef_[0, :SLOTS].astype(np.float16).astype(np.float32), float(fitted.intercept_[0])

    weights, intercept = learn(use)
    scores = np.asarray(words @ weights, dtype=np.float64) + intercept
    for part in range(FOLDS):
        inside = use & (fold == part)
        own, shift = learn(use & (fold != part))
        scores[inside] = words[inside] @ own + shift
    return scores, weights, intercept


def _sparse(slots: Sequence[npt.NDArray[np.uint16]]) -> sp.csr_matrix:
    sizes = np.array([len(found) for found in slots])
    values = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return sp.csr_matrix((values, np.concatenate(slots).astype(np.int32), ends), shape=(len(slots), SLOTS))


def _records(corpus: Corpus, use: Mask, kinds: npt.NDArray[np.int64]) -> dict[str, tuple[KindRecord, ...]]:
    """How each model does on each kind of question, drawn towards how it does overall."""
    lengths = np.array([sheet.log_chars for sheet in corpus.sheets])
    kind = kinds[corpus.question]
    found: dict[str, tuple[KindRecord, ...]] = {}
    for model in np.unique(corpus.model[use]):
        mine = use & (corpus.model == model)
        overall = (corpus.correct[mine].sum() + 1.0) / (mine.sum() + 2.0)
        entries: list[KindRecord] = []
        for index in range(len(KINDS)):
            there = mine & (kind == index)
            rate = (corpus.correct[there].sum() + RECORD_STRENGTH * overall) / (there.sum() + RECORD_STRENGTH)
            own = lengths[there if there.sum() >= RECORD_STRENGTH else mine]
            entries.append(
                KindRecord(
                    rate=math.log(rate / (1.0 - rate)), log_chars_mean=float(own.mean()), log_chars_stddev=max(float(own.std()), 0.05)
                )
            )
        found[str(model)] = tuple(entries)
    return found


def _alone_rows(
    corpus: Corpus,
    *,
    shares: Sequence[Floats],
    records: dict[str, tuple[KindRecord, ...]],
    kinds: npt.NDArray[np.int64],
    words: tuple[Floats, Floats],
) -> Rows:
    asked = np.array([question.features for question in corpus.questions], dtype=np.float32)
    prior = [prior_row(shares[index], sheet.choice) for index, sheet in zip(corpus.question, corpus.sheets, strict=True)]
    record = [
        record_row(sheet, records[model][kinds[index]] if model in records else None)
        for index, sheet, model in zip(corpus.question, corpus.sheets, corpus.model.tolist(), strict=True)
    ]
    return np.column_stack([asked[corpus.question], corpus.features, np.array(prior), np.array(record), np.column_stack(words)]).astype(
        np.float32
    )


def _some_hidden(rows: Rows) -> Rows:
    hidden = rows.copy()
    drawn = np.random.default_rng(SEED).random(len(rows)) < HIDDEN_SHARE
    hidden[drawn, _RATE : _RATE + 2] = np.nan
    return hidden


def _curve(log_odds: Floats, right: npt.NDArray[np.int64]) -> Curve:
    """Isotonic regression, thinned to ``CURVE_KNOTS`` knots at quantiles."""
    fitted = IsotonicRegression(y_min=0.005, y_max=0.995, out_of_bounds="clip").fit(log_odds, right)
    knots = np.unique(np.quantile(log_odds, np.linspace(0.0, 1.0, CURVE_KNOTS)))
    # The mean over the neighbourhood of a knot, not the step at it: a straight line between steps would be biased.
    smooth = np.array([_mean_around(fitted, log_odds, knots, index) for index in range(len(knots))])
    return Curve(log_odds=tuple(map(float, knots)), probabilities=tuple(map(float, np.maximum.accumulate(smooth))))


def _mean_around(fitted: IsotonicRegression, log_odds: Floats, knots: Floats, index: int) -> float:
    low = knots[max(index - 1, 0)]
    high = knots[min(index + 1, len(knots) - 1)]
    near = log_odds[(log_odds >= low) & (log_odds <= high)]
    return float(np.mean(fitted.predict(near)))
