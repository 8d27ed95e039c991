"""Labels by reference, by a strong model, and by a verifier command."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.recording import TERMS, asked, given, opened
from training.record.entries import AnswerKey
from training.record.failures import RecordingFailed
from training.record.labels import ByJournal, ByReference, ByStrongModel, label_of
from training.record.verifier_command import VerifierCommand, verify


@pytest.mark.parametrize(
    ("references", "answer", "right"),
    [
        (("5",), "The sum is 5.", True),
        (("5",), "2 + 3 = 5", True),
        (("5",), "5.0", True),
        (("5",), "It is 6.", False),
        (("5",), "", False),
        (("1/2",), "\\boxed{0.5}", True),
        (("Lisbon",), "The capital of Portugal is Lisbon.", True),
        (("Lisbon",), "<answer>Lisbon</answer>", True),
        (("Lisbon",), "<answer>Porto</answer> rather than Lisbon", False),
        (("danke", "vielen Dank"), "Vielen Dank!", True),
        (("Adam, Mia, Zoe",), "Adam, Mia and Zoe? Adam, Mia, Zoe", True),
        (("Adam, Mia, Zoe",), "Zoe, Adam, Mia", False),
        (("yes",), "Yes, it is.", True),
        (("yes",), "No, it is not.", False),
        (("B",), "The answer is (B).", True),
        (("[1, 2]",), '{"answer": [1,2]}', True),
    ],
)
def test_references_are_compared_as_the_agreement_judge_compares(references: tuple[str, ...], answer: str, right: bool) -> None:
    label = ByReference().label(asked("q1", "What is it?", *references), given(answer))
    assert label is not None
    assert (label.right, label.source) == (right, "references")


def test_a_number_that_was_cut_off_is_not_final_unless_it_is_marked() -> None:
    question = asked("q1", "How much?", "5")
    label = ByReference().label(question, given("so far 5", cut_off=True))
    marked = ByReference().label(question, given("<answer>5</answer> because", cut_off=True))
    assert label is not None
    assert marked is not None
    assert (label.right, marked.right) == (False, True)


def test_the_first_source_that_can_say_decides() -> None:
    strong = {AnswerKey(name, "strong"): given("It is 6.", question=name, model="strong") for name in ("q1", "q2")}
    sources = [ByReference(), ByStrongModel("strong", strong)]
    by_reference = label_of(asked("q1", "?", "5"), given("5"), sources)
    by_model = label_of(asked("q2", "?"), given("6", question="q2"), sources)
    assert by_reference is not None
    assert by_model is not None
    assert (by_reference.right, by_reference.source) == (True, "references")
    assert (by_model.right, by_model.source) == (True, "strong: strong")
    assert label_of(asked("q3", "?"), given("6", question="q3"), sources) is None


@pytest.mark.parametrize("text", ["", "so far 6"])
def test_a_strong_model_without_a_whole_answer_says_nothing(text: str) -> None:
    answers = {AnswerKey("q1", "strong"): given(text, model="strong", cut_off=True)}
    assert ByStrongModel("strong", answers).label(asked(), given("6")) is None


VERIFIER = """
import json, sys
given = json.load(sys.stdin)
answer = given["answer"]
if answer == "crash":
    raise SystemExit("no idea")
if answer == "exit 1":
    sys.exit(1)
if answer == "silent":
    sys.exit(0)
print("looked at it")
print({"half": 0.5, "odd": 7, "words": "good"}.get(answer, float(answer == given["fields"].get("wanted"))))
"""


@pytest.fixture
def verifier(tmp_path: Path) -> VerifierCommand:
    script = tmp_path / "verify it.py"
    script.write_text(VERIFIER, encoding="utf-8")
    return VerifierCommand(f"{sys.executable} '{script}'", timeout_s=60.0)


@pytest.mark.parametrize(
    ("answer", "score"),
    [("5", 1.0), ("6", 0.0), ("half", 0.5), ("silent", 1.0), ("exit 1", 0.0)],
)
async def test_a_verifier_prints_a_score_or_exits(verifier: VerifierCommand, answer: str, score: float) -> None:
    question = asked()
    object.__setattr__(question, "extra", {"wanted": "5"})
    assert await verifier.score(question, given(answer)) == score


@pytest.mark.parametrize(
    ("answer", "why"), [("crash", "exit code 1: no idea"), ("odd", "printed 7"), ("words", "printed 'good', no number")]
)
async def test_a_verifier_that_breaks_down_is_no_verdict(verifier: VerifierCommand, answer: str, why: str) -> None:
    question = asked()
    object.__setattr__(question, "extra", {"wanted": "5"})
    assert why in str(await verifier.score(question, given(answer)))


async def test_a_verifier_that_hangs_is_ended() -> None:
    hanging = VerifierCommand(f"{sys.executable} -c 'import time; time.sleep(600)'", timeout_s=0.5)
    assert await hanging.score(asked(), given("5")) == "no answer within 0.5 seconds"


def test_what_is_no_command_is_refused() -> None:
    with pytest.raises(RecordingFailed, match="needs a command"):
        VerifierCommand(" ", timeout_s=1.0)
    with pytest.raises(RecordingFailed, match="quot"):
        VerifierCommand("echo 'open", timeout_s=1.0)


async def test_a_verifier_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await asyncio.to_thread(journal.add, [TERMS, asked(), given("5")])
        with pytest.raises(RecordingFailed, match="can't be started"):
            await verify(VerifierCommand("./no-such-verifier", timeout_s=1.0), [given("5")], journal=journal, concurrency_max=2)


async def test_an_answer_is_verified_once_and_a_failure_again(tmp_path: Path, verifier: VerifierCommand) -> None:
    answers = [given("half"), given("crash", model="other")]
    async with opened(tmp_path) as journal:
        await asyncio.to_thread(journal.add, [TERMS, asked(), *answers])
        for _ in range(2):
            failed = await verify(verifier, answers, journal=journal, concurrency_max=2)
            assert [entry.key.model for entry in failed] == ["other"]
        assert (await asyncio.to_thread(journal.path.read_text)).count('"label"') == 1
        label = ByJournal(verifier.by, journal.labels).label(asked(), answers[0])
    assert label is not None
    assert (label.score, label.right) == (0.5, True)
