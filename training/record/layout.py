"""Writes a recording as the tables that training and benchmarks read.

Beside the columns of the layout, `responses` has `finish_reason`, `label_source` (who says whether the answer is right, null for nobody)
and the summary of token log-probabilities where the provider gave any; `questions` has `reference_source`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from judge_service.domain.final_answer import final_answer
from providers.estimate import estimate_tokens
from training.record.entries import AnswerKey, AskedModel, GivenAnswer
from training.record.journal import Journal
from training.record.labels import ByReference, ByStrongModel, Label, LabelSource, label_of
from training.record.questions import AskedQuestion

POOL_FILE: Final = "pool.json"
NANO_PER_USD: Final = 1_000_000_000
_TEXT = pa.large_string()

QUESTIONS: Final = pa.schema(
    [
        ("question_id", _TEXT),
        ("source", _TEXT),
        ("arena", _TEXT),
        ("dataset", _TEXT),
        ("domain", _TEXT),
        ("subdomain", _TEXT),
        ("question", _TEXT),
        ("prompt", _TEXT),
        ("reference", _TEXT),
        ("prompt_tokens", pa.int64()),
        ("n_models", pa.int16()),
        ("split", _TEXT),
        ("reference_source", _TEXT),
    ]
)
_LABELLED: Final = [("correct", pa.bool_()), ("score", pa.float32())]
RESPONSES: Final = pa.schema(
    [
        ("question_id", _TEXT),
        ("arena", _TEXT),
        ("model", _TEXT),
        ("response", _TEXT),
        ("answer", _TEXT),
        *_LABELLED,
        ("correct_published_rule", pa.bool_()),
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("reasoning_tokens_est", pa.int32()),
        ("cost_usd", pa.float64()),
        ("truncated", pa.bool_()),
        ("finish_reason", _TEXT),
        ("label_source", _TEXT),
        ("logprob_tokens", pa.int32()),
        ("logprob_mean", pa.float64()),
        ("logprob_minimum", pa.float64()),
        ("logprob_share_uncertain", pa.float64()),
        ("logprob_first", pa.float64()),
    ]
)
SAMPLES: Final = pa.schema(
    [
        ("question_id", _TEXT),
        ("arena", _TEXT),
        ("model", _TEXT),
        ("sample", pa.int8()),
        ("answer", _TEXT),
        *_LABELLED,
        ("completion_tokens", pa.int32()),
        ("response", _TEXT),
        ("cost_usd", pa.float64()),
        ("label_source", _TEXT),
    ]
)
MODELS: Final = pa.schema(
    [
        ("model", _TEXT),
        ("provider", _TEXT),
        ("input_usd_per_m", pa.float64()),
        ("output_usd_per_m", pa.float64()),
        ("context_tokens", pa.int64()),
        ("price_source", _TEXT),
        ("alias_core", _TEXT),
        ("class", _TEXT),
        ("arenas", _TEXT),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a recording holds of one model: first answers, how many of them are labelled and right, and their cost in nano-USD."""

    model: str
    answers: int
    labelled: int
    right: int
    cost_nano_usd: int


def write_recording(folder: Path, journal: Journal, sources: Sequence[LabelSource]) -> list[Written]:
    """Writes the tables of the models that compete, and a pool file for the benchmark; what they hold, by model."""
    arena = journal.terms.arena if journal.terms else ""
    answers = competing(journal)
    labels = {answer.key: label_of(journal.questions[answer.key.question_id], answer, sources) for answer in answers}
    first = [answer for answer in answers if answer.key.sample == 0]
    further = [answer for answer in answers if answer.key.sample > 0]
    questions = [_question(question, arena, first, sources) for question in sorted(journal.questions.values(), key=lambda entry: entry.id)]
    names = sorted({answer.key.model for answer in answers})
    _write(folder / "questions.parquet", questions, QUESTIONS)
    _write(folder / "responses.parquet", [_response(answer, arena, labels[answer.key]) for answer in first], RESPONSES)
    _write(folder / "models.parquet", [_model(journal.models[name], arena) for name in names], MODELS)
    if further:
        _write(folder / "samples.parquet", [_sample(answer, arena, labels[answer.key]) for answer in further], SAMPLES)
    (folder / POOL_FILE).write_text(json.dumps({"name": arena, "arenas": [arena]}, indent=2) + "\n", encoding="utf-8")
    return [_written(name, first, labels) for name in names]


