"""What knowing a model badly costs: points of net worth lost when a pool's router knows one of its models from a few labels only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.decision_quality.choices import best_net
from benchmarks.decision_quality.pools import Pool, build_pool, pool_named
from benchmarks.decision_quality.recordings import read_recordings
from benchmarks.newcomers.leave_out import Guess
from benchmarks.newcomers.material import Material
from training.ridge import Floats

SPLIT = "dev"
TRADE_OFF = 0.07
"""Points of accuracy, as a fraction, that the best single model's cost is worth: where the learned router gains most on rgym_easy."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A pool's dev questions with what the full regressions predict: ``quality`` and ``cost_ratio`` ``(questions, endpoints)``.

    ``places`` has by model its rows and columns in the pool, and ``lines`` the rows of the pool's questions among all dev questions.
    """

    pool: Pool
    quality: Floats
    cost_ratio: Floats
    unit_usd: float
    places: Mapping[int, tuple[np.ndarray, np.ndarray]]
    lines: np.ndarray

    def worth(self, quality: Floats, cost_ratio: Floats) -> float:
        """Mean net worth in points when one model is picked per question by these predictions."""
        picks = best_net(quality, cost_ratio, trade_off=TRADE_OFF)
        rows = np.arange(len(picks))
        return 100.0 * float((self.pool.right[rows, picks] - TRADE_OFF * self.pool.cost[rows, picks] / self.unit_usd).mean())

    def regret(self, guess: Guess, material: Material) -> float | None:
        """Points lost against knowing the model by its own regression; None when it is not in the pool."""
        if guess.model not in self.places:
            return None
        rows, columns = self.places[guess.model]
        position = np.full(len(material.dev.ids), -1)
        position[guess.rows] = np.arange(len(guess.rows))
        found = position[self.lines[rows]]
        quality, cost_ratio = self.quality.copy(), self.cost_ratio.copy()
        quality[rows, columns] = guess.quality[found]
        if guess.tokens is not None:
            cost_ratio[rows, columns] = self._cost(guess.model, rows, guess.tokens[found], material)
        return self.worth(self.quality, self.cost_ratio) - self.worth(quality, cost_ratio)

    def _cost(self, model: int, rows: np.ndarray, tokens: Floats, material: Material) -> Floats:
        card = material.cards[model]
        given = np.array([self.pool.questions[row].prompt_tokens for row in rows])
        return (given * card.input_usd_per_mtok + tokens * card.output_usd_per_mtok) / 1e6 / self.unit_usd


def read_stage(name: str, data: Path, material: Material) -> Stage:
    """The pool ``name`` on dev."""
    definition = pool_named(name)
    pool = build_pool(definition, read_recordings(data, definition.arenas, texts_of="")).part(SPLIT)
    line_of = {question: line for line, question in enumerate(material.dev.ids)}
    lines = np.array([line_of[question.id] for question in pool.questions])
    column_of = {card.name: column for column, card in enumerate(material.cards)}
    models = np.array([[column_of[answer.model] for answer in row] for row in pool.answers])
    quality = np.take_along_axis(material.full.predict(material.dev.vectors[lines]), models, axis=1)
    tokens = np.take_along_axis(np.exp(material.full.log_tokens(material.dev.features[lines])), models, axis=1)
    unit = float(pool.cost[:, int(pool.right.mean(axis=0).argmax())].mean())
    prices = np.array([[card.input_usd_per_mtok, card.output_usd_per_mtok] for card in material.cards])
    given = np.array([question.prompt_tokens for question in pool.questions])
    cost = (given[:, np.newaxis] * prices[models, 0] + tokens * prices[models, 1]) / 1e6 / unit
    places = {int(model): (found[0], found[1]) for model in np.unique(models) for found in (np.nonzero(models == model),)}
    return Stage(pool, quality, cost, unit, places, lines)
