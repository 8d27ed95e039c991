"""Fits the panel's calibration on recorded answers and measures it by cross-validation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from judge_service.domain import confidence as own_confidence
from judge_service.domain.calibration import Backoff, Calibration, Combination, Scale, Transform
from judge_service.domain.verdicts import Defect
from training.panel_logistic import Array, auroc, brier, calibration_error, fit_logistic
from training.panel_rows import AnswerRow

SCALES = {
    "agreement": Scale(transform=Transform.LOGIT, bound=5.0),
    "checks": Scale(transform=Transform.IDENTITY, bound=0.5),
    "confidence": Scale(transform=Transform.LOGIT, bound=4.0),
    "llm": Scale(transform=Transform.LOGIT, bound=4.0),
    "verifier": Scale(transform=Transform.LOGIT, bound=5.0),
}
EPSILON = 0.01
PENALTY = 1.0
FOLDS = 5
ROWS_MIN = 30
"""An evidence set with fewer rows gets no combination of its own; the backoff covers it."""

FIXED_CAPS = {Defect.EMPTY: 0.01, Defect.REFUSED: 0.05, Defect.MALFORMED: 0.05, Defect.DEGENERATE: 0.05}
"""Caps that are decided, not measured: an answer with such a defect is of no use to the caller even where it happens to be right."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded answer with the features of the judges that scored it."""

    question_id: str
    model: str
    truncated: bool
    correct: bool
    features: dict[str, float]


def samples_of(rows: Sequence[AnswerRow]) -> list[Sample]:
    """The rows as samples. A kind is missing where its judge abstained or failed."""
    return [
        Sample(
            row.question_id,
            row.model,
            row.finish_reason == "length",
            row.correct,
            {kind: SCALES[kind].feature(s) for kind, s in _scores(row)},
        )
        for row in rows
    ]


def _scores(row: AnswerRow) -> list[tuple[str, float]]:
    found = {
        "agreement": row.agreement_score,
        "checks": row.checks_score,
        "confidence": own_confidence.score_of(row.logprobs) if row.logprobs is not None else None,
        "llm": row.llm_score,
    }
    return [(kind, score) for kind, score in found.items() if score is not None]


def kinds_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The kinds that scored at least one of ``samples``, in order of name."""
    return tuple(sorted({kind for sample in samples for kind in sample.features}))


def evidence_sets(kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """All sets of ``kinds``, the empty one included, small ones first."""
    return list(chain.from_iterable(combinations(kinds, size) for size in range(len(kinds) + 1)))


def fit_calibration(samples: Sequence[Sample], *, version: str) -> Calibration:
    """The calibration that fits ``samples`` best: one combination per evidence set with enough rows, and the backoff."""
    spoke = kinds_of(samples)
    fitted = {frozenset(kinds): _combination(having(samples, kinds), kinds) for kinds in evidence_sets(spoke) if enough(samples, kinds)}
    return Calibration(
        version=version,
        epsilon=EPSILON,
        scales={kind: SCALES[kind] for kind in spoke},
        combinations=fitted,
        backoff=_backoff(samples),
        caps=FIXED_CAPS | {Defect.TRUNCATED: _truncated_cap(samples)},
    )


def having(samples: Sequence[Sample], kinds: Sequence[str]) -> list[Sample]:
    """Samples in which all of ``kinds`` scored."""
    return [sample for sample in samples if all(kind in sample.features for kind in kinds)]


def enough(samples: Sequence[Sample], kinds: Sequence[str]) -> bool:
    """True when there are enough rows, right and wrong, for a combination of its own."""
    labels = [sample.correct for sample in having(samples, kinds)]
    return len(labels) >= ROWS_MIN and any(labels) and not all(labels)


def _combination(samples: Sequence[Sample], kinds: Sequence[str]) -> Combination:
    features = np.array([[sample.features[kind] for kind in kinds] for sample in samples]).reshape(len(samples), len(kinds))
    fit = fit_logistic(features, _labels(samples), penalty=PENALTY)
    return Combination(intercept=_rounded(fit.intercept), weights={k: _rounded(w) for k, w in zip(kinds, fit.weights, strict=True)})


def _backoff(samples: Sequence[Sample]) -> Backoff:
    """One model for all evidence sets: every sample counts once for each subset of its evidence, shared out evenly.

    A kind that scored adds its shift and its weighted feature, a kind that did not adds nothing.
    """
    spoke = kinds_of(samples)
    rows: list[list[float]] = []
    labels: list[float] = []
    shares: list[float] = []
    for sample in samples:
        subsets = [kinds for kinds in evidence_sets(spoke) if all(kind in sample.features for kind in kinds)]
        for kinds in subsets:
            present = [1.0 if kind in kinds else 0.0 for kind in spoke]
            rows.append(present + [sample.features[kind] if kind in kinds else 0.0 for kind in spoke])
            labels.append(float(sample.correct))
            shares.append(1.0 / len(subsets))
    fit = fit_logistic(np.array(rows), np.array(labels), penalty=PENALTY, free=frozenset(range(len(spoke))), weights=np.array(shares))
    return Backoff(
        intercept=_rounded(fit.intercept),
        shifts={kind: _rounded(fit.weights[i]) for i, kind in enumerate(spoke)},
        weights={kind: _rounded(fit.weights[len(spoke) + i]) for i, kind in enumerate(spoke)},
    )


def _truncated_cap(samples: Sequence[Sample]) -> float:
    """Share of the truncated answers that are right all the same, with one right and one wrong added."""
    right = [sample.correct for sample in samples if sample.truncated]
    return _rounded((sum(right) + 1) / (len(right) + 2))


def _labels(samples: Sequence[Sample]) -> Array:
    return np.array([float(sample.correct) for sample in samples])


def _rounded(value: float) -> float:
    return round(float(value), 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How good the confidence of one evidence set is on questions that it was not fitted on."""

    rows: int
    right: float
    auroc: float
    auroc_low: float
    auroc_high: float
    brier: float
    ece: float


