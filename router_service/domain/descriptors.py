"""What is known of a model before it has answered anything: prices, context, size, family, whether it thinks first.

Size and family are read off the model's name, as people write them: ``llama-3.1-8b-instruct`` is of family llama and has 8 billion
parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PRICE_MIN_USD = 0.02
"""Cheaper models count as if they cost so much per million tokens; free ones have no price that says anything."""
FAMILY_WEIGHT = 0.7
"""Size of a family's feature beside the others of about 1: below 1, families are shrunk harder."""
_SIZE = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
_SMALL = re.compile(r"mini|nano|haiku|flash|small|lite|tiny")
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("gpt", r"gpt|quasar|(?:^|[^a-z0-9])o[134](?![a-z0-9])"),
    ("claude", "claude"),
    ("gemini", "gemini"),
    ("gemma", "gemma"),
    ("mistral", "mi[sx]tral|mathstral|ministral|codestral|magistral"),
    ("deepseek", "deepseek"),
    ("qwen", "qwen|qwq"),
    ("llama", "llama|athene"),
    ("phi", r"(?:^|[^a-z])phi(?![a-z])"),
    ("yi", r"(?:^|[^a-z])yi(?![a-z])"),
    ("reka", "reka"),
    ("command", "command"),
    ("grok", "grok"),
    ("jamba", "jamba"),
)
"""Families and how their models are named; the first that fits counts, so a distilled model is of the family that named it."""
OTHER = "other"
FAMILIES: tuple[str, ...] = (*(name for name, _ in _FAMILIES), OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """A model's card. Prices are USD per million tokens, 0 or more; ``reasoning`` is true for one that thinks before it answers.

    ``name`` is the router's name for it; family and size are read off ``upstream_name``, its maker's.
    """

    name: str
    upstream_name: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    context_tokens: int
    reasoning: bool


def family_of(name: str) -> str:
    """The family that a model's name stands for, `other` when it stands for none that is known."""
    lowered = name.lower()
    return next((family for family, pattern in _FAMILIES if re.search(pattern, lowered)), OTHER)


def billions_of(name: str) -> float | None:
    """Parameters in billions as the name states them (`8x7B` counts as 56), None when it states none."""
    found = _SIZE.search(name.lower())
    if found is None or float(found[2]) <= 0.0:
        return None
    return float(found[2]) * float(found[1] or 1)


def descriptor_features(model: Descriptors) -> Floats:
    """The card as numbers of about 1, the first of them always 1: ``(8 + families,)``."""
    billions = billions_of(model.upstream_name)
    family = family_of(model.upstream_name)
    return np.array(
        [
            1.0,
            log10(max(model.input_usd_per_mtok, PRICE_MIN_USD)),
            log10(max(model.output_usd_per_mtok, PRICE_MIN_USD)),
            log10(max(model.context_tokens, 1)) - 4.7,
            float(model.reasoning),
            0.0 if billions is None else log10(billions) - 1.2,
            float(billions is not None),
            float(_SMALL.search(model.upstream_name.lower()) is not None),
            *(FAMILY_WEIGHT * (family == known) for known in FAMILIES),
        ]
    )


def all_features(models: Sequence[Descriptors]) -> Floats:
    """One row per model."""
    return np.stack([descriptor_features(model) for model in models])
