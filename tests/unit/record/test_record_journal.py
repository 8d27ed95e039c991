"""The journal: what is in it survives crashes, and nobody else writes into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from judge_service.domain.candidates import LogprobFigures
from tests.support.recording import TERMS, asked, given
from training.record.entries import AnswerKey, AskedModel, Entry, FailedCall, GivenAnswer, GivenLabel
from training.record.failures import RecordingFailed
from training.record.journal import Journal

FAILED = FailedCall(key=AnswerKey("q1", "small"), error="timeout", message="too late", cost_nano_usd=5)


def test_everything_comes_back(tmp_path: Path) -> None:
    model = AskedModel(
        name="small", provider="openai_compatible", upstream_model="s", input_usd_per_m=0.1, output_usd_per_m=0.2, context_tokens=4096
    )
    answer = GivenAnswer(
        key=AnswerKey("q2", "small", 1),
        text="fünf\n",
        finish_reason="stop",
        input_tokens=1,
        output_tokens=2,
        estimated=True,
        cost_nano_usd=3,
        logprobs=LogprobFigures(tokens=2, mean=-0.5, minimum=-1.0, share_uncertain=0.5, first=0.0),
    )
    label = GivenLabel(key=answer.key, by="command: x", score=0.5)
    entries: list[Entry] = [TERMS, model, asked("q2", "?", "5"), answer, FAILED, label]
    with Journal(tmp_path) as journal:
        journal.add(entries)
    with Journal(tmp_path) as again:
        assert (again.terms, again.models, again.questions) == (TERMS, {"small": model}, {"q2": asked("q2", "?", "5")})
        assert (again.answers, again.failures) == ({answer.key: answer}, {FAILED.key: FAILED})
        assert again.labels == {(answer.key, "command: x"): 0.5}
        assert again.spent_nano_usd == 8


def test_an_answer_makes_an_earlier_failure_good_but_both_were_paid_for(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add([FAILED, given("5")])
        assert (journal.failures, journal.spent_nano_usd) == ({}, 12)


@pytest.mark.parametrize("lost", [1, 20, 60])
def test_a_line_that_a_crash_cut_short_is_dropped_and_written_again(tmp_path: Path, lost: int) -> None:
    with Journal(tmp_path) as journal:
        journal.add([given("one"), given("two", question="q2")])
        path = journal.path
    path.write_bytes(path.read_bytes()[:-lost])
    with Journal(tmp_path) as journal:
        assert [answer.text for answer in journal.answers.values()] == ["one"]
        journal.add([given("again", question="q2")])
    with Journal(tmp_path) as journal:
        assert [answer.text for answer in journal.answers.values()] == ["one", "again"]


def test_a_line_of_another_kind_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add([given("one")])
        path = journal.path
    before = path.read_bytes() + b'{"entry": "riddle"}\n'
    path.write_bytes(before)
    with pytest.raises(RecordingFailed, match="line 2: no entry"), Journal(tmp_path):
        pass
    assert path.read_bytes() == before


def test_two_recordings_never_write_the_same_journal(tmp_path: Path) -> None:
    with Journal(tmp_path):
        with pytest.raises(RecordingFailed, match="in use") as refused, Journal(tmp_path):
            pass
        assert not refused.value.wrong_input
    with Journal(tmp_path) as free:
        assert free.answers == {}
