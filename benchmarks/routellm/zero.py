"""Scores that need no label of the pair: chance, length, the committed learned router, the committed verifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.routellm.features import Seen
from benchmarks.routellm.metric import Floats
from router_service.adapters.onnx_quality import FILE, INPUT, QUALITY
from router_service.adapters.onnx_session import open_session
from servicekit.artifacts import load_manifest

SEED = 0


def by_length(seen: Seen) -> Floats:
    """Characters of the prompt."""
    return np.array([float(len(prompt)) for prompt in seen.prompts])


def by_chance(seen: Seen) -> Floats:
    """A number drawn for each question."""
    return np.random.default_rng(SEED).random(len(seen.prompts))


def predicted_gap(seen: Seen, artifacts: Path, *, strong: str, weak: str) -> Floats:
    """P(right) of ``strong`` minus that of ``weak`` as the committed learned router predicts. Ends the program on an unknown model."""
    folder = artifacts / "learned"
    listed = load_manifest(folder).parameters["models"]
    names = [str(model["name"]) for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
    for model in (strong, weak):
        if model not in names:
            raise SystemExit(f"the learned router in {folder} does not know {model!r}; it knows {', '.join(names)}")
    qualities = open_session(folder / FILE, threads=1).run([QUALITY], {INPUT: seen.embedding.astype(np.float32)})[0]
    return (qualities[:, names.index(strong)] - qualities[:, names.index(weak)]).astype(np.float64)
