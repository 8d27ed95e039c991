"""The sentence encoder: tokenizer and ONNX model in one worker thread, behind the micro-batcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from router_service.adapters.batcher import BatchLimits, MicroBatcher
from router_service.adapters.onnx_session import InferenceSession, open_session
from router_service.adapters.tokenizer import WordPieceTokenizer, pad
from router_service.domain.ports import Reading

RUN_TOKENS_MAX = 512
"""Most token positions of one call of the model. The 8-bit kernels gain nothing from larger calls and padding costs as much as text."""
MESSAGE_OVERHEAD_TOKENS = 4
"""What chat templates add to a message, about."""

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """The embedding of a conversation's last message ``(dimensions,)`` and the tokens of the whole conversation."""

    vector: Vector
    input_tokens: int


class SentenceEncoder:
    """Tokenises and encodes batches of conversations; blocks, and is not meant for two threads at once."""

    def __init__(self, session: InferenceSession, tokenizer: WordPieceTokenizer) -> None:
        self._session = session
        self._tokenizer = tokenizer

    def encode(self, conversations: Sequence[Sequence[str]]) -> list[Encoded]:
        """One ``Encoded`` per conversation, in order. Each conversation has at least one message."""
        focused = [self._tokenizer.tokenise(messages[-1]) for messages in conversations]
        vectors = self._vectors([text.ids for text in focused])
        earlier = [sum(self._tokenizer.count(text) for text in messages[:-1]) for messages in conversations]
        return [
            Encoded(vector, max(1, text.total + before + MESSAGE_OVERHEAD_TOKENS * len(messages)))
            for vector, text, before, messages in zip(vectors, focused, earlier, conversations, strict=True)
        ]

    def _vectors(self, ids: Sequence[tuple[int, ...]]) -> list[Vector]:
        vectors: dict[int, Vector] = {}
        for group in runs_of([len(sequence) for sequence in ids], tokens_max=RUN_TOKENS_MAX):
            token_ids, mask = pad([ids[index] for index in group])
            rows = self._session.run(None, {"input_ids": token_ids, "attention_mask": mask})[0]
            vectors.update(zip(group, rows, strict=True))
        return [vectors[index] for index in range(len(ids))]


def runs_of(lengths: Sequence[int], *, tokens_max: int) -> list[list[int]]:
    """Positions of texts that go through the model together: alike in length, at most ``tokens_max`` token positions, padding included.

    A text that is longer by itself goes alone.
    """
    runs: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda position: lengths[position]):
        if runs and (len(runs[-1]) + 1) * lengths[index] <= tokens_max:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


class BatchedReader:
    """Reads conversations through the encoder, in batches, in a thread of its own."""

    def __init__(self, encoder: SentenceEncoder, limits: BatchLimits) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._batcher = MicroBatcher[Sequence[str], Encoded](
            lambda batch: asyncio.get_running_loop().run_in_executor(self._executor, encoder.encode, batch),
            limits=limits,
            clock=time.monotonic,
            set_timer=lambda delay_s, start: asyncio.get_running_loop().call_later(delay_s, start),
        )

    async def read(self, messages: Sequence[str]) -> Reading:
        """Reads the texts of a conversation, last one last. Raises ``EncoderOverloaded``."""
        batched = await self._batcher.submit(messages)
        return Reading(
            vector=batched.value.vector,
            input_tokens=batched.value.input_tokens,
            queue_s=batched.queue_s,
            inference_s=batched.run_s,
            batch_size=batched.batch_size,
        )

    async def aclose(self) -> None:
        """Gives up on what waits and ends the thread."""
        self._batcher.close()
        await asyncio.to_thread(self._executor.shutdown)


def open_encoder(folder: Path, *, tokens_max: int, threads: int) -> SentenceEncoder:
    """The encoder of the artifact in ``folder``; blocks while the model loads."""
    tokenizer = WordPieceTokenizer(folder / "tokenizer.json", tokens_max=tokens_max)
    return SentenceEncoder(open_session(folder / "model.onnx", threads=threads), tokenizer)