def competing(journal: Journal) -> list[GivenAnswer]:
    """The answers of the models that compete, in order of question, model and sample."""
    answers = (answer for answer in journal.answers.values() if journal.models[answer.key.model].competes)
    return sorted(answers, key=_order)


def _order(answer: GivenAnswer) -> AnswerKey:
    return answer.key


def _write(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """In one step, so that a reader never sees half a table."""
    partial = path.with_suffix(".partial")
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), partial, compression="zstd")
    partial.replace(path)


def _question(question: AskedQuestion, arena: str, answers: Iterable[GivenAnswer], sources: Sequence[LabelSource]) -> dict[str, Any]:
    reference, source = _reference(question, sources)
    return {
        "question_id": question.id,
        "source": "recorded by emafusion record",
        "arena": arena,
        "dataset": question.dataset or arena,
        "domain": question.domain,
        "subdomain": question.domain,
        "question": question.text,
        "prompt": question.prompt,
        "reference": reference,
        "prompt_tokens": max(1, estimate_tokens(question.prompt)),
        "n_models": sum(answer.key.question_id == question.id for answer in answers),
        "split": question.split,
        "reference_source": source,
    }


def _reference(question: AskedQuestion, sources: Sequence[LabelSource]) -> tuple[str | None, str | None]:
    """The reference, its first spelling, and where it comes from."""
    if question.references:
        return question.references[0], ByReference.source
    for source in sources:
        if isinstance(source, ByStrongModel) and (found := source.reference(question)) is not None:
            return _as_text(found.value), source.source
    return None, None


def _as_text(value: Fraction | str | frozenset[str]) -> str | None:
    """A final answer in writing; None for prose, of which only the words are kept."""
    return None if isinstance(value, frozenset) else str(value)


def _answer(answer: GivenAnswer) -> str | None:
    return _as_text(final_answer(answer.text).value)


def _response(answer: GivenAnswer, arena: str, label: Label | None) -> dict[str, Any]:
    figures = {} if answer.logprobs is None else {f"logprob_{name}": value for name, value in asdict(answer.logprobs).items()}
    return {
        "question_id": answer.key.question_id,
        "arena": arena,
        "model": answer.key.model,
        "response": answer.text,
        "answer": _answer(answer),
        **_labelled(label),
        "correct_published_rule": None if label is None else label.right,
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "reasoning_tokens_est": 0,
        "cost_usd": answer.cost_nano_usd / NANO_PER_USD,
        "truncated": answer.truncated,
        "finish_reason": answer.finish_reason,
        **figures,
    }


def _sample(answer: GivenAnswer, arena: str, label: Label | None) -> dict[str, Any]:
    return {
        "question_id": answer.key.question_id,
        "arena": arena,
        "model": answer.key.model,
        "sample": answer.key.sample,
        "answer": _answer(answer),
        **_labelled(label),
        "completion_tokens": answer.output_tokens,
        "response": answer.text,
        "cost_usd": answer.cost_nano_usd / NANO_PER_USD,
    }


def _labelled(label: Label | None) -> dict[str, Any]:
    if label is None:
        return {"correct": None, "score": None, "label_source": None}
    return {"correct": label.right, "score": label.score, "label_source": label.source}


def _model(model: AskedModel, arena: str) -> dict[str, Any]:
    return {
        "model": model.name,
        "provider": model.provider,
        "input_usd_per_m": model.input_usd_per_m,
        "output_usd_per_m": model.output_usd_per_m,
        "context_tokens": model.context_tokens,
        "price_source": "configuration",
        "alias_core": None,
        "class": None,
        "arenas": arena,
    }


def _written(name: str, answers: Iterable[GivenAnswer], labels: Mapping[AnswerKey, Label | None]) -> Written:
    mine = [answer for answer in answers if answer.key.model == name]
    known = [label for answer in mine if (label := labels[answer.key]) is not None]
    return Written(
        model=name,
        answers=len(mine),
        labelled=len(known),
        right=sum(label.right for label in known),
        cost_nano_usd=sum(answer.cost_nano_usd for answer in mine),
    )
