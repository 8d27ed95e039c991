"""Reading files of questions, and splits by hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import strategies

from training.record.failures import RecordingFailed
from training.record.questions import AskedQuestion, further_fields, read_questions_file, split_of


def read(folder: Path, *rows: dict[str, Any] | str, dev_percent: int = 30) -> list[AskedQuestion]:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return read_questions_file(path, dev_percent=dev_percent)


def test_one_of_question_and_prompt_is_enough(tmp_path: Path) -> None:
    first, second, third = read(tmp_path, {"question": "a?"}, {"prompt": "b?"}, {"question": "c?", "prompt": "Answer: c?"})
    assert [(each.text, each.prompt) for each in (first, second, third)] == [("a?", "a?"), ("b?", "b?"), ("c?", "Answer: c?")]
    assert len({first.id, second.id, third.id}) == 3
    assert first.id == read(tmp_path, {"question": "a?"})[0].id


def test_references_may_be_texts_numbers_and_lists(tmp_path: Path) -> None:
    rows = [{"question": str(n), "reference": reference} for n, reference in enumerate([4, 0.5, "yes", ["one", 1], None])]
    assert [each.references for each in read(tmp_path, *rows)] == [("4",), ("0.5",), ("yes",), ("one", "1"), ()]


def test_fields_without_a_meaning_go_to_verifiers(tmp_path: Path) -> None:
    questions = read(tmp_path, {"question_id": 7, "question": "a?", "split": "test", "unit_tests": ["x"], "level": 3})
    assert (questions[0].id, questions[0].split) == ("7", "test")
    assert questions[0].extra == {"unit_tests": ["x"], "level": 3}
    assert further_fields(questions) == ["level", "unit_tests"]


def test_a_line_that_is_repeated_counts_once(tmp_path: Path) -> None:
    assert len(read(tmp_path, {"question": "a?"}, "", {"question": "a?"})) == 1


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is not a JSON object"),
        ({"question": "  "}, "line 2: needs `question` or `prompt`"),
        ({"question": 3}, "line 2: `question` is 3"),
        ({"question": "b?", "reference": {"a": 1}}, "line 2: `reference` holds"),
        ({"question": "b?", "reference": [""]}, "line 2: `reference` holds ''"),
        ({"question_id": "one", "question": "b?"}, "line 2: question_id 'one' was given to another question"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, row: dict[str, Any] | str, named: str) -> None:
    with pytest.raises(RecordingFailed, match=named):
        read(tmp_path, {"question_id": "one", "question": "a?"}, row)


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="holds no question"):
        read(tmp_path)
    with pytest.raises(RecordingFailed, match="can't be read"):
        read_questions_file(tmp_path / "none.jsonl", dev_percent=30)


def test_tables_with_commas_are_read_with_their_header(tmp_path: Path) -> None:
    path = tmp_path / "questions.csv"
    path.write_text('question,reference,domain\n"What, now?",yes,\n"two\nlines",,law\n', encoding="utf-8")
    first, second = read_questions_file(path, dev_percent=0)
    assert (first.text, first.references, first.domain) == ("What, now?", ("yes",), "")
    assert (second.text, second.references, second.domain) == ("two\nlines", (), "law")
    path.write_text("question\na?,b\n", encoding="utf-8")
    with pytest.raises(RecordingFailed, match="line 2: more columns"):
        read_questions_file(path, dev_percent=0)


@generated(strategies.text(alphabet="ab cDÉ\n", min_size=1))
def test_copies_of_a_question_stay_together(text: str) -> None:
    copy = f"  {text.upper().lower().replace(' ', '   ')} "
    assert split_of(text.upper().lower(), dev_percent=40) == split_of(copy, dev_percent=40)


def test_the_share_of_dev_is_about_what_was_asked_for() -> None:
    texts = [f"question {n}" for n in range(1_000)]
    shares = [sum(split_of(text, dev_percent=percent) == "dev" for text in texts) for percent in (0, 30, 100)]
    assert shares[0] == 0
    assert 250 < shares[1] < 350
    assert shares[2] == 1_000
