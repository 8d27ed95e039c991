"""Compares the judge `agreement` with the plain share of other answers that say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from judge_service.domain.calibration import Scale, Transform
from training.panel_fit import SCALES
from training.panel_logistic import Array, Fit, auroc, calibration_error, fit_logistic

RESAMPLES = 200
SHARE = Scale(transform=Transform.IDENTITY, bound=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One answer as both judge it, 0.0 to 1.0, and whether it is right."""

    share: float
    weighed: float
    correct: bool
    question: str


def show(taught: Sequence[Judged], cases: Mapping[str, Sequence[Judged]]) -> None:
    """Prints a table: both calibrated on ``taught``, measured on each of ``cases``, with 95 % bootstrap over questions."""
    fits = [fit_logistic(features, _labels(taught), penalty=1.0) for features in _features(taught)]
    print("| answers | n | right | right if all agree | AUROC share | AUROC weighed | difference | ECE share | ECE weighed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, judged in cases.items():
        if len({one.correct for one in judged}) > 1:
            print(_line(name, judged, fits), flush=True)


def _line(name: str, judged: Sequence[Judged], fits: Sequence[Fit]) -> str:
    labels = _labels(judged)
    said = [fit.probability(features) for fit, features in zip(fits, _features(judged), strict=True)]
    share, weighed = (auroc(one, labels) for one in said)
    low, high = _interval(said[0], said[1], labels, [one.question for one in judged])
    errors = [calibration_error(one, labels) for one in said]
    agreed = [one.correct for one in judged if one.share == 1.0]
    all_agree = f"{np.mean(agreed):.1%} of {len(agreed):,}" if agreed else "–"
    figures = f"{share:.3f} | {weighed:.3f} | {weighed - share:+.3f} [{low:+.3f}, {high:+.3f}] | {errors[0]:.3f} | {errors[1]:.3f}"
    return f"| {name} | {len(judged):,} | {labels.mean():.1%} | {all_agree} | {figures} |"


def _features(judged: Sequence[Judged]) -> tuple[Array, Array]:
    share = np.array([[SHARE.feature(one.share)] for one in judged])
    return share, np.array([[SCALES["agreement"].feature(one.weighed)] for one in judged])


def _labels(judged: Sequence[Judged]) -> Array:
    return np.array([float(one.correct) for one in judged])


def _interval(first: Array, second: Array, labels: Array, questions: Sequence[str]) -> tuple[float, float]:
    """95 % bootstrap, over questions, of how much higher the AUROC of ``second`` is."""
    rng = np.random.default_rng(0)
    places: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        places.setdefault(question, []).append(place)
    groups = [np.array(group) for group in places.values()]
    found: list[float] = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([groups[place] for place in rng.integers(len(groups), size=len(groups)).tolist()])
        found.append(auroc(second[rows], labels[rows]) - auroc(first[rows], labels[rows]))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)
