"""Reads and writes what concerns models that the learned router was not trained on.

The learned artifact holds, beside its regression, the prior of such models (``newcomers.json``). `python -m training.adapt` writes
beliefs after labelled answers to a file of the operator's own, which names the artifacts that it was made for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from router_service.domain.descriptors import FAMILIES
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.newcomers import CoefficientBelief, DescriptorRegression, Floats, Newcomer, NewcomerPrior
from servicekit.artifacts import Manifest

PRIOR_FILE = "newcomers.json"
DIGITS = 6
Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


def _ours(families: tuple[str, ...]) -> tuple[str, ...]:
    if families != FAMILIES:
        raise ValueError("it was made for other families of models")
    return families


class _Regression(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Matrix
    spread: Matrix
    left: Matrix


class _Prior(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    families: Annotated[tuple[str, ...], AfterValidator(_ours)]
    quality: _Regression
    log_tokens: _Regression
    tokens_noise: float = Field(gt=0.0)


class _Belief(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: Vector
    covariance: Matrix


class _Adapted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    answers: int = Field(ge=1)
    quality: _Belief
    log_tokens: _Belief


class _AdaptedFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder_fingerprint: str
    learned_fingerprint: str
    models: tuple[_Adapted, ...]


def read_prior(folder: Path, manifest: Manifest) -> NewcomerPrior:
    """The prior in the learned artifact's folder; blocks. Raises ``ArtifactMismatch`` when it can't be understood."""
    path = folder / PRIOR_FILE
    try:
        found = _Prior.model_validate_json(path.read_bytes())
        return NewcomerPrior(quality=_regression(found.quality), log_tokens=_regression(found.log_tokens), tokens_noise=found.tokens_noise)
    except (ValidationError, ValueError, OSError) as error:
        raise ArtifactMismatch(f"{path} can't be read ({_reason(error)}); make it again with `{manifest.command}`") from error


def write_prior(path: Path, prior: NewcomerPrior) -> None:
    """Writes the prior as JSON."""
    found = _Prior(
        families=FAMILIES,
        quality=_as_regression(prior.quality),
        log_tokens=_as_regression(prior.log_tokens),
        tokens_noise=round(prior.tokens_noise, DIGITS),
    )
    path.write_text(found.model_dump_json() + "\n", encoding="utf-8")


def read_adapted(path: Path, *, encoder: Manifest, learned: Manifest) -> tuple[Newcomer, ...]:
    """The models of an adapted file; blocks. Raises ``ArtifactMismatch`` when it can't be read or was made for other artifacts."""
    remake = "make it again with `python -m training.adapt --data DIR --models NAMES`"
    try:
        found = _AdaptedFile.model_validate_json(path.read_bytes())
        models = tuple(Newcomer(entry.name, _belief(entry.quality), _belief(entry.log_tokens), entry.answers) for entry in found.models)
    except (ValidationError, ValueError, OSError) as error:
        raise ArtifactMismatch(f"{path} can't be read ({_reason(error)}); {remake}") from error
    for name, made_for, here in (
        (encoder.name, found.encoder_fingerprint, encoder.fingerprint),
        (learned.name, found.learned_fingerprint, learned.fingerprint),
    ):
        if made_for != here:
            raise ArtifactMismatch(f"{path} was made for {name} {made_for}, but {here} is here; {remake}")
    return models


def write_adapted(path: Path, models: Sequence[Newcomer], *, encoder: str, learned: str) -> None:
    """Writes beliefs about ``models``; ``encoder`` and ``learned`` are the fingerprints of the artifacts they rest on."""
    entries = tuple(
        _Adapted(name=model.name, answers=model.answers, quality=_as_belief(model.quality), log_tokens=_as_belief(model.log_tokens))
        for model in models
    )
    found = _AdaptedFile(encoder_fingerprint=encoder, learned_fingerprint=learned, models=entries)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json() + "\n", encoding="utf-8")


def _reason(error: Exception) -> str:
    """The first thing that is wrong, and where."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc']) or 'content'}: {first['msg']}"
    return str(error).splitlines()[0]


def _regression(found: _Regression) -> DescriptorRegression:
    weights, spread, left = _matrix(found.weights), _matrix(found.spread), _matrix(found.left)
    if spread.shape != (len(weights), len(weights)) or left.shape != (weights.shape[1], weights.shape[1]):
        raise ValueError("its matrices don't fit each other")
    return DescriptorRegression(weights, spread, left)


def _belief(found: _Belief) -> CoefficientBelief:
    mean, covariance = np.array(found.mean), _matrix(found.covariance)
    if covariance.shape != (len(mean), len(mean)):
        raise ValueError("its matrices don't fit each other")
    return CoefficientBelief(mean, covariance)


def _matrix(rows: Matrix) -> Floats:
    return np.array(rows, dtype=np.float64)


def _as_regression(regression: DescriptorRegression) -> _Regression:
    return _Regression(weights=_rows(regression.weights), spread=_rows(regression.spread), left=_rows(regression.left))


def _as_belief(belief: CoefficientBelief) -> _Belief:
    return _Belief(mean=_rows(belief.mean[np.newaxis])[0], covariance=_rows(belief.covariance))


def _rows(matrix: Floats) -> Matrix:
    return tuple(tuple(round(float(value), DIGITS) for value in row) for row in matrix)
