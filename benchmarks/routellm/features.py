"""What a router could see of a request, from the request's text and the committed artifacts alone."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.routellm.metric import Floats
from benchmarks.routellm.tables import Table, stem_of
from benchmarks.routellm.wording import wording
from judge_service.adapters.onnx_verifier import load_verifier
from judge_service.domain.verifier import VerifierParts
from judge_service.domain.verifier_features import AnswerSheet, QuestionSheet, read_answer, read_question
from judge_service.domain.verifier_rows import alone_row, kind_of, option_rows, prior_row, record_row, shares_of
from training.embeddings import EmbeddingCache

TOKENS_MAX = 256
"""Tokens of a question that the encoder reads: the default of the router's configuration."""
PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One row per question: the embedding of the question without its options ``(n, 384)`` and figures of shape ``(n, figures)``.

    Figures may be NaN where they do not apply. ``answer`` holds figures of the weak model's answer and ``doubt`` the log-odds that it is
    wrong, as the verifier says; None where there is no answer to read.
    """

    prompts: tuple[str, ...]
    embedding: Floats
    shape: Floats
    answer: Floats | None
    doubt: Floats | None


def see(table: Table, *, artifacts: Path, cache: Path, weak_model: str) -> Seen:
    """Reads all prompts of ``table`` and, where there are some, the weak model's answers. Blocks; shows progress."""
    encoder = EmbeddingCache(cache, encoder=artifacts / "encoder", tokens_max=TOKENS_MAX)
    embedding = encoder.embed([stem_of(prompt) for prompt in table.prompts]).astype(np.float64)
    verifier = load_verifier(artifacts / "verifier")
    shape, answers, doubt = _read(table, verifier, weak_model)
    return Seen(
        prompts=table.prompts,
        embedding=embedding,
        shape=np.array(shape, dtype=np.float64),
        answer=np.array(answers, dtype=np.float64) if answers else None,
        doubt=np.array(doubt) if doubt else None,
    )


def _read(table: Table, verifier: VerifierParts, weak_model: str) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]], list[float]]:
    shape: list[tuple[float, ...]] = []
    answers: list[tuple[float, ...]] = []
    doubt: list[float] = []
    told = time.monotonic()
    for index, prompt in enumerate(table.prompts):
        question = read_question(prompt)
        shares = _plausibility(question, verifier)
        shape.append((*question.features, *_spread(shares), verifier.question_words.of(question.slots), *wording(prompt)))
        if table.weak_answers:
            figures, wrong = _read_answer(table.weak_answers[index], question, shares, verifier, weak_model)
            answers.append(figures)
            doubt.append(wrong)
        if time.monotonic() - told > PROGRESS_EVERY_S:
            told = time.monotonic()
            print(f"  read {index + 1} of {len(table.prompts)} questions", flush=True)
    return shape, answers, doubt


def _plausibility(question: QuestionSheet, verifier: VerifierParts) -> Floats:
    """How plausible each option is before anyone has answered, adding up to 1; empty without options."""
    if not question.options.texts:
        return np.zeros(0)
    return shares_of(verifier.options.log_odds(option_rows(question)))


def _spread(shares: Floats) -> tuple[float, ...]:
    """Best, lead of the best, entropy and least of the plausibilities; NaN without options."""
    if not shares.size:
        return (math.nan,) * 4
    ranked = np.sort(shares)[::-1]
    entropy = -float((ranked * np.log(np.maximum(ranked, 1e-9))).sum())
    return (float(ranked[0]), float(ranked[0] - ranked[1]), entropy, float(ranked[-1]))


def _read_answer(
    text: str, question: QuestionSheet, shares: Floats, verifier: VerifierParts, weak_model: str
) -> tuple[tuple[float, ...], float]:
    """Figures of an answer, and the log-odds that it is wrong."""
    sheet: AnswerSheet = read_answer(text, question)
    records = verifier.records.get(weak_model)
    row = alone_row(
        question,
        sheet,
        prior=prior_row(shares, sheet.choice),
        record=record_row(sheet, records[kind_of(question)] if records else None),
        words=(verifier.question_words.of(question.slots), verifier.answer_words.of(sheet.slots)),
    )
    trees = verifier.choice if question.options.texts else verifier.open
    said = float(trees.log_odds(np.array([row], dtype=np.float32))[0])
    return (*row, *_ending(text), said), -said


def _ending(text: str) -> tuple[float, ...]:
    """How the answer ends: marked result, last sign, length. An answer that was cut off ends in the middle."""
    plain = text.rstrip()
    return (float("####" in plain), float(plain[-1:].isdigit()), float(plain[-1:] in ".!"), float(plain.count("<<")), float(len(plain)))


def figures_of(seen: Seen, *, answers: bool) -> Floats:
    """Figures of shape and, with ``answers``, of the weak model's answers."""
    if not answers:
        return seen.shape
    if seen.answer is None:
        raise ValueError("there are no answers to read")
    return np.concatenate([seen.shape, seen.answer], axis=1)
