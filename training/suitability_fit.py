"""From counted successes to Φ: a hierarchy that lets a cell with few answers borrow from what is known around it.

Three steps, each a prior for the next:
1. Ability. ``P(right | complexity c) = σ(e_c + θ)``: ``e_c`` is the mean success rate of the recorded models at complexity ``c`` on the
   logit scale, ``θ`` the model's ability, its posterior mode under a normal prior.
2. Domain. How much better or worse the model is in a domain than its ability says there, on the logit scale, shrunk.
3. Cell. ``Beta`` around what 1 and 2 predict, plus the successes and failures that were counted in the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

from router_service.domain.suitability import ModelRecord
from training.taxonomy_labels import LABELS

Floats = npt.NDArray[np.float64]

ABILITY_STDDEV = 1.5
"""Standard deviation of the normal prior of θ; the recorded models spread by about 1."""
DOMAIN_STRENGTH = 20.0
"""Pseudo-answers behind "no domain effect"."""
CELL_STRENGTH = 8.0
"""Pseudo-answers behind what ability and domain predict for a cell, for a model that was measured at all."""
UNMEASURED_STRENGTH = 2.0
"""The same for a model without a single answer."""
TOKENS_STRENGTH = 5.0
"""Pseudo-answers behind the model's mean output tokens in a cell."""
PROBABILITY_MIN = 0.005
"""Means are kept this far from 0 and 1, so that no prior is certain."""
NEWTON_STEPS = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """Answers, right answers and output tokens by domain and complexity, each ``(domains, complexities)``; may be fractional."""

    answers: Floats
    right: Floats
    tokens: Floats

    @staticmethod
    def empty(domains: int, complexities: int) -> Counts:
        """Nothing counted yet."""
        shape = (domains, complexities)
        return Counts(np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def add(self, weights: Floats, *, right: bool, tokens: float) -> None:
        """Counts one answer, spread over the cells by ``weights`` that add up to 1."""
        self.answers[...] += weights
        self.right[...] += weights * float(right)
        self.tokens[...] += weights * tokens


@dataclass(frozen=True, slots=True)
class Fit:
    """Posterior parameters by cell ``(domains, complexities)``, mean output tokens by cell, and the model's ability."""

    alpha: Floats
    beta: Floats
    tokens: Floats
    ability: float
    ability_variance: float

    @property
    def mean(self) -> Floats:
        """Mean of Φ by cell."""
        return self.alpha / (self.alpha + self.beta)

    def standardised(self, mix: Floats) -> tuple[float, float]:
        """α and β of the success rate over the category mix ``(domains, complexities)``, by matching mean and variance.

        The same mix for every model makes overall rates comparable although the models answered different questions. All cells share
        the model's ability, so its uncertainty does not average out and is added.
        """
        total = self.alpha + self.beta
        variance = float((mix**2 * self.alpha * self.beta / (total**2 * (total + 1.0))).sum())
        variance += float((mix * self.mean * (1.0 - self.mean)).sum()) ** 2 * self.ability_variance
        mean = float((mix * self.mean).sum())
        strength = max(mean * (1.0 - mean) / variance - 1.0, 1.0)
        return mean * strength, (1.0 - mean) * strength


def complexity_effects(recorded: list[Counts]) -> Floats:
    """``e_c`` for every complexity: the logit of the mean over models of their success rates there."""
    rates = [counts.right.sum(axis=0) / counts.answers.sum(axis=0) for counts in recorded if (counts.answers.sum(axis=0) > 0).all()]
    return _logit(np.mean(rates, axis=0))


def effects_of(unknown: ModelRecord) -> Floats:
    """The effects behind a published table, read off the cells of the model that stands for every unknown one."""
    domain = LABELS["domain"][0]
    return _logit(np.array([unknown.cells[domain, complexity].belief.mean for complexity in LABELS["reasoning_complexity"]]))


def fit_model(counts: Counts, effects: Floats, *, ability_prior: float, tokens_prior: float) -> Fit:
    """Φ of one model. ``tokens_prior`` are the output tokens assumed of a model without any answer."""
    by_complexity, right_by_complexity = counts.answers.sum(axis=0), counts.right.sum(axis=0)
    ability = ability_mode(by_complexity, right_by_complexity, effects, prior=ability_prior)
    expected = _sigmoid(effects + ability)
    prior = _sigmoid(_logit(expected)[None, :] + _domain_effects(counts, expected)[:, None])
    strength = min(CELL_STRENGTH, UNMEASURED_STRENGTH + float(by_complexity.sum()))
    total = float(counts.answers.sum())
    mean_tokens = float(counts.tokens.sum()) / total if total > 0 else tokens_prior
    return Fit(
        alpha=prior * strength + counts.right,
        beta=(1.0 - prior) * strength + counts.answers - counts.right,
        tokens=(mean_tokens * TOKENS_STRENGTH + counts.tokens) / (TOKENS_STRENGTH + counts.answers),
        ability=ability,
        ability_variance=1.0 / _curvature(by_complexity, effects, ability),
    )


def ability_mode(answers: Floats, right: Floats, effects: Floats, *, prior: float) -> float:
    """Posterior mode of θ given answers and right answers by complexity, by Newton's method (the posterior is log-concave)."""
    theta = prior
    precision = 1.0 / ABILITY_STDDEV**2
    for _ in range(NEWTON_STEPS):
        expected = _sigmoid(effects + theta)
        gradient = float((right - answers * expected).sum()) - (theta - prior) * precision
        step = max(-1.0, min(1.0, gradient / _curvature(answers, effects, theta)))
        theta += step
        if abs(step) < 1e-9:  # noqa: PLR2004 - converged to machine precision, not a parameter
            break
    return theta


def _curvature(answers: Floats, effects: Floats, theta: float) -> float:
    """Minus the second derivative of the log posterior of θ: the inverse of its variance."""
    expected = _sigmoid(effects + theta)
    return float((answers * expected * (1.0 - expected)).sum()) + 1.0 / ABILITY_STDDEV**2


def _domain_effects(counts: Counts, expected: Floats) -> Floats:
    """By domain: the logit of the shrunk observed rate minus that of the rate that ability alone predicts; 0 without answers."""
    answers = counts.answers.sum(axis=1)
    predicted = np.where(answers > 0, (counts.answers @ expected) / np.maximum(answers, 1e-12), 0.5)
    observed = (counts.right.sum(axis=1) + DOMAIN_STRENGTH * predicted) / (answers + DOMAIN_STRENGTH)
    return _logit(observed) - _logit(predicted)


def _logit(p: Floats) -> Floats:
    bounded = np.clip(p, PROBABILITY_MIN, 1.0 - PROBABILITY_MIN)
    return np.log(bounded / (1.0 - bounded))


def _sigmoid(x: Floats) -> Floats:
    return np.clip(1.0 / (1.0 + np.exp(-x)), PROBABILITY_MIN, 1.0 - PROBABILITY_MIN)


def ability_for(rate: float, effect: float) -> float:
    """The ability with which a model is right with probability ``rate`` at a complexity whose effect is ``effect``."""
    return log(rate / (1.0 - rate)) - effect
