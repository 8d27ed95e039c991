"""What the artifacts don't know of a directory, learned from a few labelled answers: models, and whole datasets.

``--fit-on N`` shows the router the labels of N questions: of training questions when the directory has any, and otherwise of questions of
the measured split, which are then not measured. They are drawn by the hash of the question's id. A model that the artifacts don't
know learns from them in the learned router and in Φ; where datasets are unknown, every model's predictions are corrected. With 0 a
model is known by its card alone, and predictions stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.decision_quality.pools import Pool
from benchmarks.decision_quality.recordings import Answer, ModelFacts, Question
from router_service.adapters.newcomer_files import read_prior
from router_service.adapters.onnx_quality import OnnxQuality, Surroundings, open_quality
from router_service.adapters.suitability_artifact import read_suitability
from router_service.domain.descriptors import Descriptors
from router_service.domain.newcomers import Newcomer, newcomer
from router_service.domain.suitability import SuitabilityTable
from servicekit.artifacts import load_manifest
from training.adapt import Labelled, adapted
from training.suitability_fit import Counts
from training.suitability_record import record_of

NANO_PER_USD = 1e9
CellsOf = Callable[[list[str]], npt.NDArray[np.float64]]
"""Places texts in the cells of the taxonomy: ``(texts, domains, complexities)``."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Labelled questions ``(question, its answers)`` and the embeddings of these questions."""

    rows: tuple[tuple[Question, tuple[Answer, ...]], ...]
    vectors: npt.NDArray[np.float32]


NOTHING_SHOWN = Lesson((), np.zeros((0, 0), dtype=np.float32))
"""No labels."""


@dataclass(frozen=True, slots=True)
class Grown:
    """The artifacts' table and predictor, and in them what was learned from the labelled answers."""

    table: SuitabilityTable
    predictor: OnnxQuality | None


def draw(train: Pool, measured: Pool, count: int) -> tuple[Pool, Pool]:
    """The labelled pool of at most ``count`` questions, and what remains to be measured."""
    source = train if train.questions else measured
    ranked = sorted(range(len(source.questions)), key=lambda index: hashlib.sha256(source.questions[index].id.encode()).digest())
    chosen = set(ranked[:count])
    rest = [index for index in range(len(measured.questions)) if train.questions or index not in chosen]
    return _only(source, sorted(chosen)), _only(measured, rest)


def _only(pool: Pool, kept: Sequence[int]) -> Pool:
    return replace(pool, questions=tuple(pool.questions[index] for index in kept), answers=tuple(pool.answers[index] for index in kept))


def is_strange(artifacts: Path, pool: Pool) -> bool:
    """True when the artifacts don't know a model or a dataset of the pool, so that labelled answers teach something."""
    return bool(_unknown(artifacts, pool)) or _strange_datasets(artifacts, pool)


def _unknown(artifacts: Path, pool: Pool) -> set[str]:
    """Models of the pool that neither the suitability table nor the learned router knows."""
    names = {answer.model for row in pool.answers for answer in row}
    known = set(read_suitability(artifacts / "suitability").models)
    return names - known


def _strange_datasets(artifacts: Path, pool: Pool) -> bool:
    known = load_manifest(artifacts / "learned").data.get("datasets") if (artifacts / "learned").exists() else None
    return isinstance(known, list) and any(question.task.partition("/")[0] not in known for question in pool.questions)


def grow(artifacts: Path, pool: Pool, lesson: Lesson, cells_of: CellsOf) -> Grown:
    """Table and predictor for the models of ``pool``."""
    return Grown(_grown_table(artifacts, pool, lesson, cells_of), _grown_predictor(artifacts, pool, lesson))


def _grown_table(artifacts: Path, pool: Pool, lesson: Lesson, cells_of: CellsOf) -> SuitabilityTable:
    table, manifest = read_suitability(artifacts / "suitability"), load_manifest(artifacts / "suitability")
    unknown = _unknown(artifacts, pool)
    if not lesson.rows or not unknown:
        return table
    cells = cells_of([question.text for question, _ in lesson.rows])
    records = dict(table.models)
    for name in sorted(unknown):
        counts = Counts.empty(*cells.shape[1:])
        for cell, (_, answers) in zip(cells, lesson.rows, strict=True):
            for answer in answers:
                if answer.model == name:
                    counts.add(cell, right=answer.right, tokens=float(answer.output_tokens))
        if counts.answers.sum() > 0.0:
            records[name] = record_of(counts, unknown=table.unknown, manifest=manifest)
    return SuitabilityTable(records, table.unknown)


def _grown_predictor(artifacts: Path, pool: Pool, lesson: Lesson) -> OnnxQuality | None:
    folder = artifacts / "learned"
    if not folder.exists():
        return None
    manifest = load_manifest(folder)
    prior, plain = read_prior(folder, manifest), open_quality(folder, manifest)
    corrected = set(plain.names) if _strange_datasets(artifacts, pool) else set[str]()
    found: list[Newcomer] = []
    for name in sorted({answer.model for row in pool.answers for answer in row}):
        labelled = _labelled(lesson, name)
        if labelled is not None and (name in corrected or name not in plain.names):
            found.append(adapted(plain, prior, card_of(pool.facts[name]), labelled))
        elif name not in plain.names:
            found.append(newcomer(prior, card_of(pool.facts[name])))
    return open_quality(folder, manifest, beside=Surroundings(tuple(found), prior.tokens_noise))


def _labelled(lesson: Lesson, name: str) -> Labelled | None:
    mine = [(index, answer) for index, (_, answers) in enumerate(lesson.rows) for answer in answers if answer.model == name]
    if not mine:
        return None
    rows = [index for index, _ in mine]
    return Labelled(lesson.vectors[rows], [answer.right for _, answer in mine], [float(answer.output_tokens) for _, answer in mine])


def card_of(facts: ModelFacts) -> Descriptors:
    """A recorded model's card."""
    return Descriptors(
        name=facts.name,
        upstream_name=facts.name,
        input_usd_per_mtok=facts.input_nano_usd_per_mtok / NANO_PER_USD,
        output_usd_per_mtok=facts.output_nano_usd_per_mtok / NANO_PER_USD,
        context_tokens=facts.context_tokens,
        reasoning=facts.reasoning,
    )
