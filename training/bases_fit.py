"""Fits what all models share, so that a model can be added with a few numbers of its own: difficulty, skills, and who tends to have them.

Quality is ``f(x) + b_m + Σ_k a_mk·h_k(x)``. ``f`` is the difficulty of `learned_router_fit`. The skills ``h`` are the leading
directions in which the models' own regressions differ; a model's regression says nothing where it never answered, so those places are
filled in from the other directions in turns. Logarithms of output tokens are decomposed alike.

Arenas that share no model fix abilities only within themselves. What lies between them is read off the descriptors: the step that
descriptors don't explain belongs to the difficulty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router_service.domain.newcomers import DescriptorRegression, NewcomerPrior, with_constant
from training.ridge import OWN_RIDGE, ROUNDS, SHARED_RIDGE, Floats, Ridge

SKILLS = 8
"""Directions beside the difficulty itself, which is the first skill: some models gain more than others where questions are easy."""
LENGTH_SKILLS = 2
IMPUTATIONS = 30
SKILL_RIDGE = 1.0
COEFFICIENT_RIDGE = 5.0
DESCRIPTOR_RIDGE = 0.3
"""Pseudo-models behind "this descriptor does not matter"."""
DEGREES_MIN = 5.0
SPREAD_MIN = 1e-9
"""What varies less does not vary."""


@dataclass(frozen=True, slots=True)
class Bases:
    """``features(x) @ weights + offsets``: the shared part in column 0, then the skills ``(features, 1 + skills)``."""

    weights: Floats
    offsets: Floats

    def __call__(self, features: Floats) -> Floats:
        """What the bases say ``(n, 1 + skills)``."""
        return features @ self.weights + self.offsets


@dataclass(frozen=True, slots=True)
class BasesFitter:
    """Fits bases on ``inputs`` ``(questions, features)`` to ``values`` ``(questions, models)``, NaN where a model did not answer.

    ``cards`` are descriptor features ``(models, descriptors)``. Regressions are factored once, so that leaving models out is cheap.
    """

    inputs: Floats
    values: Floats
    cards: Floats
    shared: Ridge
    light: Ridge
    own: Sequence[Ridge]

    @staticmethod
    def on(inputs: Floats, values: Floats, cards: Floats) -> BasesFitter:
        """A fitter; takes seconds, most of them for one regression per model."""
        everything = np.ones(len(inputs), dtype=bool)
        own = [Ridge.on(inputs, ~np.isnan(values[:, model]), OWN_RIDGE) for model in range(values.shape[1])]
        shared, light = (Ridge.on(inputs, everything, strength) for strength in (SHARED_RIDGE, SKILL_RIDGE))
        return BasesFitter(inputs, values, cards, shared, light, own)

    def retargeted(self, values: Floats) -> BasesFitter:
        """The same for other values of the same answers."""
        return BasesFitter(self.inputs, values, self.cards, self.shared, self.light, self.own)

    def bases(self, models: Sequence[int], *, skills: int = SKILLS) -> Bases:
        """Difficulty and skills as ``models`` show them."""
        values = self.values[:, models]
        weights, level = self._difficulty(values, self.cards[list(models)])
        difficulty = self.inputs @ weights + level
        spread = max(float(difficulty.std()), SPREAD_MIN)
        columns, offsets = [weights, weights / spread], [level, (level - float(difficulty.mean())) / spread]
        for direction in self._directions(values - difficulty[:, np.newaxis], models, skills).T:
            found, offset = self.light.fit(direction)
            columns.append(found)
            offsets.append(offset)
        return Bases(np.stack(columns, axis=1), np.array(offsets))

    def _difficulty(self, values: Floats, cards: Floats) -> tuple[Floats, float]:
        """Difficulty and abilities in turns, then once more with abilities that can be compared across arenas."""
        ability = np.nanmean(values, axis=0)
        weights, level = np.zeros(self.inputs.shape[1]), float(np.nanmean(values - ability))
        for _ in range(ROUNDS):
            weights, level = self._shared_fit(values - ability, weights, level)
            ability = np.nanmean(values - (self.inputs @ weights + level)[:, np.newaxis], axis=0)
        ability -= arena_steps(~np.isnan(values), ability, cards)
        return self._shared_fit(values - ability, weights, level)

    def _shared_fit(self, values: Floats, weights: Floats, level: float) -> tuple[Floats, float]:
        answered = ~np.isnan(values)
        count = answered.sum(axis=1)
        mean = np.where(answered, values, 0.0).sum(axis=1) / np.maximum(count, 1)
        return self.shared.fit(np.where(count > 0, mean, self.inputs @ weights + level))

    def _directions(self, left: Floats, models: Sequence[int], skills: int) -> Floats:
        """Leading directions ``(questions, skills)`` of what sets ``models`` apart, each of spread 1."""
        own = np.empty(left.shape)
        for column, model in enumerate(models):
            weights, offset = self.own[model].fit(left[:, column])
            own[:, column] = self.inputs @ weights + offset
        answered = ~np.isnan(left)
        centred = own - np.where(answered, own, 0.0).sum(axis=0) / answered.sum(axis=0)
        filled = np.where(answered, centred, 0.0)
        for _ in range(IMPUTATIONS):
            leading = _leading(filled, skills)
            filled = np.where(answered, centred, filled @ leading @ leading.T)
        directions = filled @ _leading(filled, skills)
        return directions / np.maximum(directions.std(axis=0), SPREAD_MIN)


def _leading(table: Floats, count: int) -> Floats:
    """The leading right singular vectors ``(columns, count)``."""
    _, vectors = np.linalg.eigh(table.T @ table)
    return vectors[:, ::-1][:, :count]


def arena_steps(answered: np.ndarray, ability: Floats, cards: Floats) -> Floats:
    """By model: how far the abilities of its arena stand above those of the first one, once descriptors are accounted for."""
    groups = _groups(answered)
    steps = np.stack([np.zeros(len(groups)), *((groups == group).astype(np.float64) for group in range(1, int(groups.max()) + 1))], axis=1)
    table = np.concatenate([cards, steps], axis=1)
    shrinkage = np.full(table.shape[1], DESCRIPTOR_RIDGE)
    shrinkage[0], shrinkage[cards.shape[1] :] = 1e-6, 1e-6
    weights = np.linalg.solve(table.T @ table + np.diag(shrinkage), table.T @ ability)
    return steps @ weights[cards.shape[1] :]


def _groups(answered: np.ndarray) -> np.ndarray:
    """By model the number of its group; models that answered a question in common are of one group."""
    together = (answered.T.astype(np.float64) @ answered.astype(np.float64)) > 0
    groups = np.full(len(together), -1)
    for model in range(len(together)):
        if groups[model] < 0:
            reached = np.zeros(len(together), dtype=bool)
            reached[model] = True
            while (grown := together[reached].any(axis=0) | reached).sum() > reached.sum():
                reached = grown
            groups[reached] = groups.max() + 1
    return groups


def coefficients(bases: Floats, values: Floats) -> tuple[Floats, float]:
    """Each model's coefficients ``(models, 1 + skills)`` by least squares, very lightly shrunk, and the mean square they leave."""
    skills = with_constant(bases[:, 1:])
    shrinkage = COEFFICIENT_RIDGE * np.eye(skills.shape[1])
    shrinkage[0, 0] = 0.0
    found, squares = np.empty((values.shape[1], skills.shape[1])), np.empty(values.shape[1])
    for model in range(values.shape[1]):
        rows = ~np.isnan(values[:, model])
        mine, left = skills[rows], values[rows, model] - bases[rows, 0]
        found[model] = np.linalg.solve(mine.T @ mine + shrinkage, mine.T @ left)
        squares[model] = float(np.mean((left - mine @ found[model]) ** 2))
    return found, float(squares.mean())


