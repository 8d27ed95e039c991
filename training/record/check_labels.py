"""How often do labels by reference say what is known by other means? ``python -m training.record.check_labels [--data DIR]``.

On the committed answers of the local models the truth is the grading by rule (``training.panel_grading``); on a data directory it is the
column `correct`. Of a directory, every ``STEP``-th labelled answer is read.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from training.panel_questions import panel_questions
from training.panel_rows import ROWS_PATH, read_rows
from training.panel_scores import scored_rows
from training.record.entries import AnswerKey, GivenAnswer
from training.record.labels import ByReference
from training.record.questions import AskedQuestion
from training.tables import existing, read_questions

STEP = 50
Checked = tuple[str, bool, bool]
"""Where the answer comes from, what is true, and what the label says."""


def main() -> None:
    """Prints agreement, and how often labels are too kind or too strict, by source."""
    parser = argparse.ArgumentParser(prog="python -m training.record.check_labels", description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="data directory to check on, beside the committed answers")
    data: Path | None = parser.parse_args().data
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for source, truth, label in (*_committed(), *(_recorded(data) if data else ())):
        found[source].append((truth, label))
    print(f"{'source':24} {'answers':>8} {'agree':>7} {'wrong called right':>19} {'right called wrong':>19}")
    for source, pairs in found.items():
        kind, strict = sum(label and not truth for truth, label in pairs), sum(truth and not label for truth, label in pairs)
        agree = 1.0 - (kind + strict) / len(pairs)
        print(f"{source:24} {len(pairs):8} {agree:7.1%} {kind:19} {strict:19}")


def _committed() -> Iterator[Checked]:
    questions = {question.id: question for question in panel_questions()}
    for row in scored_rows(read_rows(ROWS_PATH)):
        question = AskedQuestion(id=row.question_id, text=row.question, prompt=row.question, references=questions[row.question_id].accepted)
        yield "committed answers", row.correct, _label(question, row.model, row.answer, truncated=row.finish_reason == "length")


def _recorded(folder: Path) -> Iterator[Checked]:
    questions = {
        row["question_id"]: AskedQuestion(id=row["question_id"], text=row["question"], prompt=row["prompt"], references=(row["reference"],))
        for row in read_questions(folder)
        if row["reference"]
    }
    columns = ["question_id", "arena", "model", "response", "correct", "truncated"]
    for batch in pq.ParquetFile(existing(folder / "responses.parquet")).iter_batches(columns=columns):
        for row in batch.to_pylist()[::STEP]:
            if row["correct"] is not None and (question := questions.get(row["question_id"])) is not None:
                label = _label(question, row["model"], row["response"] or "", truncated=bool(row["truncated"]))
                yield row["arena"], row["correct"], label


def _label(question: AskedQuestion, model: str, text: str, *, truncated: bool) -> bool:
    answer = GivenAnswer(
        key=AnswerKey(question.id, model),
        text=text,
        finish_reason="length" if truncated else "stop",
        input_tokens=0,
        output_tokens=0,
        estimated=True,
        cost_nano_usd=0,
    )
    found = ByReference().label(question, answer)
    return found is not None and found.right


if __name__ == "__main__":
    main()
