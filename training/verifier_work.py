"""What the verifier's training hands on to the steps that build on it: its judgement of every recorded answer, out of fold."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from judge_service.domain.verifier import Curve
from judge_service.domain.verifier_together import together_rows
from training.router_predictions import Predictions
from training.verifier_corpus import Corpus
from training.verifier_fit import FOLDS, CrossFitted, Floats, log_odds_of
from training.verifier_sets import Known, Places

FILE: Final = "verifier-work.pickle"
SETS_AT_A_TIME: Final = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The corpus, what is known of its answers, and what they say together."""

    corpus: Corpus
    known: Known
    together: CrossFitted
    curve: Curve
    predicted: Predictions

    def confidence(self, sets: Places) -> npt.NDArray[np.float32]:
        """Calibrated probability that each answer of each set is right ``(sets, answers)``, out of fold on training questions.

        NaN where a set has no answer. ``sets`` are numbers of answers to the same question.
        """
        found = np.full(sets.shape, np.nan, dtype=np.float32)
        for start in range(0, len(sets), SETS_AT_A_TIME):
            part = slice(start, start + SETS_AT_A_TIME)
            answers = self.known.sets(sets[part])
            said = self._log_odds(together_rows(answers)[answers.here], self.corpus.question[sets[part][answers.here]])
            found[part][answers.here] = np.interp(said, self.curve.log_odds, self.curve.probabilities)
        return found

    def _log_odds(self, rows: npt.NDArray[np.float32], question: Places) -> Floats:
        train, fold = self.corpus.train[question], self.corpus.fold[question] % FOLDS
        said = np.empty(len(rows))
        for part, booster in enumerate((*self.together.by_fold, self.together.whole)):
            mine = ~train if part == FOLDS else train & (fold == part)
            if mine.any():
                said[mine] = log_odds_of(booster, rows[mine])
        return said


def keep(folder: Path, work: Work) -> None:
    """Writes ``work`` below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("wb") as file:
        pickle.dump(work, file)


def read_work(folder: Path) -> Work:
    """What was kept below ``folder``. Ends the program with the command that makes it when there is nothing."""
    path = folder / FILE
    if not path.exists():
        raise SystemExit(f"{path} is missing; `python -m training.verifier --data DIR --cache {folder}` makes it")
    with path.open("rb") as file:
        found = pickle.load(file)  # noqa: S301 - our own file, written by `keep` on this machine
    if not isinstance(found, Work):
        raise SystemExit(f"{path} was made by another version; `python -m training.verifier --data DIR --cache {folder}` makes it again")
    return found
