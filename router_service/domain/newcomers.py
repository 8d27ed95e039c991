"""Models that the regression was not trained on: what their descriptors suggest, and what a few labelled answers add to it.

The quality of any model is ``f(x) + b + Σ a_k·h_k(x)``. Difficulty ``f`` and skills ``h`` are functions of the request that all models
share; what is a model's own is the vector of coefficients ``(b, a_1, …)``. For a newcomer it is a Gaussian belief: its prior is
regressed from descriptors of the trained models (a matrix-normal regression, so that an unusual model gets a wider prior), and
labelled answers update it in closed form. The logarithm of output tokens is predicted alike.

A model that was trained on can be corrected in the same way for requests of a kind that training did not see: its own prediction then
stands in the place of ``f``, and nothing is expected of the coefficients but that they are near 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router_service.domain.descriptors import Descriptors, descriptor_features
from router_service.domain.suitability import Suitability

Floats = npt.NDArray[np.float64]

QUALITY_MIN = 0.01
DOUBTFUL = 0.1
"""A label's variance is p·(1 − p) with p kept this far from 0 and 1, so that a confident prior can be contradicted."""
STDDEV_MAX = 0.5
TOKENS_VARIANCE_MAX = 2.0
"""Doubt about lengths beyond this is not carried into the mean, which would grow without bound."""
TOKENS_LOG_MAX = 12.0


@dataclass(frozen=True, slots=True)
class CoefficientBelief:
    """Coefficients of one model, Gaussian: ``mean`` ``(k,)`` and ``covariance`` ``(k, k)``."""

    mean: Floats
    covariance: Floats

    def after(self, skills: Floats, left: Floats, noise: Floats) -> CoefficientBelief:
        """The posterior after values ``left`` ``(n,)`` were seen at ``skills`` ``(n, k)``, each with the variance in ``noise`` ``(n,)``."""
        if len(left) == 0:
            return self
        weighted = skills / noise[:, np.newaxis]
        gained = np.linalg.solve(np.eye(len(self.mean)) + self.covariance @ (weighted.T @ skills), self.covariance)
        covariance = (gained + gained.T) / 2.0
        return CoefficientBelief(self.mean + covariance @ (weighted.T @ (left - skills @ self.mean)), covariance)

    def at(self, skills: Floats) -> tuple[Floats, Floats]:
        """Mean and variance ``(n,)`` at ``skills`` ``(n, k)``."""
        return skills @ self.mean, np.maximum(np.einsum("nk,kl,nl->n", skills, self.covariance, skills), 0.0)


@dataclass(frozen=True, slots=True)
class DescriptorRegression:
    """From descriptors ``(d,)`` to a belief: ``weights`` ``(d, k)``, their doubt ``spread`` ``(d, d)``, and what is left ``(k, k)``."""

    weights: Floats
    spread: Floats
    left: Floats

    def belief(self, features: Floats) -> CoefficientBelief:
        """The prior of a model with these descriptors; the less usual they are, the wider it is."""
        return CoefficientBelief(features @ self.weights, self.left * (1.0 + float(features @ self.spread @ features)))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewcomerPrior:
    """What is known of models in general. ``tokens_noise`` is the variance of the logarithm of one answer's tokens."""

    quality: DescriptorRegression
    log_tokens: DescriptorRegression
    tokens_noise: float


@dataclass(frozen=True, slots=True)
class LabelledAnswers:
    """Answers of one model, ``n`` of them: what the bases say of the requests, who was right (0.0 or 1.0), and output tokens.

    ``quality`` and ``log_tokens`` have the shared part in column 0 and the skills after it.
    """

    quality: Floats
    log_tokens: Floats
    right: Floats
    tokens: Floats


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A model and the beliefs about it, from ``answers`` labelled answers (0 or more)."""

    name: str
    quality: CoefficientBelief
    log_tokens: CoefficientBelief
    answers: int

    def qualities(self, bases: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations ``(n,)``; ``bases`` are the shared part and the skills ``(n, 1 + skills)``."""
        mean, variance = self.quality.at(with_constant(bases[:, 1:]))
        return np.clip(bases[:, 0] + mean, QUALITY_MIN, 1.0 - QUALITY_MIN), np.minimum(np.sqrt(variance), STDDEV_MAX)

    def output_tokens(self, bases: Floats, *, tokens_noise: float) -> Floats:
        """Expected output tokens ``(n,)``, the mean of a log-normal distribution."""
        mean, variance = self.log_tokens.at(with_constant(bases[:, 1:]))
        doubt = np.minimum(variance + tokens_noise, TOKENS_VARIANCE_MAX)
        return np.exp(np.minimum(bases[:, 0] + mean + doubt / 2.0, TOKENS_LOG_MAX))

    def predict(self, quality: Floats, log_tokens: Floats, *, tokens_noise: float) -> Suitability:
        """Φ for one request; ``quality`` and ``log_tokens`` are what the bases say of it, ``(1 + skills,)`` each."""
        means, stddevs = self.qualities(quality[np.newaxis])
        tokens = self.output_tokens(log_tokens[np.newaxis], tokens_noise=tokens_noise)
        return Suitability(float(means[0]), float(stddevs[0]), float(tokens[0]), self.answers, measured=self.answers > 0)


def with_constant(skills: Floats) -> Floats:
    """``(n, 1 + skills)``: a column of ones before the skills."""
    return np.concatenate([np.ones((len(skills), 1)), skills], axis=1)


def newcomer(prior: NewcomerPrior, model: Descriptors, answers: LabelledAnswers | None = None) -> Newcomer:
    """A model that was not trained on, from its descriptors and, where there are any, labelled answers."""
    features = descriptor_features(model)
    expected = Newcomer(model.name, prior.quality.belief(features), prior.log_tokens.belief(features), 0)
    return expected if answers is None else _learned(expected, answers, tokens_noise=prior.tokens_noise)


def correction(prior: NewcomerPrior, name: str, answers: LabelledAnswers) -> Newcomer:
    """What labelled answers say against the predictions for a model that was trained on.

    Column 0 of ``answers`` holds those predictions: of quality, and of the logarithm of output tokens.
    """
    quality, log_tokens = (CoefficientBelief(np.zeros(len(left)), left) for left in (prior.quality.left, prior.log_tokens.left))
    return _learned(Newcomer(name, quality, log_tokens, 0), answers, tokens_noise=prior.tokens_noise)


def _learned(expected: Newcomer, answers: LabelledAnswers, *, tokens_noise: float) -> Newcomer:
    skills, lengths = with_constant(answers.quality[:, 1:]), with_constant(answers.log_tokens[:, 1:])
    likely = np.clip(answers.quality[:, 0] + skills @ expected.quality.mean, DOUBTFUL, 1.0 - DOUBTFUL)
    longer = np.log1p(answers.tokens) - answers.log_tokens[:, 0]
    return Newcomer(
        expected.name,
        expected.quality.after(skills, answers.right - answers.quality[:, 0], likely * (1.0 - likely)),
        expected.log_tokens.after(lengths, longer, np.full(len(longer), tokens_noise)),
        len(answers.right),
    )
