"""Leaves models out, shows some of their labelled answers, and measures what is then predicted of them on dev."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.decision_quality.choices import NEIGHBOURS, PRIOR_NEIGHBOURS, SHARPNESS
from benchmarks.newcomers.material import Material, Rows
from router_service.domain.newcomers import LabelledAnswers, newcomer
from training.bases_fit import Common
from training.learned_router_fit import QUALITY_MIN
from training.ridge import Floats
from training.suitability_fit import Counts, fit_model

LABELS = (0, 10, 30, 100, 300)
DRAWS = 2
"""Draws of the labelled answers per model and number."""
EVALUATED_MIN = 20
BINS = 10
TOKENS_PRIOR = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What one method predicts of one model on the dev questions ``rows`` after ``labels`` answers; tokens only where it predicts them.

    ``stddev`` is its own doubt about the model's mean quality over these questions, NaN where it states none.
    """

    model: int
    method: str
    labels: int
    draw: int
    rows: Rows
    quality: Floats
    tokens: Floats | None = None
    stddev: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good a guess was: AUROC and expected calibration error by question, Brier score, error of the mean (signed)."""

    model: int
    method: str
    labels: int
    auroc: float
    ece: float
    brier: float
    ability_error: float
    deviations: float


def guesses(material: Material, left_out: Sequence[int]) -> Iterator[Guess]:
    """All methods' guesses about each of the models ``left_out``, none of which the shared parts have seen."""
    common = material.without(left_out)
    for model in left_out:
        rows = material.dev.answered(model)
        if len(rows) < EVALUATED_MIN:
            continue
        for labels in LABELS:
            for draw in range(DRAWS if labels else 1):
                shuffled = np.random.default_rng((draw, model)).permutation(material.train.answered(model))
                yield from _after(material, common, _Shown(model, rows, shuffled[:labels], draw))
        own = material.full.predict(material.dev.vectors[rows])[:, model]
        tokens = np.exp(material.full.log_tokens(material.dev.features[rows])[:, model])
        yield Guess(model=model, method="its own regression", labels=-1, draw=0, rows=rows, quality=own, tokens=tokens)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The training questions ``shown`` whose labels are known of ``model``, and the dev questions ``rows`` to predict."""

    model: int
    rows: Rows
    shown: Rows
    draw: int


def _after(material: Material, common: Common, case: _Shown) -> Iterator[Guess]:
    model, rows, shown = case.model, case.rows, case.shown
    guess = partial(Guess, model=model, labels=len(shown), draw=case.draw, rows=rows)
    train, dev = material.train, material.dev
    bases, lengths = common.quality(train.features[shown]), common.log_tokens(train.features[shown])
    answers = LabelledAnswers(bases, lengths, train.right[shown, model], train.tokens[shown, model])
    found = newcomer(common.prior, material.cards[model], answers)
    here = common.quality(dev.features[rows])
    quality, _ = found.qualities(here)
    tokens = found.output_tokens(common.log_tokens(dev.features[rows]), tokens_noise=common.prior.tokens_noise)
    middle = np.concatenate([[1.0], here[:, 1:].mean(axis=0)])
    stddev = float(np.sqrt(middle @ found.quality.covariance @ middle))
    yield guess(method="shared skills", quality=quality, tokens=tokens, stddev=stddev)
    yield guess(method="Φ", quality=_suitability(material, model, rows, shown))
    yield guess(method="kNN", quality=_neighbours(material, model, rows, shown))


def _suitability(material: Material, model: int, rows: Rows, shown: Rows) -> Floats:
    counts = Counts.empty(*material.train.cells.shape[1:])
    for row in shown:
        counts.add(material.train.cells[row], right=bool(material.train.right[row, model]), tokens=material.train.tokens[row, model])
    fit = fit_model(counts, material.effects, ability_prior=0.0, tokens_prior=TOKENS_PRIOR)
    return np.tensordot(material.dev.cells[rows], fit.mean, axes=2)


def _neighbours(material: Material, model: int, rows: Rows, shown: Rows) -> Floats:
    """The nearest labelled answers, with the overall rate as some neighbours more."""
    if not len(shown):
        return np.full(len(rows), 0.5)
    right = material.train.right[shown, model]
    similarity = material.dev.vectors[rows] @ material.train.vectors[shown].T
    count = min(NEIGHBOURS, len(shown))
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(similarity, nearest, axis=1)
    weight = np.exp((near - near.max(axis=1, keepdims=True)) / SHARPNESS)
    prior = PRIOR_NEIGHBOURS * weight.mean(axis=1)
    rate = (right.sum() + 1.0) / (len(shown) + 2.0)
    found = ((weight * right[nearest]).sum(axis=1) + prior * rate) / (weight.sum(axis=1) + prior)
    return np.clip(found, QUALITY_MIN, 1.0 - QUALITY_MIN)


def score(guess: Guess, material: Material) -> Score:
    """How good the guess was."""
    right = material.dev.right[guess.rows, guess.model]
    error = float(guess.quality.mean() - right.mean())
    bins = np.array_split(np.argsort(guess.quality, kind="stable"), BINS)
    gaps = [len(rows) * abs(float(guess.quality[rows].mean() - right[rows].mean())) for rows in bins if len(rows)]
    varied = 0.0 < right.mean() < 1.0
    return Score(
        model=guess.model,
        method=guess.method,
        labels=guess.labels,
        auroc=float(roc_auc_score(right, guess.quality)) if varied else float("nan"),
        ece=sum(gaps) / len(right),
        brier=float(np.mean((guess.quality - right) ** 2)),
        ability_error=error,
        deviations=error / guess.stddev,
    )
