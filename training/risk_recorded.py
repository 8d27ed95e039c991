"""What a cascade would accept of the recorded answers: every question once, with models and a price drawn by lot.

The questions are those that neither the combination of the panel nor a dev figure has seen; the verifier judges them out of fold. Each is
played as the product does: a threshold policy climbs a plan from cheap to dear, a value policy asks whom it pays to ask. Whom they ask
does not depend on the threshold, so that one play serves every threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cascade_service.domain.gain import GainModel
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import aggregation, agreement, checks
from judge_service.domain.aggregation import Score
from judge_service.domain.calibration import Calibration
from judge_service.domain.verdicts import Defect
from training.panel_recorded import case_of
from training.risk_control import Floats
from training.value_states import Answered, Belief, Episodes, make_episodes, rows_of
from training.verifier_sets import NOBODY, Places, answers_by_question
from training.verifier_work import Work

POOL_MODELS: Final = 8
"""Models that are drawn for a question, of those that answered it."""
ATTEMPTS: Final = 4
"""Most attempts, as many as the cascade makes by default."""
PRICES: Final = (0.005, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.4)
"""What the best of the drawn models may cost, in right answers, by lot."""
NEVER: Final = -1.0
"""Support where nothing may be accepted."""

Texts = Mapping[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Played:
    """Where each request may stop, ``(questions, attempts)``: support (``NEVER`` where it may not), and whether the answer is right."""

    support: Floats
    right: Floats


@dataclass(frozen=True, slots=True)
class _Alone:
    """What the checks say of an answer, whatever stands beside it."""

    score: float | None
    defects: frozenset[Defect]


class RecordedPanel:
    """The panel of `checks`, `agreement` and `verifier` under one calibration; in the place of the verifier's own confidences."""

    def __init__(self, work: Work, calibration: Calibration, texts: Texts) -> None:
        self._work = work
        self._calibration = calibration
        self._texts = texts
        self._schemas = JsonSchemaValidator()
        self._alone: dict[int, _Alone] = {}

    def confidence(self, sets: Places) -> npt.NDArray[np.float32]:
        """Calibrated confidence in each answer of each set ``(sets, answers)``, beside the others of it; NaN where there is none."""
        verifier = self._work.confidence(sets)
        found = np.full(sets.shape, np.nan, dtype=np.float32)
        for row, numbers in enumerate(sets.tolist()):
            there = [number for number in numbers if number != NOBODY]
            for place, number in enumerate(numbers):
                if number != NOBODY:
                    found[row, place] = self._said(number, [other for other in there if other != number], float(verifier[row, place]))
        return found

    def flawed(self, numbers: Places) -> npt.NDArray[np.bool_]:
        """Which answers have a defect: a threshold policy never accepts them."""
        return np.array([bool(self._alone_of(number).defects) for number in numbers.reshape(-1).tolist()]).reshape(numbers.shape)

    def _said(self, number: int, others: list[int], verifier: float) -> float:
        alone = self._alone_of(number)
        beside = case_of([self._answer(one) for one in (number, *others)], self._work.predicted)
        scores = {"checks": alone.score, "agreement": agreement.opinion_of(beside).score, "verifier": verifier}
        said = [Score(kind, score) for kind, score in scores.items() if score is not None]
        return aggregation.confidence(self._calibration, said, alone.defects)

    def _alone_of(self, number: int) -> _Alone:
        if number not in self._alone:
            opinion = checks.opinion_of(case_of([self._answer(number)], self._work.predicted), self._schemas)
            self._alone[number] = _Alone(opinion.score, frozenset(opinion.defects))
        return self._alone[number]

    def _answer(self, number: int) -> dict[str, Any]:
        corpus = self._work.corpus
        return self._texts[corpus.ids[corpus.question[number]], str(corpus.model[number])]


def draw_episodes(work: Work, answered: Answered, questions: Places, rng: np.random.Generator) -> Episodes:
    """One request per question that enough models answered: models and a price by lot, planned as the router does."""
    own = answers_by_question(work.corpus)
    usable = [numbers[~np.isnan(answered.quality[numbers])] for numbers in (own[question] for question in questions.tolist())]
    pool = np.array([rng.permutation(numbers)[:POOL_MODELS] for numbers in usable if len(numbers) >= POOL_MODELS])
    best = np.take_along_axis(pool, answered.quality[pool].argmax(axis=1)[:, None], axis=1)[:, 0]
    return make_episodes(work, answered, pool, np.maximum(answered.predicted_cost[best], 1.0) / rng.choice(PRICES, len(pool)))


def climb(episodes: Episodes, panel: RecordedPanel) -> Played:
    """A threshold policy: the undominated models from cheap to dear, each answer judged beside the earlier ones."""
    plans = [_plan(quality, price) for quality, price in zip(episodes.quality, episodes.price, strict=True)]
    order = np.array([plan + [NOBODY] * (ATTEMPTS - len(plan)) for plan in plans])
    asked = np.where(order != NOBODY, np.take_along_axis(episodes.answers, order, axis=1), NOBODY)
    support = np.full(asked.shape, NEVER)
    for step in range(ATTEMPTS):
        there = asked[:, step] != NOBODY
        support[there, step] = panel.confidence(asked[there, : step + 1])[:, step]
    flawed = panel.flawed(np.where(asked == NOBODY, episodes.answers[:, :1], asked))
    return Played(np.where(flawed, NEVER, support), np.take_along_axis(episodes.right, order, axis=1))


def weigh(episodes: Episodes, belief: Belief, gain_model: GainModel) -> Played:
    """A value policy: the model of greatest net gain next, all answers judged together; it may stop where nothing that is left pays."""
    count = len(episodes.answers)
    asked = np.zeros(episodes.answers.shape, dtype=np.bool_)
    support, right = np.full((count, ATTEMPTS), NEVER), np.zeros((count, ATTEMPTS))
    rows = np.arange(count)
    for step in range(ATTEMPTS + 1):
        standing = belief.standing(episodes, asked)
        features = rows_of(episodes, standing, asked)
        gain = gain_model.net_gain(features.reshape(-1, features.shape[2])).reshape(asked.shape)
        gain[asked] = -np.inf
        if step:
            may_stop = gain.max(axis=1) <= 0.0
            support[:, step - 1] = np.where(may_stop & (step < ATTEMPTS), standing.support, NEVER)
            right[:, step - 1] = standing.right
        if step < ATTEMPTS:
            asked[rows, gain.argmax(axis=1)] = True
    return Played(support, right)


def _plan(quality: Floats, price: Floats) -> list[int]:
    """Places of the models that no cheaper one is predicted to be as good as; the best of them, cheapest first."""
    kept: list[int] = []
    for place in np.lexsort((-quality, price)).tolist():
        if not kept or quality[place] > quality[kept[-1]]:
            kept.append(place)
    return kept[-ATTEMPTS:]
