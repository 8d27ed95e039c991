"""Writes the verifier artifact and proves that the services will say what training measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from judge_service.adapters.onnx_verifier import FACTS_NAME, GRAPHS, INPUT, OUTPUT, WORDS_NAME, OnnxTrees
from judge_service.domain.verifier_rows import KINDS
from training.verifier_fit import Fitted, Rows, log_odds_of

PARITY_MAX = 1e-3
"""Largest difference in log-odds between the graph and what was fitted that passes for single precision."""
OPSET = 15


def write(folder: Path, fitted: Fitted) -> list[str]:
    """Writes all files but the manifest; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for graph, names in GRAPHS.items():
        shape = FloatTensorType([None, len(names)])
        model: Any = convert_lightgbm(
            single_precision(fitted.boosters[graph]), initial_types=[(INPUT, shape)], zipmap=False, target_opset=OPSET
        )
        for output in model.graph.output:
            if output.name != OUTPUT and output.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
                raise SystemExit(f"{graph}: the converter calls its probabilities {output.name}, not {OUTPUT}")
        onnx.save(model, str(folder / f"{graph}.onnx"))
    np.save(folder / WORDS_NAME, fitted.words.astype(np.float16))
    (folder / FACTS_NAME).write_text(json.dumps(_facts(fitted), separators=(",", ":")) + "\n", encoding="utf-8")
    return [*(f"{graph}.onnx" for graph in GRAPHS), WORDS_NAME, FACTS_NAME]


def single_precision(booster: lgb.Booster) -> lgb.Booster:
    """The same trees with thresholds rounded down to single precision: on single-precision rows they decide exactly alike.

    The graph holds single precision only, and rounding to the nearest would move some rows to the other side.
    """
    lines = [_rounded(line) for line in booster.model_to_string().split("\n") if not line.startswith("tree_sizes=")]
    return lgb.Booster(model_str="\n".join(lines))


def _rounded(line: str) -> str:
    if not line.startswith("threshold="):
        return line
    return "threshold=" + " ".join(repr(_floor(float(value))) for value in line.removeprefix("threshold=").split())


def _floor(value: float) -> float:
    """Largest number of single precision that is not above ``value``."""
    single = np.float32(value)
    return float(single if float(single) <= value else np.nextafter(single, np.float32(-np.inf)))


def _facts(fitted: Fitted) -> dict[str, Any]:
    return {
        "features": {graph: list(names) for graph, names in GRAPHS.items()},
        "kinds": list(KINDS),
        "intercepts": list(fitted.intercepts),
        "records": {
            model: [[round(entry.rate, 4), round(entry.log_chars_mean, 4), round(entry.log_chars_stddev, 4)] for entry in entries]
            for model, entries in sorted(fitted.records.items())
        },
        "curve": {"log_odds": [*fitted.curve.log_odds], "probabilities": [*fitted.curve.probabilities]},
    }


def check_parity(folder: Path, fitted: Fitted, rows: dict[str, Rows]) -> dict[str, float]:
    """Largest difference on ``rows`` between the written graphs and the fitted ensembles. Ends the program when it is too large."""
    apart: dict[str, float] = {}
    for graph, some in rows.items():
        said = OnnxTrees(folder / f"{graph}.onnx").log_odds(some)
        apart[graph] = float(np.max(np.abs(said - log_odds_of(fitted.boosters[graph], some))))
        if apart[graph] > PARITY_MAX:
            raise SystemExit(f"{graph}.onnx differs from what was fitted by {apart[graph]:.4f}")
    return apart
