"""Φ of one more model from a few labelled answers, on top of a published table: ability → domain → cell, as in `suitability_fit`."""

from __future__ import annotations

import numpy as np

from router_service.domain.suitability import BetaBelief, CellRecord, ModelRecord
from servicekit.artifacts import Manifest
from training.suitability_fit import Counts, effects_of, fit_model
from training.taxonomy_labels import LABELS


def record_of(counts: Counts, *, unknown: ModelRecord, manifest: Manifest) -> ModelRecord:
    """The record that stands beside those of the table whose ``unknown`` and ``manifest`` are given."""
    fit = fit_model(counts, effects_of(unknown), ability_prior=0.0, tokens_prior=unknown.overall.output_tokens)
    mix = np.array(manifest.parameters["reference_mix"], dtype=np.float64)
    alpha, beta = fit.standardised(mix)
    cells = {
        (domain, complexity): CellRecord(
            BetaBelief(float(fit.alpha[d, c]), float(fit.beta[d, c])), round(float(counts.answers[d, c])), float(fit.tokens[d, c])
        )
        for d, domain in enumerate(LABELS["domain"])
        for c, complexity in enumerate(LABELS["reasoning_complexity"])
    }
    overall = CellRecord(BetaBelief(alpha, beta), round(float(counts.answers.sum())), float((mix * fit.tokens).sum()))
    return ModelRecord(overall, cells)
