"""Recorded answers as the verifier sees them: every question and answer read once, by the code that serves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from judge_service.domain.final_answer import FinalAnswer
from judge_service.domain.verifier_features import AnswerSheet, QuestionSheet, read_answer, read_question
from judge_service.domain.verifier_rows import option_rows
from training.tables import existing, read_questions

TASK_QUESTIONS = 100
"""Questions per piece of work that a process takes."""

_LETTER = re.compile(r"^[A-J]$")

_Packed = tuple[FinalAnswer, int, frozenset[float], npt.NDArray[np.uint16], float, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Questions, and answers in columns of equal length. ``key`` is the right option of a question, -1 where there is none.

    ``pool`` and ``dataset`` serve reports and splits and are never seen by the verifier. ``fold`` is the question's, 0 to 4.
    """

    ids: list[str]
    questions: list[QuestionSheet]
    options: list[npt.NDArray[np.float32]]
    key: npt.NDArray[np.int64]
    train: npt.NDArray[np.bool_]
    fold: npt.NDArray[np.int64]
    pool: list[str]
    dataset: list[str]
    question: npt.NDArray[np.int64]
    model: npt.NDArray[np.str_]
    correct: npt.NDArray[np.int64]
    sheets: list[AnswerSheet]
    features: npt.NDArray[np.float32]


def read_corpus(folder: Path, *, answers_max: int, processes: int, tell: Callable[[str], None]) -> Corpus:
    """Reads the data directory; of each training question at most ``answers_max`` answers, drawn by hash."""
    questions = sorted(read_questions(folder), key=lambda question: str(question["question_id"]))
    answers = _chosen_answers(folder, questions, answers_max)
    tasks = [
        [(question["prompt"], [answer["response"] or "" for answer in answers[question["question_id"]]]) for question in part]
        for part in (questions[start : start + TASK_QUESTIONS] for start in range(0, len(questions), TASK_QUESTIONS))
    ]
    sheets: list[QuestionSheet] = []
    options: list[npt.NDArray[np.float32]] = []
    packed: list[_Packed] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
        for done, (some, compared, read) in enumerate(executor.map(_read, tasks)):
            sheets += some
            options += compared
            packed += read
            if done % 10 == 9:  # noqa: PLR2004 a line of progress every thousand questions
                tell(f"read {len(sheets):,} of {len(questions):,} questions, {len(packed):,} answers")
    kept = [answer for question in questions for answer in answers[question["question_id"]]]
    place = {question["question_id"]: index for index, question in enumerate(questions)}
    return Corpus(
        ids=[question["question_id"] for question in questions],
        questions=sheets,
        options=options,
        key=np.array([_key(question, len(rows)) for question, rows in zip(questions, options, strict=True)]),
        train=np.array([question["split"] == "train" for question in questions]),
        fold=np.array([_draw(question["question_id"]) % 5 for question in questions]),
        pool=[question["arena"] for question in questions],
        dataset=[question["dataset"] for question in questions],
        question=np.array([place[answer["question_id"]] for answer in kept]),
        model=np.array([answer["model"] for answer in kept]),
        correct=np.array([int(answer["correct"]) for answer in kept]),
        sheets=[
            AnswerSheet(final=final, choice=choice, numbers=numbers, slots=slots, log_chars=log_chars, features=())
            for final, choice, numbers, slots, log_chars, _ in packed
        ],
        features=np.array([features for *_, features in packed], dtype=np.float32),
    )


def _chosen_answers(folder: Path, questions: Sequence[dict[str, Any]], answers_max: int) -> dict[str, list[dict[str, Any]]]:
    """Answers with a label, by question."""
    found: dict[str, list[dict[str, Any]]] = {question["question_id"]: [] for question in questions}
    columns = ["question_id", "model", "response", "correct"]
    with pq.ParquetFile(existing(folder / "responses.parquet")) as file:
        for batch in file.iter_batches(columns=columns):
            for answer in batch.to_pylist():
                if answer["correct"] is not None and answer["question_id"] in found:
                    found[answer["question_id"]].append(answer)
    for question in questions:
        name = question["question_id"]
        found[name].sort(key=lambda answer: (_draw(f"{answer['question_id']}/{answer['model']}"), answer["model"]))
        if question["split"] == "train":
            del found[name][answers_max:]
    return found


def _read(
    task: Sequence[tuple[str, Sequence[str]]],
) -> tuple[list[QuestionSheet], list[npt.NDArray[np.float32]], list[_Packed]]:
    questions = [read_question(prompt) for prompt, _ in task]
    options = [option_rows(question) for question in questions]
    packed: list[_Packed] = []
    for question, (_, answers) in zip(questions, task, strict=True):
        for answer in answers:
            sheet = read_answer(answer, question)
            features = np.array(sheet.features, dtype=np.float32)
            packed.append((sheet.final, sheet.choice, sheet.numbers, sheet.slots, sheet.log_chars, features))
    return questions, options, packed


def _key(question: dict[str, Any], options: int) -> int:
    reference = str(question["reference"] or "").strip()
    index = ord(reference) - ord("A") if _LETTER.match(reference) else -1
    return index if index < options else -1


def _draw(text: str) -> int:
    """A number that depends on nothing but ``text``."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])
