"""Pools: which endpoints compete on which questions.

A pool file is JSON with `name` and `arenas` (a list), and, all optional, `coverage_min` (0.0 to 1.0), `models` (a list), `by_alias`
(true or false) and `leave_out` (a list of pairs of arena and model).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.decision_quality.recordings import Answer, ModelFacts, Question, Recordings

Floats = npt.NDArray[np.float64]
TRAIN = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDefinition:
    """What makes a pool. Endpoints that answered less than ``coverage_min`` of the questions do not compete."""

    name: str
    arenas: tuple[str, ...]
    coverage_min: float = 0.8
    models: tuple[str, ...] = ()
    by_alias: bool = False
    leave_out: tuple[tuple[str, str], ...] = ()


DEFINED = {
    found.name: found
    for found in (
        PoolDefinition(
            name="core",
            arenas=("zeroeval", "mmlupro"),
            by_alias=True,
            leave_out=(("zeroeval", "Phi-3-mini-4k-instruct"),),
            coverage_min=0.8,
        ),
        PoolDefinition(name="zeroeval", arenas=("zeroeval",), coverage_min=0.99),
        PoolDefinition(name="mmlupro", arenas=("mmlupro",)),
        PoolDefinition(name="rgym_easy", arenas=("rgym_easy",)),
    )
}


@dataclass(frozen=True, slots=True)
class Pool:
    """Questions that every endpoint answered. ``answers[question][endpoint]``; ``facts`` has prices by recorded model."""

    name: str
    endpoints: tuple[str, ...]
    questions: tuple[Question, ...]
    answers: tuple[tuple[Answer, ...], ...]
    facts: Mapping[str, ModelFacts]

    def part(self, split: str) -> Pool:
        """The questions of one split."""
        kept = [index for index, question in enumerate(self.questions) if question.split == split]
        return Pool(
            self.name,
            self.endpoints,
            tuple(self.questions[index] for index in kept),
            tuple(self.answers[index] for index in kept),
            self.facts,
        )

    def first(self, count: int) -> Pool:
        """At most ``count`` questions, spread evenly over all."""
        step = max(1, -(-len(self.questions) // count))
        return Pool(self.name, self.endpoints, self.questions[::step], self.answers[::step], self.facts)

    @property
    def right(self) -> Floats:
        """1.0 where the endpoint was right, ``(questions, endpoints)``."""
        return np.array([[float(answer.right) for answer in row] for row in self.answers]).reshape(-1, len(self.endpoints))

    @property
    def cost(self) -> Floats:
        """Cost in USD, ``(questions, endpoints)``."""
        return np.array([[answer.cost_nano_usd / 1e9 for answer in row] for row in self.answers]).reshape(-1, len(self.endpoints))


def pool_named(name: str) -> PoolDefinition:
    """A defined pool, or the one that the file ``name`` describes. Ends the program when there is neither."""
    if name in DEFINED:
        return DEFINED[name]
    path = Path(name)
    if not path.exists():
        raise SystemExit(f"no pool {name!r}: give a file or one of {', '.join(DEFINED)}")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return PoolDefinition(
        name=str(found["name"]),
        arenas=tuple(found["arenas"]),
        coverage_min=float(found.get("coverage_min", 0.8)),
        models=tuple(found.get("models", ())),
        by_alias=bool(found.get("by_alias", False)),
        leave_out=tuple((arena, model) for arena, model in found.get("leave_out", ())),
    )


def build_pool(definition: PoolDefinition, recordings: Recordings) -> Pool:
    """The pool over the questions that all competing endpoints answered. Ends the program when nothing is left."""
    found = {key: _endpoints(definition, question, recordings) for key, question in recordings.questions.items()}
    found = {key: row for key, row in found.items() if row and recordings.questions[key].arena in definition.arenas}
    counts = Counter(name for row in found.values() for name in row)
    endpoints = tuple(sorted(name for name, count in counts.items() if count >= definition.coverage_min * len(found)))
    keys = [key for key, row in sorted(found.items()) if all(name in row for name in endpoints)]
    if not endpoints or not keys:
        raise SystemExit(f"pool {definition.name}: no endpoint answered {definition.coverage_min:.0%} of {len(found)} questions")
    answers = tuple(tuple(found[key][name] for name in endpoints) for key in keys)
    return Pool(definition.name, endpoints, tuple(recordings.questions[key] for key in keys), answers, recordings.models)


def _endpoints(definition: PoolDefinition, question: Question, recordings: Recordings) -> dict[str, Answer]:
    row: dict[str, Answer] = {}
    for model, answer in recordings.answers.get(question.id, {}).items():
        facts = recordings.models.get(model)
        name = (facts.alias if facts else "") if definition.by_alias else model
        if name and (question.arena, model) not in definition.leave_out and (not definition.models or name in definition.models):
            row[name] = answer
    return row


def accuracy_order(pool: Pool) -> Sequence[int]:
    """Endpoints from best to worst, the cheaper one first on a tie."""
    return sorted(range(len(pool.endpoints)), key=lambda index: (-pool.right[:, index].mean(), pool.cost[:, index].mean()))
