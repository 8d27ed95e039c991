"""Own questions, grading, recording and fitting."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from judge_service.adapters.calibration_file import load_calibration
from judge_service.domain.candidates import LogprobFigures
from judge_service.domain.verdicts import Defect
from providers.errors import ServerFault
from providers.port import ChatEvent, Chunk, Finished, FinishReason, TokenLogprob, Usage
from tests.support.models import Answer, ScriptedModel
from training import panel
from training.panel_fit import Sample, cross_validate, fit_calibration, fold_calibrations, samples_of
from training.panel_grading import is_right
from training.panel_logistic import auroc, brier, calibration_error, fit_logistic
from training.panel_questions import AnswerKind, PanelQuestion, panel_questions
from training.panel_record import record, summary
from training.panel_rows import LADDER, ROWS_PATH, AnswerRow, cheaper_answers, read_rows, write_rows
from training.panel_scores import scored_rows

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


def test_the_summary_of_log_probabilities() -> None:
    figures = summary([-0.1, -2.0, 0.0, -0.7])
    assert figures is not None
    assert figures.mean == pytest.approx(-0.7)
    assert (figures.tokens, figures.minimum, figures.share_uncertain, figures.first) == (4, -2.0, 0.5, -0.1)
    assert summary([]) is None


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


async def test_recording_asks_each_model_and_judges_each_distinct_answer_once(tmp_path: Path) -> None:
    item = panel_questions()[0]
    models = {
        LADDER[0]: ScriptedModel(LADDER[0], Answer(pieces=("flew",), logprobs=(-0.5,))),
        LADDER[1]: ScriptedModel(LADDER[1], reply("flew")),
        # Judges the answer that the first two share, answers, and judges its own answer.
        LADDER[2]: ScriptedModel(LADDER[2], reply("Yes"), reply("flied"), reply("No", yes=0.3)),
    }
    path = tmp_path / "rows.jsonl"
    told: list[str] = []
    await record(models, [item], path=path, tell=told.append)
    rows = await asyncio.to_thread(read_rows, path)
    assert [(row.model, row.answer, row.correct) for row in rows] == [
        (LADDER[0], "flew", True),
        (LADDER[1], "flew", True),
        (LADDER[2], "flied", False),
    ]
    assert [row.llm_score for row in rows] == [pytest.approx(0.8), pytest.approx(0.8), pytest.approx(0.3)]
    assert len(told) == 1
    await record(models, [item], path=path, tell=told.append)
    assert await asyncio.to_thread(read_rows, path) == rows
    for model in models.values():
        model.assert_script_done()


async def test_recording_stops_when_a_model_is_down(tmp_path: Path) -> None:
    models = {name: ScriptedModel(name, ServerFault("down", model=name)) for name in LADDER[:1]}
    models |= {name: ScriptedModel(name) for name in LADDER[1:]}
    with pytest.raises(ServerFault):
        await record(models, panel_questions()[:1], path=tmp_path / "rows.jsonl", tell=lambda _: None)


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
    scored = scored_rows([*rows, replace(base, question_id="gone")])
    assert [row.correct for row in scored] == [True, True, False]
    alone, agreeing, differing = (row.agreement_score for row in scored)
    assert alone is None
    assert agreeing is not None
    assert differing is not None
    assert agreeing > 0.5 > differing
    assert [row.checks_score for row in scored] == [1.0, 1.0, 1.0]


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
