"""Teaches the learned router models that it was not trained on: ``python -m training.adapt --data DIR --models NAMES``.

Reads labelled answers of these models, updates what their cards suggest, and writes a small file that the router loads as
``router.learned.adapted``. Nothing is trained; it takes a second once the questions are embedded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router_service.adapters.newcomer_files import read_prior, write_adapted
from router_service.adapters.onnx_quality import OnnxQuality, open_quality
from router_service.domain.descriptors import Descriptors
from router_service.domain.newcomers import Newcomer, NewcomerPrior, correction, newcomer
from servicekit.artifacts import load_manifest
from training.embeddings import EmbeddingCache
from training.tables import read_cards, read_outcomes, read_questions

TOKENS_MAX = 256


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled answers of one model: embeddings of the questions ``(n, dimensions)``, who was right, and output tokens."""

    vectors: npt.NDArray[np.float32]
    right: Sequence[bool]
    tokens: Sequence[float]


def main() -> None:
    """Reads, updates, writes."""
    arguments = _arguments()
    encoder, learned = load_manifest(arguments.encoder), load_manifest(arguments.learned)
    predictor, prior = open_quality(arguments.learned, learned), read_prior(arguments.learned, learned)
    cards = read_cards(arguments.data)
    cache = EmbeddingCache(arguments.cache, encoder=arguments.encoder, tokens_max=TOKENS_MAX)
    questions = {row["question_id"]: row["question"] for row in read_questions(arguments.data) if row["split"] in arguments.splits}
    answers = _answers(read_outcomes(arguments.data), arguments.models)
    found: list[Newcomer] = []
    for name in arguments.models:
        rows = [row for row in answers[name] if row["question_id"] in questions]
        if name not in cards or not rows:
            raise SystemExit(f"{name}: no card in models.parquet" if rows else f"{name}: no labelled answer in {arguments.data}")
        rows = rows[: arguments.labels] if arguments.labels else rows
        labelled = Labelled(
            cache.embed([questions[row["question_id"]] for row in rows]),
            [bool(row["correct"]) for row in rows],
            [float((row["completion_tokens"] or 0) + (row["reasoning_tokens_est"] or 0)) for row in rows],
        )
        found.append(adapted(predictor, prior, cards[name], labelled))
        print(f"{name}: {len(rows)} labelled answers, {sum(labelled.right) / len(rows):.0%} right", flush=True)
    write_adapted(arguments.out, found, encoder=encoder.fingerprint, learned=learned.fingerprint)
    print(f"wrote {arguments.out}; name it in the configuration as router.learned.adapted")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.adapt", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory with labelled answers of the models")
    parser.add_argument("--models", type=lambda names: names.split(","), required=True, help="names of the models, with commas between")
    parser.add_argument(
        "--splits", nargs="+", default=["train", ""], help="values of the split column to learn from (default: train, none)"
    )
    parser.add_argument("--labels", type=int, default=0, help="use only so many answers per model (0: all)")
    parser.add_argument("--encoder", type=Path, default=Path("artifacts/encoder"), help="folder of the encoder")
    parser.add_argument("--learned", type=Path, default=Path("artifacts/learned"), help="folder of the learned router")
    parser.add_argument("--out", type=Path, default=Path(".emafusion/adapted.json"), help="file to write")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


def _answers(outcomes: dict[str, list[Any]], models: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Answers by model, in an order that depends on nothing but the questions."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in models}
    for values in zip(*outcomes.values(), strict=True):
        row = dict(zip(outcomes, values, strict=True))
        if row["model"] in found:
            found[row["model"]].append(row)
    return {name: sorted(rows, key=lambda row: row["question_id"]) for name, rows in found.items()}


def adapted(predictor: OnnxQuality, prior: NewcomerPrior, card: Descriptors, labelled: Labelled) -> Newcomer:
    """What labelled answers teach about a model; one that was trained on has its predictions corrected."""
    evidence = predictor.evidence(labelled.vectors, card.name, right=labelled.right, tokens=labelled.tokens)
    return correction(prior, card.name, evidence) if card.name in predictor.names else newcomer(prior, card, evidence)


if __name__ == "__main__":
    main()