def fold_calibrations(samples: Sequence[Sample]) -> list[Calibration]:
    """For each fold of the questions the calibration that fits the other folds."""
    return [fit_calibration([sample for sample in samples if fold_of(sample.question_id) != fold], version="fold") for fold in range(FOLDS)]


def cross_validate(samples: Sequence[Sample], kinds: Sequence[str], calibrations: Sequence[Calibration]) -> Measured:
    """Figures of ``kinds``, each question judged by the calibration of the folds without it (``fold_calibrations``).

    The interval of the AUROC is the 95 % bootstrap over questions.
    """
    chosen = having(samples, kinds)
    labels = _labels(chosen)
    scores = np.array([judged(calibrations[fold_of(sample.question_id)], sample, kinds) for sample in chosen])
    low, high = _bootstrap(scores, labels, [sample.question_id for sample in chosen])
    return Measured(
        rows=len(chosen),
        right=_rounded(labels.mean()),
        auroc=_rounded(auroc(scores, labels)),
        auroc_low=low,
        auroc_high=high,
        brier=_rounded(brier(scores, labels)),
        ece=_rounded(calibration_error(scores, labels)),
    )


def measure(samples: Sequence[Sample]) -> dict[str, Measured]:
    """Cross-validated figures of every evidence set with enough rows, by the names of its kinds."""
    sets = [kinds for kinds in evidence_sets(kinds_of(samples)) if kinds and enough(samples, kinds)]
    folds = fold_calibrations(samples) if sets else []
    return {"+".join(kinds): cross_validate(samples, kinds, folds) for kinds in sets}


def show(measured: Mapping[str, Measured]) -> None:
    """Prints a table."""
    print(f"{'evidence':40} {'rows':>5} {'right':>6} {'AUROC':>6} {'95 %':>13} {'Brier':>6} {'ECE':>6}")
    for name, figures in measured.items():
        span = f"{figures.auroc_low:.3f}-{figures.auroc_high:.3f}"
        print(f"{name:40} {figures.rows:5} {figures.right:6.3f} {figures.auroc:6.3f} {span:>13} {figures.brier:6.3f} {figures.ece:6.3f}")


def judged(calibration: Calibration, sample: Sample, kinds: Sequence[str]) -> float:
    """The confidence that the panel would give, the cap for truncated answers included when the checks are part of the panel."""
    log_odds = calibration.log_odds({kind: sample.features[kind] for kind in kinds})
    cap = calibration.caps[Defect.TRUNCATED] if sample.truncated and "checks" in kinds else 1.0
    probability = float(0.5 * (1.0 + np.tanh(0.5 * log_odds)))
    return min(max(min(probability, cap), calibration.epsilon), 1.0 - calibration.epsilon)


def fold_of(question_id: str) -> int:
    """The fold that a question is in, 0 up to ``FOLDS``."""
    return int(hashlib.sha256(question_id.encode()).hexdigest(), 16) % FOLDS


def _bootstrap(scores: Array, labels: Array, questions: Sequence[str], *, draws: int = 400) -> tuple[float, float]:
    random = np.random.default_rng(0)
    places: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        places.setdefault(question, []).append(place)
    groups = [np.array(group) for group in places.values()]
    drawn = [np.concatenate([groups[i] for i in random.integers(len(groups), size=len(groups))]) for _ in range(draws)]
    values = np.array([auroc(scores[rows], labels[rows]) for rows in drawn])
    low, high = np.nanquantile(values, [0.025, 0.975])
    return _rounded(low), _rounded(high)
