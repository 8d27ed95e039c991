"""Calibrates a panel of `checks`, `agreement` and `verifier` on recorded answers: ``python -m training.panel_recorded --data DIR``.

It builds on what ``python -m training.verifier`` keeps in its cache folder and writes ``artifacts/calibration-recorded``. Of every training
question some sets of answers are drawn; the panel judges one answer of each beside the others, the verifier out of fold.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from pydantic import JsonValue

from judge_service.adapters.calibration_file import FILE_NAME, format_calibration
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import agreement, checks
from judge_service.domain.candidates import Candidate, Case, Ending, Speaker, Turn
from servicekit.artifacts import load_manifest, sha256_of, write_manifest
from training.panel_fit import EPSILON, FOLDS, PENALTY, SCALES, Sample, fit_calibration, measure, show
from training.router_predictions import Predictions
from training.tables import existing, read_questions
from training.verifier_sets import NOBODY, Places, answers_by_question, draw_sets
from training.verifier_work import Work, read_work

ARTIFACT: Final = Path(__file__).parent.parent / "artifacts" / "calibration-recorded"
QUESTIONS: Final = 5_000
SETS_PER_QUESTION: Final = 2
SEED: Final = 7


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.panel_recorded", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory with questions.parquet and responses.parquet")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder with what training.verifier kept")
    parser.add_argument("--verifier", type=Path, default=ARTIFACT.parent / "verifier", help="folder of the verifier")
    parser.add_argument("--artifact", type=Path, default=ARTIFACT, help="folder to write")
    chosen = parser.parse_args(arguments)
    work = read_work(chosen.cache)
    sets = draw(work)
    samples = list(samples_of(work, sets, read_texts(chosen.data, work, sets)))
    calibration = fit_calibration(samples, version="new")
    chosen.artifact.mkdir(parents=True, exist_ok=True)
    (chosen.artifact / FILE_NAME).write_text(format_calibration(calibration), encoding="utf-8")
    measured = measure(samples)
    show(measured)
    metrics: dict[str, JsonValue] = {name: {**asdict(figures)} for name, figures in measured.items()}
    manifest = write_manifest(
        chosen.artifact,
        name="calibration-recorded",
        files=[FILE_NAME],
        created_by="training.panel_recorded",
        command="python -m training.panel_recorded --data DIR",
        licence="Apache-2.0",
        data={
            "recorded": "answers and labels of ZeroEval, MMLU-Pro and reasoning-gym-eval (all Apache-2.0), training questions only",
            "responses_sha256": sha256_of(chosen.data / "responses.parquet"),
            "rows": len(samples),
            "questions": QUESTIONS,
            "verifier": load_manifest(chosen.verifier).fingerprint,
        },
        metrics=metrics,
        parameters={"epsilon": EPSILON, "penalty": PENALTY, "folds": FOLDS},
    )
    print(f"{chosen.artifact}: version {manifest.version}-{manifest.fingerprint}")


def draw(work: Work) -> Places:
    """Sets of answers to training questions; the first of each is judged."""
    rng = np.random.default_rng(SEED)
    taught = [own for question, own in enumerate(answers_by_question(work.corpus)) if work.corpus.train[question] and own.size]
    places = rng.permutation(len(taught))[:QUESTIONS]
    return draw_sets([taught[place] for place in places], times=SETS_PER_QUESTION, rng=rng)


def read_texts(folder: Path, work: Work, sets: Places) -> dict[tuple[str, str], dict[str, Any]]:
    """Recorded answers of ``sets``, by question and model."""
    corpus = work.corpus
    numbers = np.unique(sets[sets != NOBODY])
    wanted = {(corpus.ids[corpus.question[number]], str(corpus.model[number])) for number in numbers.tolist()}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    columns = ["question_id", "model", "response", "truncated"]
    for batch in pq.ParquetFile(existing(folder / "responses.parquet")).iter_batches(columns=columns):
        found.update({key: row for row in batch.to_pylist() if (key := (row["question_id"], row["model"])) in wanted})
    prompts = {row["question_id"]: row["prompt"] for row in read_questions(folder)}
    for (question, _), row in found.items():
        row["prompt"] = prompts[question]
    return found


def samples_of(work: Work, sets: Places, texts: dict[tuple[str, str], dict[str, Any]]) -> Iterator[Sample]:
    """What the three judges say of the first answer of every set."""
    corpus, schemas = work.corpus, JsonSchemaValidator()
    confidence = work.confidence(sets)[:, 0]
    for row, probability in zip(sets.tolist(), confidence.tolist(), strict=True):
        answers = [texts[corpus.ids[corpus.question[number]], str(corpus.model[number])] for number in row if number != NOBODY]
        case = case_of(answers, work.predicted)
        scores = {"checks": checks.opinion_of(case, schemas).score, "agreement": agreement.opinion_of(case).score, "verifier": probability}
        yield Sample(
            question_id=answers[0]["question_id"],
            model=answers[0]["model"],
            truncated=bool(answers[0]["truncated"]),
            correct=bool(corpus.correct[row[0]]),
            features={kind: SCALES[kind].feature(score) for kind, score in scores.items() if score is not None},
        )


def case_of(answers: Sequence[dict[str, Any]], predicted: Predictions) -> Case:
    """The first of ``answers`` to one question beside the others, as the panel gets to see them."""
    candidate, *others = [
        Candidate(
            id=answer["model"],
            text=answer["response"] or "",
            model=answer["model"],
            ending=Ending.LENGTH if answer["truncated"] else Ending.STOP,
            predicted_quality=_known(predicted.quality_of(answer["question_id"], answer["model"])),
        )
        for answer in answers
    ]
    return Case(conversation=(Turn(Speaker.USER, answers[0]["prompt"]),), candidate=candidate, others=tuple(others))


def _known(quality: float) -> float | None:
    return None if math.isnan(quality) else min(max(quality, 0.0), 1.0)


if __name__ == "__main__":
    main()
