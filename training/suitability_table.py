"""The suitability artifact as text: by model and cell ``[α, β, answers, mean output tokens]``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from training.suitability_fit import Counts, Fit, Floats
from training.taxonomy_labels import LABELS

DOMAINS: Final = LABELS["domain"]
COMPLEXITIES: Final = LABELS["reasoning_complexity"]
UNKNOWN: Final = "unknown"
"""Stands for every model without a record."""

Record = dict[str, Any]
"""`overall` and `cells` of one model."""


def no_counts() -> Counts:
    """Nothing counted in any cell."""
    return Counts.empty(len(DOMAINS), len(COMPLEXITIES))


def as_table(records: Mapping[str, Record]) -> str:
    """The artifact's text."""
    lines = ",\n".join(f"{json.dumps(name)}: {_compact(records[name])}" for name in sorted(records) if name != UNKNOWN)
    return f'{{"unknown": {_compact(records[UNKNOWN])},\n"models": {{\n{lines}\n}}}}\n'


def record_of(fit: Fit, answers: Floats, mix: Floats) -> Record:
    """What the artifact says of one model. ``answers`` are counted by cell, ``mix`` is that of ``Fit.standardised``."""
    overall = (*fit.standardised(mix), float(answers.sum()), float((mix * fit.tokens).sum()))
    cells = {
        f"{domain}/{complexity}": _figures(*(float(table[d, c]) for table in (fit.alpha, fit.beta, answers, fit.tokens)))
        for d, domain in enumerate(DOMAINS)
        for c, complexity in enumerate(COMPLEXITIES)
    }
    return {"overall": _figures(*overall), "cells": cells}


def _figures(alpha: float, beta: float, answers: float, tokens: float) -> list[float]:
    return [round(alpha, 4), round(beta, 4), round(answers), round(tokens, 1)]


def _compact(record: Record) -> str:
    return json.dumps(record, separators=(",", ":"))
