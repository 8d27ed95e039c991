"""How well Φ predicts, on dev questions, whether a model's answer is right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from training.suitability_fit import Fit
from training.taxonomy_fit import calibration_error

Floats = npt.NDArray[np.float64]


def evaluate(
    outcomes: dict[str, list[Any]], dev: dict[str, tuple[int, int]], *, cells_of: Floats, fits: Mapping[str, Fit]
) -> dict[str, Any]:
    """Brier score (mean squared error of the probability) and calibration over all dev answers.

    ``cells_of`` is ``(questions, domains, complexities)`` in the order of ``dev``. `category` is Φ as the router computes it, from
    predicted labels; `overall` takes one rate per model; `true_category` shows what perfect classifiers would add.
    """
    position = {question: index for index, question in enumerate(dev)}
    rows: dict[str, list[int]] = defaultdict(list)
    marks: dict[str, list[bool]] = defaultdict(list)
    for question, model, correct in zip(outcomes["question_id"], outcomes["model"], outcomes["correct"], strict=True):
        if question in position:
            rows[model].append(position[question])
            marks[model].append(bool(correct))
    true_cells = np.array(list(dev.values()))
    predicted: dict[str, list[Floats]] = defaultdict(list)
    right: list[npt.NDArray[np.bool_]] = []
    for model, questions in rows.items():
        mean = fits[model].mean
        answered = np.array(questions)
        predicted["category"].append(np.tensordot(cells_of[answered], mean, axes=2))
        predicted["overall"].append(np.full(len(answered), _overall_rate(fits[model])))
        predicted["true_category"].append(mean[true_cells[answered, 0], true_cells[answered, 1]])
        right.append(np.array(marks[model]))
    truth = np.concatenate(right)
    return {
        "answers": len(truth),
        "models": len(rows),
        **{name: _scores(np.concatenate(parts), truth) for name, parts in predicted.items()},
    }


def _overall_rate(fit: Fit) -> float:
    """The model's success rate over the questions that it was fitted on, priors included."""
    return float(fit.alpha.sum() / (fit.alpha.sum() + fit.beta.sum()))


def _scores(probability: Floats, right: npt.NDArray[np.bool_]) -> dict[str, float]:
    return {
        "brier": round(float(np.mean((probability - right) ** 2)), 4),
        "ece": round(calibration_error(probability, right), 4),
    }
