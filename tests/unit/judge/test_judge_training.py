"""Own questions, grading, recording and fitting."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from judge_service.adapters.calibration_file import load_calibration
from judge_service.domain.candidates import LogprobFigures
from judge_service.domain.verdicts import Defect
from providers.errors import ServerFault
from providers.port import ChatEvent, Chunk, Finished, FinishReason, Price, TokenLogprob, Usage
from servicekit.settings.judge import LlmJudgeSettings
from tests.support.models import ScriptedModel
from tests.support.recording import TERMS, given
from training import panel
from training.panel_fit import Sample, cross_validate, fit_calibration, fold_calibrations, samples_of
from training.panel_grading import is_right
from training.panel_judge import judge_recording
from training.panel_logistic import auroc, brier, calibration_error, fit_logistic
from training.panel_questions import AnswerKind, PanelQuestion, panel_questions
from training.panel_recording import cheapest_first, read_recording, read_scores
from training.panel_rows import LADDER, ROWS_PATH, AnswerRow, cheaper_answers, read_rows, write_rows
from training.panel_scores import scored_rows
from training.record.entries import AskedModel, GivenLabel
from training.record.journal import Journal
from training.record.labels import ByJournal
from training.record.layout import write_recording
from training.record.questions import AskedQuestion, read_questions_file

KINDS = ("agreement", "checks", "confidence", "llm")
"""Kinds of judges that the local models were recorded with."""


def question(kind: AnswerKind, *accepted: str, text: str = "How many seconds are in 12 minutes?") -> PanelQuestion:
    return PanelQuestion(id="q", domain="math", reasoning_complexity="low", kind=kind, text=text, accepted=accepted)


def test_questions_are_many_distinct_and_deterministic() -> None:
    questions = panel_questions()
    assert questions == panel_questions()
    assert len(questions) >= 200
    assert len({item.id for item in questions}) == len({item.text for item in questions}) == len(questions)
    assert len({item.domain for item in questions[:60]}) >= 5


def test_every_reference_answer_is_right() -> None:
    for item in panel_questions():
        for accepted in item.accepted:
            assert is_right(item, accepted), (item.text, accepted)


@pytest.mark.parametrize(
    ("kind", "accepted", "answer", "right"),
    [
        ("number", "720", "There are 720 seconds in 12 minutes.", True),
        ("number", "720", "12 * 60 = 720", True),
        ("number", "720", "60 seconds", False),
        ("number", "720", "", False),
        ("number", "2", "It occurs twice.", True),
        ("number", "7200", "7,200", True),
        ("text", "Paris", "The capital is Paris.", True),
        ("text", "Paris", "Lyon, not Paris", False),
        ("text", "W", "Wolfram", False),
        ("yes_no", "no", "No, it is not.", True),
        ("yes_no", "no", "Yes", False),
        ("choice", "B", "(B) because it is so", True),
        ("choice", "B", "The answer is B.", True),
        ("choice", "B", "(C)", False),
        ("literal", "[1, 2]", "```\n[1,2]\n```", True),
        ("literal", "3", "The output is `3`.", True),
        ("literal", "3", "The output is 4.", False),
    ],
)
def test_grading(kind: AnswerKind, accepted: str, answer: str, right: bool) -> None:
    assert is_right(question(kind, accepted), answer) is right


def test_an_answer_that_was_cut_off_has_no_final_number() -> None:
    assert is_right(question("number", "720"), "so far 720")
    assert not is_right(question("number", "720"), "so far 720", cut_off=True)
    assert is_right(question("text", "Paris"), "It is Paris, which", cut_off=True)


def test_logistic_regression_finds_the_weights() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(4_000, 2))
    labels = (random.random(4_000) < 1 / (1 + np.exp(-(0.5 + 2.0 * features[:, 0])))).astype(float)
    fit = fit_logistic(features, labels, penalty=0.1)
    assert fit.intercept == pytest.approx(0.5, abs=0.15)
    assert fit.weights[0] == pytest.approx(2.0, abs=0.2)
    assert fit.weights[1] == pytest.approx(0.0, abs=0.1)


def test_weights_never_turn_negative() -> None:
    features = np.array([[0.0], [0.2], [0.8], [1.0]])
    labels = np.array([1.0, 1.0, 0.0, 0.0])
    assert fit_logistic(features, labels, penalty=0.1).weights[0] == 0.0
    assert fit_logistic(features, labels, penalty=0.1, free=frozenset({0})).weights[0] < 0.0


def test_figures_of_merit() -> None:
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    assert auroc(np.array([0.1, 0.2, 0.8, 0.9]), labels) == 1.0
    assert auroc(np.full(4, 0.5), labels) == 0.5
    assert math.isnan(auroc(np.array([0.5]), np.array([1.0])))
    assert brier(np.array([0.0, 0.0, 1.0, 1.0]), labels) == 0.0
    assert calibration_error(np.full(4, 0.5), labels) == 0.0
    assert calibration_error(np.full(4, 0.9), labels) == pytest.approx(0.4)


def _samples(count: int = 200) -> list[Sample]:
    """The `llm` score decides; the others are noise; every fifth answer has no agreement."""
    random = np.random.default_rng(2)
    samples: list[Sample] = []
    for i in range(count):
        features = {kind: float(random.uniform(-0.5, 0.5)) for kind in KINDS}
        features["llm"] *= 8
        if i % 5 == 0:
            del features["agreement"]
        right = bool(random.random() < 1 / (1 + math.exp(-1.5 * features["llm"])))
        samples.append(Sample(f"q{i}", LADDER[0], truncated=False, correct=right, features=features))
    return samples


def test_the_fit_weighs_what_decides() -> None:
    calibration = fit_calibration(_samples(), version="v")
    weights = calibration.combinations[frozenset(KINDS)].weights
    assert weights["llm"] == pytest.approx(1.5, abs=0.5)
    assert len(calibration.combinations) == 2 ** len(KINDS)
    assert calibration.caps[Defect.TRUNCATED] == 0.5


def test_cross_validation_tells_signal_from_noise() -> None:
    samples = _samples()
    folds = fold_calibrations(samples)
    assert cross_validate(samples, ("llm",), folds).auroc > 0.8
    assert cross_validate(samples, ("checks",), folds).auroc < 0.65


def test_sets_with_few_rows_are_left_to_the_backoff() -> None:
    calibration = fit_calibration(_samples(35), version="v")
    assert frozenset({"llm"}) in calibration.combinations
    assert frozenset({"agreement"}) not in calibration.combinations


def reply(text: str, *, yes: float = 0.8) -> tuple[ChatEvent, ...]:
    token = TokenLogprob(text, -0.1, (("Yes", math.log(yes)), ("No", math.log(1 - yes))))
    usage = Usage(input_tokens=5, output_tokens=1)
    return Chunk(text=text, logprobs=(token,)), Finished(finish_reason=FinishReason.STOP, usage=usage, cost_nano_usd=0)


LLM = LlmJudgeSettings(kind="llm", model=LADDER[2], style="yes_no")


def recorded(folder: Path, *answers: tuple[str, str, bool | None], split: str = "train") -> Path:
    """A recording of one question of our own: model, answer and label of each; a later model costs more."""
    item = panel_questions()[0]
    with Journal(folder) as journal:
        journal.add([TERMS, AskedQuestion(id=item.id, text=item.text, prompt=item.text, split=split)])
        for cost, (model, text, right) in enumerate(answers):
            journal.add(
                [AskedModel(name=model, provider="", upstream_model=model, input_usd_per_m=0, output_usd_per_m=0, context_tokens=9)]
            )
            answer = given(text, question=item.id, model=model, cost=cost)
            figures = LogprobFigures(tokens=1, mean=-0.5, minimum=-0.5, share_uncertain=0.0, first=-0.5)
            journal.add([replace(answer, logprobs=figures)])
            if right is not None:
                journal.add([GivenLabel(key=answer.key, by="known", score=float(right))])
        write_recording(folder, journal, [ByJournal("known", journal.labels)])
    return folder


async def test_each_distinct_answer_is_judged_once_and_what_is_judged_stays(tmp_path: Path) -> None:
    await asyncio.to_thread(recorded, tmp_path, ("a", "flew", True), ("b", "flew", True), ("c", "flied", False), ("d", "unlabelled", None))
    rows = await asyncio.to_thread(read_recording, tmp_path, ())
    told: list[str] = []
    model = ScriptedModel(LADDER[2], reply("Yes"), reply("No", yes=0.3))
    for _ in range(2):
        await judge_recording(tmp_path, rows, judge=LLM, model=model, cost_max_nano_usd=10**9, tell=told.append)
    scored = await asyncio.to_thread(read_recording, tmp_path, ())
    scores = {row.row.model: row.row.llm_score for row in scored}
    assert scores == {"a": pytest.approx(0.8), "b": pytest.approx(0.8), "c": pytest.approx(0.3)}
    assert len(told) == 1
    model.assert_script_done()


async def test_judging_keeps_to_its_ceiling(tmp_path: Path) -> None:
    await asyncio.to_thread(recorded, tmp_path, ("a", "flew", True))
    rows = await asyncio.to_thread(read_recording, tmp_path, ())
    told: list[str] = []
    model = ScriptedModel(LADDER[2], price=Price(input_nano_usd_per_mtok=10**9))
    await judge_recording(tmp_path, rows, judge=LLM, model=model, cost_max_nano_usd=1000, tell=told.append)
    assert told == ["stopped at the cost ceiling: 1 questions are left"]


async def test_a_judge_that_fails_leaves_no_score(tmp_path: Path) -> None:
    await asyncio.to_thread(recorded, tmp_path, ("a", "flew", True))
    rows = await asyncio.to_thread(read_recording, tmp_path, ())
    model = ScriptedModel(LADDER[2], ServerFault("down", model=LADDER[2]))
    await judge_recording(tmp_path, rows, judge=LLM, model=model, cost_max_nano_usd=10**9, tell=lambda _: None)
    assert await asyncio.to_thread(read_scores, tmp_path) == {(panel_questions()[0].id, "a"): None}


def test_a_recording_becomes_rows_cheapest_model_first(tmp_path: Path) -> None:
    recorded(tmp_path, ("dear", "flew", True), ("cheap", "flied", False))
    rows = read_recording(tmp_path, {"train"})
    assert cheapest_first(rows) == ("dear", "cheap"), "the first of the two costs nothing"
    assert [(row.row.model, row.row.correct, row.row.finish_reason) for row in rows] == [("cheap", False, "stop"), ("dear", True, "stop")]
    assert rows[0].row.logprobs is not None
    assert read_recording(tmp_path, {"dev"}) == []


def test_our_own_questions_are_a_file_for_the_recorder_and_its_verifier_grades_them(tmp_path: Path) -> None:
    lines = panel.own_questions()
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    questions = read_questions_file(path, dev_percent=0)
    assert [(each.id, each.text) for each in questions] == [(each.id, each.text) for each in panel_questions()]
    first = panel_questions()[0]
    verified = {"question_id": first.id, "answer": first.accepted[0], "finish_reason": "stop"}
    assert panel.grade(json.dumps(verified))
    assert not panel.grade(json.dumps(verified | {"answer": "something else"}))


def test_a_calibration_is_fitted_on_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(tmp_path / "own", ("a", "flew", True), ("b", "flied", False))
    panel.main(["fit", "--data", str(tmp_path / "own"), "--artifact", str(tmp_path / "calibration")])
    assert "too few answers" in capsys.readouterr().out
    assert load_calibration(tmp_path / "calibration").backoff.weights
    recorded(tmp_path / "easy", ("a", "flew", True))
    with pytest.raises(SystemExit, match="nothing to calibrate on"):
        panel.main(["fit", "--data", str(tmp_path / "easy"), "--artifact", str(tmp_path / "calibration")])


def test_rows_survive_their_file_and_are_scored_against_cheaper_answers(tmp_path: Path) -> None:
    item = panel_questions()[0]
    base = AnswerRow(
        question_id=item.id,
        question=item.text,
        domain=item.domain,
        reasoning_complexity=item.reasoning_complexity,
        model=LADDER[0],
        answer="flew",
        finish_reason="stop",
        input_tokens=9,
        output_tokens=2,
        logprobs=LogprobFigures(tokens=2, mean=-0.25, minimum=-0.5, share_uncertain=0.0, first=-0.5),
        llm_score=None,
        correct=False,
    )
    rows = [base, replace(base, model=LADDER[1], answer="It is flew", logprobs=None), replace(base, model=LADDER[2], answer="flied")]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl") == rows
    assert [row.model for row in cheaper_answers(rows[2], rows)] == list(LADDER[:2])
    scored = scored_rows([*rows, replace(base, question_id="theirs", answer="flied", correct=True)])
    assert [row.correct for row in scored] == [True, True, False, True], "questions of others keep their label"
    alone, agreeing, differing, foreign = (row.agreement_score for row in scored)
    assert alone is None
    assert foreign is None
    assert agreeing is not None
    assert differing is not None
    assert agreeing > 0.5 > differing
    assert [row.checks_score for row in scored] == [1.0, 1.0, 1.0, 1.0]


def test_fitting_writes_an_artifact_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_rows(ROWS_PATH)
    assert len({row.question_id for row in rows}) * len(LADDER) == len(rows) >= 180
    write_rows(tmp_path / "rows.jsonl", rows[:120])
    panel.main(["fit", "--rows", str(tmp_path / "rows.jsonl"), "--artifact", str(tmp_path / "calibration")])
    calibration = load_calibration(tmp_path / "calibration")
    assert calibration.version in capsys.readouterr().out
    assert frozenset(KINDS) in calibration.combinations


def test_the_shipped_calibration_is_what_the_recorded_rows_give() -> None:
    """Anyone can make the artifact again from what is committed."""
    shipped = load_calibration(panel.ARTIFACT)
    again = fit_calibration(samples_of(scored_rows(read_rows(ROWS_PATH))), version=shipped.version)
    assert again == shipped


def test_a_recording_of_our_own_questions_becomes_the_committed_form(tmp_path: Path) -> None:
    recorded(tmp_path / "own", (LADDER[0], "flew", True), (LADDER[1], "flied", True))
    panel.main(["rows", "--data", str(tmp_path / "own"), "--rows", str(tmp_path / "rows.jsonl")])
    rows = read_rows(tmp_path / "rows.jsonl")
    assert [(row.model, row.correct, row.agreement_score is None) for row in rows] == [(LADDER[1], False, False), (LADDER[0], True, True)]
    recorded(tmp_path / "other", ("theirs", "flew", True))
    with pytest.raises(SystemExit, match="answers of theirs"):
        panel.main(["rows", "--data", str(tmp_path / "other"), "--rows", str(tmp_path / "rows.jsonl")])
