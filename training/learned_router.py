"""Publishes the learned router: ``python -m training.learned_router --data DIR``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from pydantic import JsonValue
from sklearn.metrics import roc_auc_score

from router_service.adapters.newcomer_files import PRIOR_FILE, write_prior
from router_service.adapters.onnx_quality import FILE, INPUT, LENGTH_BASES, OUTPUT_TOKENS, QUALITY, QUALITY_BASES
from router_service.domain.descriptors import Descriptors, all_features
from servicekit.artifacts import load_manifest, write_manifest
from training.bases_fit import DESCRIPTOR_RIDGE, LENGTH_SKILLS, SKILLS, BasesFitter, Common, fit_common
from training.embeddings import EmbeddingCache
from training.learned_router_fit import (
    CLUSTERS,
    QUALITY_MIN,
    TEMPERATURE,
    Fitted,
    calibration_rmse,
    fit,
)
from training.ridge import OWN_RIDGE, SHARED_RIDGE, Floats
from training.tables import read_cards, read_outcomes, read_questions

TOKENS_MAX = 256
ANSWERS_MIN = 300
"""Fewer answers are too few for a regression of its own; such a model keeps its Φ."""
OPSET = 17
IR_VERSION = 8
EVALUATED_MIN = 20


def main() -> None:
    """Fits on train, measures on dev, publishes."""
    arguments = _arguments()
    started = time.monotonic()
    questions = read_questions(arguments.data)
    cards = read_cards(arguments.data)
    names, right, tokens = answer_tables(questions, read_outcomes(arguments.data))
    if not names:
        raise SystemExit(f"no model of {arguments.data} has {ANSWERS_MIN} labelled answers to training questions; Φ does with fewer")
    cache = EmbeddingCache(arguments.cache, encoder=arguments.encoder, tokens_max=TOKENS_MAX)
    vectors = cache.embed([row["question"] for row in questions]).astype(np.float64)
    train = np.array([row["split"] == "train" for row in questions]) & ~np.isnan(right).all(axis=1)
    dev = np.array([row["split"] == "dev" for row in questions])
    print(f"{train.sum()} training questions, {len(names)} models", flush=True)
    fitted = fit(vectors[train], right[train], tokens[train])
    metrics, errors = _measure(fitted.predict(vectors[dev]), right[dev], names)
    print(json.dumps(metrics, indent=1), flush=True)
    common = _common(fitted, vectors[train], right[train], tokens[train], cards=[cards[name] for name in names])
    arguments.out.mkdir(parents=True, exist_ok=True)
    onnx.save(as_graph(fitted, common), str(arguments.out / FILE))
    write_prior(arguments.out / PRIOR_FILE, common.prior)
    answers = (~np.isnan(right[train])).sum(axis=0)
    models: list[dict[str, JsonValue]] = [
        {"name": name, "answers": int(count), "error": errors[name]} for name, count in zip(names, answers, strict=True)
    ]
    datasets = sorted({str(row["dataset"]) for row, kept in zip(questions, train, strict=True) if kept})
    _publish(arguments.out, metrics, models, datasets=datasets, encoder=load_manifest(arguments.encoder).fingerprint)
    print(f"published {arguments.out} in {time.monotonic() - started:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.learned_router", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--encoder", type=Path, default=Path("artifacts/encoder"), help="folder of the encoder")
    parser.add_argument("--out", type=Path, default=Path("artifacts/learned"), help="folder of the artifact")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


def answer_tables(questions: list[dict[str, Any]], outcomes: dict[str, list[Any]]) -> tuple[list[str], Floats, Floats]:
    """Models with enough training answers, and who was right with how many tokens ``(questions, models)``, NaN where nobody answered."""
    rows = {row["question_id"]: index for index, row in enumerate(questions)}
    trained_on = {row["question_id"] for row in questions if row["split"] == "train"}
    counts: dict[str, int] = {}
    for question, model in zip(outcomes["question_id"], outcomes["model"], strict=True):
        counts[model] = counts.get(model, 0) + (question in trained_on)
    names = sorted(model for model, count in counts.items() if count >= ANSWERS_MIN)
    columns = {name: index for index, name in enumerate(names)}
    right, tokens = np.full((len(rows), len(names)), np.nan), np.full((len(rows), len(names)), np.nan)
    fields = (outcomes[name] for name in ("question_id", "model", "correct", "completion_tokens", "reasoning_tokens_est"))
    for question, model, correct, completion, reasoning in zip(*fields, strict=True):
        if model in columns:
            place = rows[question], columns[model]
            right[place], tokens[place] = float(bool(correct)), (completion or 0) + (reasoning or 0)
    return names, right, tokens


def _common(fitted: Fitted, vectors: Floats, right: Floats, tokens: Floats, *, cards: Sequence[Descriptors]) -> Common:
    """What all models share, for models that were not trained on."""
    print("difficulty and skills that all models share", flush=True)
    fitter = BasesFitter.on(fitted.features(vectors), right, all_features(cards))
    return fit_common(fitter, np.log1p(tokens), range(len(cards)))


def _measure(predicted: Floats, right: Floats, names: list[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """AUROC, Brier score and calibration error on dev, meaned over models, and the calibration error of each."""
    figures: list[tuple[float, float, float]] = []
    errors: dict[str, float] = {}
    for index, name in enumerate(names):
        rows = ~np.isnan(right[:, index])
        mine, truth = predicted[rows, index], right[rows, index]
        errors[name] = round(calibration_rmse(mine, truth), 4) if rows.sum() >= EVALUATED_MIN else 0.5
        if rows.sum() >= EVALUATED_MIN and 0.0 < truth.mean() < 1.0:
            figures.append((float(roc_auc_score(truth, mine)), float(np.mean((mine - truth) ** 2)), errors[name]))
    auroc, brier, error = np.mean(figures, axis=0).round(4).tolist()
    return {"dev": {"models": len(figures), "auroc": auroc, "brier": brier, "calibration_rmse": error}}, errors


def as_graph(fitted: Fitted, common: Common) -> onnx.ModelProto:
    """The regression as ONNX: embedding ``(n, dimensions)`` in, out come qualities and output tokens ``(n, models)``, and the bases."""
    dimensions, models = fitted.centroids.shape[1], len(fitted.quality.bias)
    constants = {
        "centroids": fitted.centroids.T / TEMPERATURE,
        "quality_weights": fitted.quality.weights,
        "quality_bias": fitted.quality.bias,
        "tokens_weights": fitted.log_tokens.weights,
        "tokens_bias": fitted.log_tokens.bias,
        "skill_weights": common.quality.weights,
        "skill_offsets": common.quality.offsets,
        "habit_weights": common.log_tokens.weights,
        "habit_offsets": common.log_tokens.offsets,
        "low": np.array(QUALITY_MIN),
        "high": np.array(1.0 - QUALITY_MIN),
    }
    nodes = [
        helper.make_node("MatMul", [INPUT, "centroids"], ["similarity"]),
        helper.make_node("Softmax", ["similarity"], ["membership"], axis=1),
        helper.make_node("Concat", [INPUT, "membership"], ["features"], axis=1),
        helper.make_node("Gemm", ["features", "quality_weights", "quality_bias"], ["raw_quality"]),
        helper.make_node("Clip", ["raw_quality", "low", "high"], [QUALITY]),
        helper.make_node("Gemm", ["features", "tokens_weights", "tokens_bias"], ["log_tokens"]),
        helper.make_node("Exp", ["log_tokens"], [OUTPUT_TOKENS]),
        helper.make_node("Gemm", ["features", "skill_weights", "skill_offsets"], [QUALITY_BASES]),
        helper.make_node("Gemm", ["features", "habit_weights", "habit_offsets"], [LENGTH_BASES]),
    ]
    outputs = {
        QUALITY: models,
        OUTPUT_TOKENS: models,
        QUALITY_BASES: len(common.quality.offsets),
        LENGTH_BASES: len(common.log_tokens.offsets),
    }
    graph = helper.make_graph(
        nodes,
        "learned_router",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", dimensions])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in outputs.items()],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _publish(folder: Path, metrics: dict[str, Any], models: list[dict[str, JsonValue]], *, datasets: list[str], encoder: str) -> None:
    write_manifest(
        folder,
        name="learned",
        files=(FILE, PRIOR_FILE),
        created_by="training.learned_router",
        command="python -m training.learned_router --data DIR",
        licence="Apache-2.0",
        data={
            "recorded": "correctness labels of ZeroEval, MMLU-Pro and reasoning-gym-eval (all Apache-2.0), training questions only",
            "datasets": list(datasets),
        },
        metrics=metrics,
        parameters={
            "models": list(models),
            "clusters": CLUSTERS,
            "temperature": TEMPERATURE,
            "shared_ridge": SHARED_RIDGE,
            "own_ridge": OWN_RIDGE,
            "skills": SKILLS,
            "length_skills": LENGTH_SKILLS,
            "descriptor_ridge": DESCRIPTOR_RIDGE,
            "encoder_fingerprint": encoder,
        },
    )


if __name__ == "__main__":
    main()
