"""Measures how close the quantised encoder is to the torch original, and that batch-mates do not matter."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from router_service.adapters.onnx_session import InferenceSession, open_session
from router_service.adapters.tokenizer import WordPieceTokenizer, pad
from training.encoder_graph import SentenceEncoder
from training.seed_prompts import seed_examples

SEEDS = 240
QUESTIONS = 400
MIXED_BATCH = 16
COSINE_MEAN_MIN = 0.999
BATCH_DIFFERENCE_MAX = 1e-5
_ODD = (
    "a",
    "?",
    "Καλημέρα, τι κάνεις;",
    "你好，今天天气怎么样？",
    "🙂🙂🙂",
    "x" * 400,
    "def f(x):\n    return {k: v for k, v in x.items()}\n",
    "∫ x² dx = x³/3 + C",
    "SELECT name, count(*) FROM orders GROUP BY name HAVING count(*) > 3;",
    " \t mixed   white\n\n space ",
)

Vectors = npt.NDArray[np.float32]


class ParityError(Exception):
    """The quantised encoder is not close enough to the original, or depends on batch-mates."""


@dataclass(frozen=True, slots=True)
class Parity:
    """What was measured over ``texts`` texts; ``batch_difference_max`` compares each text alone with itself in a mixed batch."""

    texts: int
    tokens_mean: float
    cosine_mean: float
    cosine_min: float
    batch_difference_max: float
    same_nearest_neighbour: float
    query_only_same_nearest_neighbour: float

    def as_dict(self) -> dict[str, float]:
        """For the manifest."""
        return {name: round(value, 8) for name, value in asdict(self).items()}


def check_texts(questions: list[str]) -> list[str]:
    """Varied texts: short and long, several scripts, code; with ``questions`` from a data directory where there is one."""
    seeds = sorted((example.text for example in seed_examples()), key=_shuffled)
    distinct = list(dict.fromkeys(seeds))
    joined = ["\n".join(distinct[start : start + 3 + start % 40]) for start in range(0, 300, 6)]
    return [*_ODD, *distinct[:SEEDS], *joined, *sorted(set(questions), key=_shuffled)[:QUESTIONS]]


def _shuffled(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def measure(original: SentenceEncoder, folder: Path, texts: list[str], *, tokens_max: int) -> Parity:
    """Compares the ONNX model in ``folder`` with ``original`` over ``texts``. Raises ``ParityError``."""
    tokenizer = WordPieceTokenizer(folder / "tokenizer.json", tokens_max=tokens_max)
    session = open_session(folder / "model.onnx", threads=1)
    ids = [tokenizer.tokenise(text).ids for text in texts]
    reference = embed_original(original, ids)
    print(f"measuring {len(ids)} texts alone and in batches of {MIXED_BATCH}", flush=True)
    alone = np.concatenate([_run(session, [sequence]) for sequence in ids])
    mixed = np.concatenate([_run(session, ids[start : start + MIXED_BATCH]) for start in range(0, len(ids), MIXED_BATCH)])
    cosines = (reference * alone).sum(axis=1)
    parity = Parity(
        texts=len(texts),
        tokens_mean=float(np.mean([len(sequence) for sequence in ids])),
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        batch_difference_max=float(np.abs(alone - mixed).max()),
        same_nearest_neighbour=float((_nearest(alone, alone) == _nearest(reference, reference)).mean()),
        query_only_same_nearest_neighbour=float((_nearest(alone, reference) == _nearest(reference, reference)).mean()),
    )
    if parity.cosine_mean < COSINE_MEAN_MIN or parity.batch_difference_max > BATCH_DIFFERENCE_MAX:
        raise ParityError(f"the quantised encoder is not good enough: {parity}")
    return parity


def embed_original(original: SentenceEncoder, ids: list[tuple[int, ...]]) -> Vectors:
    """Embeddings of the torch original, one text at a time."""
    with torch.no_grad():
        rows = [original(torch.tensor([sequence]), torch.ones((1, len(sequence)), dtype=torch.int64)).numpy()[0] for sequence in ids]
    return np.stack(rows)


def _run(session: InferenceSession, ids: list[tuple[int, ...]]) -> Vectors:
    token_ids, mask = pad(ids)
    return session.run(None, {"input_ids": token_ids, "attention_mask": mask})[0]


def _nearest(queries: Vectors, index: Vectors) -> npt.NDArray[np.intp]:
    """Position of the nearest other text for each query."""
    similarity = queries @ index.T
    np.fill_diagonal(similarity, -np.inf)
    return similarity.argmax(axis=1)
