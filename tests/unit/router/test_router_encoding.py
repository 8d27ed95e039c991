from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from router_service.adapters.onnx_encoder import MESSAGE_OVERHEAD_TOKENS, SentenceEncoder, runs_of
from router_service.adapters.tokenizer import WordPieceTokenizer, pad

TOKENIZER = Path(__file__).parents[3] / "artifacts/encoder/tokenizer.json"
CLS, SEP = 101, 102


class LengthSession:
    """Stands in for the model: the embedding of a text is its number of tokens."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, output_names: list[str] | None, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        self.shapes.append(inputs["input_ids"].shape)
        return [inputs["attention_mask"].sum(axis=1, keepdims=True).astype(np.float32)]


def encoder(session: LengthSession) -> SentenceEncoder:
    return SentenceEncoder(session, WordPieceTokenizer(TOKENIZER, tokens_max=64))


def test_short_text_is_neither_padded_nor_cut() -> None:
    found = WordPieceTokenizer(TOKENIZER, tokens_max=64).tokenise("What is the capital of France?")
    assert found.total == len(found.ids) == 9
    assert (found.ids[0], found.ids[-1]) == (CLS, SEP)


def test_long_text_loses_its_middle_and_is_counted_whole() -> None:
    tokenizer = WordPieceTokenizer(TOKENIZER, tokens_max=16)
    words = [*["head"] * 50, *["middle"] * 50, *["tail"] * 50]
    found = tokenizer.tokenise(" ".join(words))
    head, tail = tokenizer.tokenise("head").ids[1], tokenizer.tokenise("tail").ids[1]
    assert found.total == 152
    assert found.ids == (CLS, *[head] * 7, *[tail] * 7, SEP)


def test_padding_is_masked() -> None:
    token_ids, mask = pad([(1, 2, 3), (4,)])
    assert token_ids.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([10, 10, 10], [[0, 1, 2]]),
        ([60, 10, 60, 10], [[1, 3], [0], [2]]),
        ([200, 5], [[1], [0]]),
        ([50, 50, 50], [[0, 1], [2]]),
        ([], []),
    ],
)
def test_runs_group_texts_of_like_length_up_to_the_limit(lengths: Sequence[int], expected: list[list[int]]) -> None:
    assert runs_of(lengths, tokens_max=100) == expected


def test_results_come_in_the_order_of_the_conversations() -> None:
    session = LengthSession()
    texts = ["one " * 60, "two", "three four five"]
    vectors = [encoded.vector[0] for encoded in encoder(session).encode([(text,) for text in texts])]
    assert vectors == [62.0, 3.0, 5.0]


def test_last_message_is_encoded_and_the_whole_conversation_counted() -> None:
    session = LengthSession()
    (found,) = encoder(session).encode([("one two three", "four", "five six")])
    assert session.shapes == [(1, 4)]
    assert found.input_tokens == 3 + 1 + 4 + 3 * MESSAGE_OVERHEAD_TOKENS
