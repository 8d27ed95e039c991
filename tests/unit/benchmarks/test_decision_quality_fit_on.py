"""`--fit-on`: labelled answers for what the artifacts don't know, by the published artifacts on a small directory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.decision_quality.fit_on import Grown, Lesson, draw, grow, is_strange
from benchmarks.decision_quality.pools import Pool
from benchmarks.decision_quality.recordings import Answer, ModelFacts, Question
from router_service.domain.suitability import Suitability

ARTIFACTS = Path(__file__).parents[3] / "artifacts"
KNOWN, NEW = "gpt-4o-2024-05-13", "brand-new-7b"
VECTORS = np.eye(40, 384, dtype=np.float32)


def pool(*models: str, split: str = "dev", dataset: str = "mmlu-pro", right: bool = True, questions: int = 40) -> Pool:
    asked = tuple(
        Question(id=f"{split}{index}", arena="a", task=f"{dataset}/math", text=f"{index}?", prompt="", prompt_tokens=9, split=split)
        for index in range(questions)
    )
    row = tuple(Answer(model=name, text="", right=right, cost_nano_usd=1, output_tokens=70, truncated=False) for name in models)
    facts = {
        name: ModelFacts(
            name=name, provider="p", input_nano_usd_per_mtok=10**9, output_nano_usd_per_mtok=10**9, context_tokens=8_192, alias=""
        )
        for name in models
    }
    return Pool("p", models, asked, (row,) * len(asked), facts)


def cells_of(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.full((len(texts), 12, 3), 1.0 / 36.0)


def lesson(shown: Pool) -> Lesson:
    return Lesson(tuple(zip(shown.questions, shown.answers, strict=True)), VECTORS[: len(shown.questions)])


def test_without_training_questions_labels_are_taken_from_the_measured_ones_and_these_are_not_measured() -> None:
    labelled, measured = draw(pool(NEW, questions=0), pool(NEW), 15)
    assert (len(labelled.questions), len(measured.questions)) == (15, 25)
    assert not {question.id for question in labelled.questions} & {question.id for question in measured.questions}


def test_training_questions_are_taken_where_there_are_any() -> None:
    labelled, measured = draw(pool(NEW, split="train"), pool(NEW), 15)
    assert {question.split for question in labelled.questions} == {"train"}
    assert len(measured.questions) == 40


def test_a_larger_draw_contains_the_smaller_one() -> None:
    few, many = (draw(pool(NEW, questions=0), pool(NEW), count)[0] for count in (5, 20))
    assert {question.id for question in few.questions} < {question.id for question in many.questions}


def test_known_models_on_known_datasets_are_no_reason_to_show_labels() -> None:
    assert not is_strange(ARTIFACTS, pool(KNOWN))
    assert is_strange(ARTIFACTS, pool(KNOWN, NEW))
    assert is_strange(ARTIFACTS, pool(KNOWN, dataset="never-seen"))


def predicted(grown: Grown, name: str) -> Suitability:
    assert grown.predictor is not None
    return asyncio.run(grown.predictor.predict(VECTORS[0]))[name]


def test_a_new_model_is_known_by_its_card_then_by_its_answers() -> None:
    measured = pool(KNOWN, NEW)
    by_card = grow(ARTIFACTS, measured, lesson(pool(KNOWN, NEW, questions=0)), cells_of)
    by_answers = grow(ARTIFACTS, measured, lesson(pool(KNOWN, NEW, right=False, split="train")), cells_of)
    before, after = predicted(by_card, NEW), predicted(by_answers, NEW)
    assert (before.observations, after.observations) == (0, 40)
    assert after.mean < before.mean
    assert after.stddev < before.stddev
    assert predicted(by_answers, KNOWN) == predicted(by_card, KNOWN)
    assert NEW not in by_card.table.models
    assert by_answers.table.overall(NEW).mean < by_card.table.overall(NEW).mean
    assert by_answers.table.overall(NEW).observations == 40


def test_on_an_unknown_dataset_known_models_are_corrected() -> None:
    measured = pool(KNOWN, dataset="never-seen")
    plain = grow(ARTIFACTS, measured, lesson(pool(KNOWN, questions=0)), cells_of)
    taught = grow(ARTIFACTS, measured, lesson(pool(KNOWN, dataset="never-seen", right=False)), cells_of)
    assert predicted(taught, KNOWN).mean < predicted(plain, KNOWN).mean - 0.1


def test_labels_tell_nothing_of_a_model_that_did_not_answer() -> None:
    grown = grow(ARTIFACTS, pool(KNOWN, NEW), lesson(pool(KNOWN)), cells_of)
    assert NEW not in grown.table.models


@pytest.mark.parametrize("count", [0, 1_000])
def test_any_number_of_labels_can_be_asked_for(count: int) -> None:
    labelled, measured = draw(pool(NEW, split="train"), pool(NEW), count)
    assert len(labelled.questions) == min(count, 40)
    assert len(measured.questions) == 40