def regress(cards: Floats, found: Floats) -> DescriptorRegression:
    """Coefficients from descriptors: ridge regression, with the covariance of what it leaves."""
    shrinkage = np.full(cards.shape[1], DESCRIPTOR_RIDGE)
    shrinkage[0] = 1e-3
    spread = np.asarray(np.linalg.inv(cards.T @ cards + np.diag(shrinkage)), dtype=np.float64)
    weights = spread @ cards.T @ found
    errors = found - cards @ weights
    degrees = max(len(cards) - float(np.trace(cards @ spread @ cards.T)), DEGREES_MIN)
    return DescriptorRegression(weights, spread, errors.T @ errors / degrees)


@dataclass(frozen=True, slots=True)
class Common:
    """What all models share: bases of quality and of the logarithm of output tokens, and the prior of a model's coefficients in them."""

    quality: Bases
    log_tokens: Bases
    prior: NewcomerPrior


def fit_common(fitter: BasesFitter, log_tokens: Floats, models: Sequence[int]) -> Common:
    """Fits on the answers of ``models``; ``log_tokens`` is shaped as the fitter's values."""
    lengths = fitter.retargeted(log_tokens)
    quality, length = fitter.bases(models, skills=SKILLS), lengths.bases(models, skills=LENGTH_SKILLS)
    cards = fitter.cards[list(models)]
    abilities, _ = coefficients(quality(fitter.inputs), fitter.values[:, models])
    habits, noise = coefficients(length(fitter.inputs), log_tokens[:, models])
    return Common(quality, length, NewcomerPrior(quality=regress(cards, abilities), log_tokens=regress(cards, habits), tokens_noise=noise))
