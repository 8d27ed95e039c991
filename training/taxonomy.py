"""Trains the taxonomy heads: ``python -m training.taxonomy --data DIR``.

One multinomial logistic regression per axis on the sentence embedding, all exported to one small ONNX graph.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from servicekit.artifacts import load_manifest, write_manifest
from training.embeddings import EmbeddingCache
from training.seed_prompts import seed_examples
from training.tables import read_outcomes, read_questions
from training.taxonomy_fit import Head, Sample, Vectors, fit_head, quality
from training.taxonomy_labels import LABELS, LOW_FROM, MEDIUM_FROM, Example, examples_of
from training.taxonomy_panel import panel_examples

TOKENS_MAX = 256
PROMPT_FORM_ONE_IN = 3
"""Of every third question the whole prompt is used too, since benchmarks and applications send instructions around a question."""
EVERYDAY_SHARE = 0.3
"""Share of the total weight that our own everyday requests get; they are few, but nearer to live traffic than examinations are."""
EVERYDAY_ORIGINS = frozenset({"seed", "panel"})
INPUT = "sentence_embedding"
OPSET = 17


def main() -> None:
    """Fits, measures and publishes."""
    arguments = _arguments()
    started = time.monotonic()
    examples = collect_examples(arguments.data)
    print(f"{len(examples)} examples: {dict(Counter(example.origin for example in examples))}", flush=True)
    cache = EmbeddingCache(arguments.cache, encoder=arguments.encoder, tokens_max=TOKENS_MAX)
    vectors = cache.embed([example.text for example in examples])
    heads: dict[str, Head] = {}
    metrics: dict[str, Any] = {}
    for axis, labels in LABELS.items():
        heads[axis], metrics[axis] = _fit_axis(axis, labels, examples, vectors)
        print(f"{axis}: {metrics[axis]}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    onnx.save(heads_graph(heads), str(arguments.out / "heads.onnx"))
    seconds = time.monotonic() - started
    _publish(arguments.out, examples, heads, {**metrics, "seconds": round(seconds)}, encoder=load_manifest(arguments.encoder).fingerprint)
    print(f"published {arguments.out} in {seconds:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.taxonomy", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--encoder", type=Path, default=Path("artifacts/encoder"), help="folder of the encoder")
    parser.add_argument("--out", type=Path, default=Path("artifacts/taxonomy"), help="folder of the artifact")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


def collect_examples(data: Path) -> list[Example]:
    """Recorded questions with their labels, then our own everyday requests."""
    shares = shares_right(read_outcomes(data))
    recorded = [
        example
        for row in read_questions(data)
        for example in examples_of(row, share_right=shares.get(row["question_id"]), forms=_forms(row["question_id"]))
    ]
    return [*recorded, *seed_examples(), *panel_examples()]


def shares_right(outcomes: dict[str, list[Any]]) -> dict[str, float]:
    """Share of the models that are right, by question."""
    answers: dict[str, list[bool]] = defaultdict(list)
    for question, correct in zip(outcomes["question_id"], outcomes["correct"], strict=True):
        answers[question].append(bool(correct))
    return {question: sum(marks) / len(marks) for question, marks in answers.items()}


def _forms(question_id: str) -> tuple[str, ...]:
    digest = int(hashlib.sha256(question_id.encode()).hexdigest(), 16)
    return ("question", "prompt") if digest % PROMPT_FORM_ONE_IN == 0 else ("question",)


def _fit_axis(axis: str, labels: tuple[str, ...], examples: list[Example], vectors: Vectors) -> tuple[Head, dict[str, Any]]:
    """The head of one axis and its quality on dev, for recorded and everyday texts apart."""
    rows = [index for index, example in enumerate(examples) if axis in example.labels]
    train = np.array([examples[index].split == "train" for index in rows])
    everyday = np.array([examples[index].origin in EVERYDAY_ORIGINS for index in rows])
    indices = np.array([labels.index(examples[index].labels[axis]) for index in rows])
    weights = np.where(everyday, EVERYDAY_SHARE / everyday.mean(), (1.0 - EVERYDAY_SHARE) / (1.0 - everyday.mean()))
    sample = Sample(vectors[rows], indices, weights)
    head = fit_head(sample.where(train), sample.where(~train), label_count=len(labels))
    return head, {
        "recorded_dev": quality(head, sample.where(~train & ~everyday)),
        "everyday_dev": quality(head, sample.where(~train & everyday)),
        "temperature": round(head.temperature, 4),
        "inverse_regularisation": head.strength,
    }


def heads_graph(heads: dict[str, Head]) -> onnx.ModelProto:
    """One graph: embeddings ``(batch, 384)`` in, one output ``(batch, labels)`` of probabilities per axis."""
    nodes, tensors, outputs = [], [], []
    for axis, head in heads.items():
        tensors.append(numpy_helper.from_array((head.weights / head.temperature).astype(np.float32), f"{axis}_weights"))
        tensors.append(numpy_helper.from_array((head.bias / head.temperature).astype(np.float32), f"{axis}_bias"))
        nodes.append(helper.make_node("Gemm", [INPUT, f"{axis}_weights", f"{axis}_bias"], [f"{axis}_scores"]))
        nodes.append(helper.make_node("Softmax", [f"{axis}_scores"], [axis], axis=1))
        outputs.append(helper.make_tensor_value_info(axis, TensorProto.FLOAT, ["batch", len(head.bias)]))
    dimensions = next(iter(heads.values())).weights.shape[0]
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", dimensions])]
    graph = helper.make_graph(nodes, "taxonomy", inputs, outputs, initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _publish(folder: Path, examples: list[Example], heads: dict[str, Head], metrics: dict[str, Any], *, encoder: str) -> None:
    write_manifest(
        folder,
        name="taxonomy",
        files=("heads.onnx",),
        created_by="training.taxonomy",
        command="python -m training.taxonomy --data DIR",
        licence="Apache-2.0",
        data={
            "recorded": "questions and correctness labels of ZeroEval, MMLU-Pro and reasoning-gym-eval (all Apache-2.0)",
            "everyday": "requests written for this project (training/seed_prompts.py, training/panel_questions.py), labelled by us; "
            "the recorded data has no small talk, writing, translation or code writing",
            "examples": dict(Counter(f"{example.origin}/{example.split}" for example in examples)),
            "everyday_weight_share": EVERYDAY_SHARE,
        },
        metrics=metrics,
        parameters={
            "input": INPUT,
            "labels": {axis: list(labels) for axis, labels in LABELS.items()},
            "complexity_cut_points": {"low_from_share_right": LOW_FROM, "medium_from_share_right": MEDIUM_FROM},
            "temperatures": {axis: round(head.temperature, 4) for axis, head in heads.items()},
            "encoder_fingerprint": encoder,
        },
    )


if __name__ == "__main__":
    main()
