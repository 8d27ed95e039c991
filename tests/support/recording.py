"""What tests of recordings share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from training.record.entries import AnswerKey, GivenAnswer, Terms
from training.record.journal import Journal
from training.record.questions import AskedQuestion

TERMS = Terms(arena="own", max_output_tokens=64, temperature=0.0, sample_temperature=0.8)


def asked(name: str = "q1", prompt: str = "What is 2 + 3?", *references: str, split: str = "train") -> AskedQuestion:
    return AskedQuestion(id=name, text=prompt, prompt=prompt, references=references, split=split)


def given(text: str, *, question: str = "q1", model: str = "small", sample: int = 0, cut_off: bool = False, cost: int = 7) -> GivenAnswer:
    return GivenAnswer(
        key=AnswerKey(question, model, sample),
        text=text,
        finish_reason="length" if cut_off else "stop",
        input_tokens=9,
        output_tokens=3,
        estimated=False,
        cost_nano_usd=cost,
    )


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Journal]:
    """A journal, opened and closed off the event loop."""
    journal = await asyncio.to_thread(Journal(folder).__enter__)
    try:
        yield journal
    finally:
        await asyncio.to_thread(journal.__exit__, None, None, None)
