"""The published artifacts give the scores that were reviewed. After a new training: `python -m training.router_golden`, and read the diff.

Tolerances cover the kernels of other processors, which round 8-bit products differently; they are far below what moves a plan.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blockbuster import BlockBuster

from router_service.adapters.onnx_encoder import SentenceEncoder, open_encoder
from training.router_golden import TOKENS_MAX, score

REPOSITORY = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent
EMBEDDING_TOLERANCE = 0.01
PROBABILITY_TOLERANCE = 0.05


def rows_of(name: str) -> list[dict[str, Any]]:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return open_encoder(REPOSITORY / "artifacts/encoder", tokens_max=TOKENS_MAX, threads=1)


async def test_scores_are_those_that_were_reviewed(blocked_event_loop_is_an_error: BlockBuster) -> None:
    blocked_event_loop_is_an_error.deactivate()
    found, expected = await score(REPOSITORY / "artifacts"), rows_of("scores.json")
    assert [row["prompt"] for row in found] == [row["prompt"] for row in expected]
    for ours, golden in zip(found, expected, strict=True):
        where = golden["prompt"][:60]
        assert ours["input_tokens"] == golden["input_tokens"], where
        assert ours["embedding"] == pytest.approx(golden["embedding"], abs=EMBEDDING_TOLERANCE), where
        assert ours["suitability"] == pytest.approx(golden["suitability"], abs=PROBABILITY_TOLERANCE), where
        for axis, probabilities in golden["probabilities"].items():
            assert ours["probabilities"][axis] == pytest.approx(probabilities, abs=PROBABILITY_TOLERANCE), (where, axis)


def test_embeddings_are_those_of_the_torch_original(encoder: SentenceEncoder) -> None:
    rows = rows_of("reference_embeddings.json")
    ours = np.stack([encoded.vector for encoded in encoder.encode([(row["text"],) for row in rows])])
    cosines = (ours * np.array([row["vector"] for row in rows])).sum(axis=1)
    assert len(rows) == 16
    assert cosines.mean() >= 0.999
    assert cosines.min() >= 0.995
    assert np.linalg.norm(ours, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_text_has_the_same_embedding_alone_and_in_a_batch(encoder: SentenceEncoder) -> None:
    texts = [row["prompt"] for row in rows_of("scores.json")] + [row["text"] for row in rows_of("reference_embeddings.json")]
    together = np.stack([encoded.vector for encoded in encoder.encode([(text,) for text in texts])])
    alone = np.stack([encoder.encode([(text,)])[0].vector for text in texts])
    assert np.abs(together - alone).max() <= 1e-5


def test_everyday_requests_are_called_what_they_are() -> None:
    labels = {row["prompt"]: row["labels"] for row in rows_of("scores.json")}
    assert labels["Hello, how are you?"]["task_type"] == "conversation"
    assert labels["Write a Python function that reverses a string."]["task_type"] == "code_writing"
    assert labels["Translate into German: I would like a coffee, please."]["task_type"] == "translation"
    assert labels["What is 17 * 23?"]["domain"] == "math"
    assert labels["What is the capital of France?"]["reasoning_complexity"] == "low"
