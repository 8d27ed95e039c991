"""Exports the sentence encoder: ``python -m training.encoder [--data DIR]``.

all-MiniLM-L6-v2 becomes one ONNX file with mean pooling and L2 normalisation inside, quantised so that an embedding does not depend on
the texts that happen to be in the same batch, and measured against the torch original before it is published.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import torch

from router_service.adapters.tokenizer import WordPieceTokenizer
from servicekit.artifacts import write_manifest
from training.encoder_check import Parity, check_texts, embed_original, measure
from training.encoder_graph import (
    ACCURACY_LEVEL,
    MATMUL_BITS,
    MATMUL_BLOCK,
    OPSET,
    OUTPUT,
    SentenceEncoder,
    export_fp32,
    load_original,
    quantise,
)
from training.encoder_source import PACKAGE, fetch_source, sha256_of
from training.tables import read_questions

TOKENS_MAX = 256
DIMENSIONS = 384
REFERENCE_TEXTS = 16
REFERENCE_DIGITS = 7
FILES = ("LICENSE", "NOTICE", "model.onnx", "tokenizer.json")


def main() -> None:
    """Exports, quantises, measures and publishes."""
    arguments = _arguments()
    torch.set_num_threads(1)
    started = time.monotonic()
    source = fetch_source(arguments.cache)
    original = load_original(source.folder)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        export_fp32(original, Path(scratch) / "fp32.onnx")
        quantise(Path(scratch) / "fp32.onnx", arguments.out / "model.onnx")
    for name in ("LICENSE", "NOTICE", "tokenizer.json"):
        shutil.copyfile(source.path(name), arguments.out / name)
    questions = [row["question"] for row in read_questions(arguments.data)] if arguments.data else []
    texts = check_texts(questions)
    parity = measure(original, arguments.out, texts, tokens_max=TOKENS_MAX)
    print(f"measured {parity}", flush=True)
    _write_reference(arguments.reference, original, arguments.out, texts)
    _publish(arguments.out, parity, sha256_of(source.path("model.safetensors")), seconds=time.monotonic() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.encoder", description=__doc__)
    parser.add_argument("--data", type=Path, help="data directory; its questions join the texts that are measured")
    parser.add_argument("--out", type=Path, default=Path("artifacts/encoder"), help="folder of the artifact")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for downloads")
    parser.add_argument(
        "--reference", type=Path, default=Path("tests/golden/router/reference_embeddings.json"), help="vectors for the tests"
    )
    return parser.parse_args()


def _write_reference(path: Path, original: SentenceEncoder, folder: Path, texts: list[str]) -> None:
    """Embeddings of the torch original for a few of our own texts, so that tests need no torch."""
    tokenizer = WordPieceTokenizer(folder / "tokenizer.json", tokens_max=TOKENS_MAX)
    chosen = texts[:REFERENCE_TEXTS]
    vectors = embed_original(original, [tokenizer.tokenise(text).ids for text in chosen])
    rows = [
        {"text": text, "vector": [round(float(x), REFERENCE_DIGITS) for x in vector]} for text, vector in zip(chosen, vectors, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n", encoding="utf-8")


def _publish(folder: Path, parity: Parity, weights_sha256: str, *, seconds: float) -> None:
    manifest = write_manifest(
        folder,
        name="encoder",
        files=FILES,
        created_by="training.encoder",
        command="python -m training.encoder --data DIR",
        licence="Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2; see LICENSE and NOTICE)",
        data={"weights": "sentence-transformers/all-MiniLM-L6-v2", "package": PACKAGE, "weights_sha256": weights_sha256},
        metrics={**parity.as_dict(), "seconds": round(seconds)},
        parameters={
            "inputs": ["input_ids", "attention_mask"],
            "output": OUTPUT,
            "dimensions": DIMENSIONS,
            "tokens_max": TOKENS_MAX,
            "opset": OPSET,
            "torch": torch.__version__,
            "quantisation": f"MatMulNBits {MATMUL_BITS} bit, block {MATMUL_BLOCK}, accuracy level {ACCURACY_LEVEL}; word table int8 by row",
        },
    )
    print(f"published {folder} version {manifest.version}, fingerprint {manifest.fingerprint}, in {seconds:.0f} s")


if __name__ == "__main__":
    main()
