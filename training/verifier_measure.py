"""How good the verifier is: AUROC with bootstrap intervals and expected calibration error, alone and with other answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from judge_service.domain.verifier import OTHERS_MAX
from training.panel_logistic import auroc, calibration_error
from training.verifier_corpus import Corpus
from training.verifier_fit import Fitted, Floats, log_odds_of, rows_of_sets

RESAMPLES = 500
BINS = 15
ROWS_MIN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of ``n`` answers, ``right`` is the share that is right. The interval has 95 %, by bootstrap over answers (one per question)."""

    n: int
    right: float
    auroc: float
    auroc_low: float
    auroc_high: float
    ece: float


def figures(probability: Floats, right: npt.NDArray[np.int64]) -> Figures | None:
    """Figures, or None when there is too little to measure."""
    if len(right) < ROWS_MIN or right.min() == right.max():
        return None
    rng = np.random.default_rng(0)
    drawn: list[float] = []
    while len(drawn) < RESAMPLES:
        sample = rng.integers(0, len(right), len(right))
        if right[sample].min() != right[sample].max():
            drawn.append(auroc(probability[sample], right[sample].astype(np.float64)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figures(
        n=len(right),
        right=round(float(right.mean()), 4),
        auroc=round(auroc(probability, right.astype(np.float64)), 4),
        auroc_low=round(float(low), 4),
        auroc_high=round(float(high), 4),
        ece=round(calibration_error(probability, right.astype(np.float64), bins=BINS), 4),
    )


class Evidence:
    """Looks up what a fitted verifier says on held-out answers."""

    def __init__(self, corpus: Corpus, fitted: Fitted) -> None:
        self._corpus = corpus
        self._fitted = fitted
        held = np.flatnonzero(~corpus.train[corpus.question])
        self._at = {(int(corpus.question[index]), str(corpus.model[index])): int(index) for index in held}

    def models(self, pool: str) -> list[str]:
        """Models with held-out answers in ``pool``."""
        return sorted({model for question, model in self._at if self._corpus.pool[question] == pool})

    def answers(self, pool: str, model: str, others: Sequence[str] = ()) -> list[int]:
        """Held-out answers of ``model`` to questions of ``pool`` that ``others`` answered too."""
        return [
            index
            for (question, name), index in self._at.items()
            if name == model and self._corpus.pool[question] == pool and all((question, other) in self._at for other in others)
        ]

    def say(self, answers: Sequence[int], others: Sequence[str] = ()) -> Floats:
        """Calibrated probability of each of ``answers``, given the answers of ``others`` to the same question."""
        fitted = self._fitted
        sets = np.array(
            [[index, *(self._at[int(self._corpus.question[index]), other] for other in others[:OTHERS_MAX])] for index in answers]
        )
        rows = rows_of_sets(fitted.known, sets)[0].reshape(len(sets), len(sets[0]), -1)[:, 0]
        return np.array([fitted.curve.at(value) for value in log_odds_of(fitted.boosters["together"], rows)])

    def measure(self, pool: str, model: str, others: Sequence[str] = ()) -> Figures | None:
        """Is the answer of ``model`` right, after reading it and those of ``others``."""
        answers = self.answers(pool, model, others)
        return figures(self.say(answers, others), self._corpus.correct[answers]) if answers else None

    def measure_dataset(self, dataset: str, model: str) -> Figures | None:
        """Is the answer of ``model`` to a question of ``dataset`` right, after reading it alone."""
        answers = [index for (question, name), index in self._at.items() if name == model and self._corpus.dataset[question] == dataset]
        return figures(self.say(answers), self._corpus.correct[answers]) if answers else None

    def measure_best(self, pool: str, models: Sequence[str]) -> Figures | None:
        """Is the best-supported of the answers of ``models`` right."""
        first = self.answers(pool, models[0], models[1:])
        if not first:
            return None
        said: list[Floats] = []
        right: list[npt.NDArray[np.int64]] = []
        for model in models:
            own = [self._at[int(self._corpus.question[index]), model] for index in first]
            said.append(self.say(own, [other for other in models if other != model]))
            right.append(self._corpus.correct[own])
        best = np.argmax(said, axis=0)
        rows = np.arange(len(first))
        return figures(np.array(said)[best, rows], np.array(right)[best, rows])
