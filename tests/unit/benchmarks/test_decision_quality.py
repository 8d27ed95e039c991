"""The decision benchmark on a small data directory whose results are known by construction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.decision_quality.choices import best_net, cheapest_right, neighbours_quality, random_mix
from benchmarks.decision_quality.known import Known
from benchmarks.decision_quality.measure import Meter
from benchmarks.decision_quality.play import CascadeMethod, play_cascade, play_picks
from benchmarks.decision_quality.pools import Pool, PoolDefinition, build_pool, pool_named
from benchmarks.decision_quality.recordings import read_recordings
from benchmarks.decision_quality.replay import NoRouter, PanelInProcess, SilentJudge
from benchmarks.decision_quality.report import Report, frontier, markdown, write_report
from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.ports import Judge
from judge_service.adapters.local_judges import agreement_judge
from judge_service.domain.calibration import Backoff, Calibration, Combination, Scale, Transform
from judge_service.domain.panel import Panel
from judge_service.domain.verdicts import Defect

pa: Any = pytest.importorskip("pyarrow", reason="needs the extra `recorded`")
pq: Any = pytest.importorskip("pyarrow.parquet")

QUESTIONS = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every third question is hard: `small` and `tiny` fail it, each in its own way. `large` is always right at 100 times the cost."""
    questions = [
        {
            "question_id": f"q{index:02}",
            "arena": "sums",
            "dataset": "sums",
            "domain": "math",
            "question": f"What is {index} + 1?",
            "prompt": f"Answer: what is {index} + 1?",
            "prompt_tokens": 9,
            "split": "train" if index % 2 else "dev",
        }
        for index in range(QUESTIONS)
    ]
    rows = [
        {
            "question_id": f"q{index:02}",
            "arena": "sums",
            "model": model,
            "response": "" if model == "mute" else f"<answer>{index + 1 if right else wrong}</answer>",
            "correct": right,
            "cost_usd": cost,
            "completion_tokens": 5,
            "reasoning_tokens_est": 0,
            "truncated": False,
        }
        for index in range(QUESTIONS)
        for model, right, wrong, cost in (
            ("tiny", index % 3 > 0, 1000, 1e-6),
            ("small", index % 3 > 0, 2000, 2e-6),
            ("large", True, 0, 1e-4),
            ("mute", False, 0, 1e-6),
        )
        if not (model == "large" and index == 0)
    ]
    models = [
        {"model": name, "provider": name, "input_usd_per_m": 1.0, "output_usd_per_m": 1.0, "context_tokens": 8192, "alias_core": None}
        for name in ("tiny", "small", "large", "mute")
    ]
    for name, table in (("questions", questions), ("responses", rows), ("models", models)):
        pq.write_table(pa.Table.from_pylist(table), tmp_path / f"{name}.parquet")
    return tmp_path


def pool_of(data: Path, *models: str) -> Pool:
    definition = PoolDefinition(name="sums", arenas=("sums",), models=models)
    return build_pool(definition, read_recordings(data, definition.arenas, texts_of="dev"))


@pytest.fixture
def ladder(data: Path) -> Pool:
    return pool_of(data, "tiny", "small", "large").part("dev")


@pytest.fixture
def with_mute(data: Path) -> Pool:
    return pool_of(data, "mute", "tiny").part("dev")


def agreement_panel() -> Panel:
    calibration = Calibration(
        version="test",
        epsilon=0.01,
        scales={"agreement": Scale(transform=Transform.IDENTITY)},
        combinations={
            frozenset(): Combination(intercept=0.0, weights={}),
            frozenset({"agreement"}): Combination(intercept=0.0, weights={"agreement": 8.0}),
        },
        backoff=Backoff(intercept=0.0, shifts={"agreement": 0.0}, weights={"agreement": 1.0}),
        caps=dict.fromkeys(Defect, 0.05),
    )
    return Panel((agreement_judge("agreement"),), calibration, early_stop=False, clock=lambda: 0.0)


def fixed(pool: Pool, *endpoints: str, judge: Judge, threshold: float = 0.7) -> CascadeMethod:
    positions = [pool.endpoints.index(name) for name in endpoints]
    return CascadeMethod(
        judge=judge,
        router=lambda _: NoRouter(),
        plan=lambda index: tuple(pool.answers[index][position].model for position in positions),
        policy=ThresholdPolicy(name="test", threshold=threshold),
    )


def test_only_questions_that_all_answered_compete(data: Path) -> None:
    assert "q00" in {question.id for question in pool_of(data, "tiny", "small").questions}
    pool = pool_of(data, "tiny", "large")
    assert "q00" not in {question.id for question in pool.questions}
    assert len(pool.part("train").questions) == QUESTIONS // 2


def test_texts_of_other_splits_are_not_kept(data: Path) -> None:
    pool = pool_of(data, "tiny")
    assert all(row[0].text for row in pool.part("dev").answers)
    assert not any(row[0].text for row in pool.part("train").answers)


async def test_a_single_attempt_costs_and_scores_what_was_recorded(ladder: Pool) -> None:
    pool = ladder
    played = await play_cascade(pool, fixed(pool, "small", judge=SilentJudge()), label="small")
    alone = play_picks(pool, np.full(len(pool.questions), pool.endpoints.index("small")))
    assert played.right.tolist() == alone.right.tolist()
    assert played.cost_usd == pytest.approx(alone.cost_usd)
    assert set(played.attempts.tolist()) == {1}


async def test_the_agreement_cascade_asks_the_strong_model_only_where_the_cheap_ones_differ(ladder: Pool) -> None:
    pool = ladder
    method = fixed(pool, "tiny", "small", "large", judge=PanelInProcess(agreement_panel()))
    played = await play_cascade(pool, method, label="agreement")
    hard = np.array([int(question.id[1:]) % 3 == 0 for question in pool.questions])
    assert played.attempts[hard].tolist() == [3] * int(hard.sum())
    assert played.attempts[~hard].tolist() == [2] * int((~hard).sum())
    assert played.right[~hard].tolist() == [1.0] * int((~hard).sum())
    assert played.cost_usd[hard] == pytest.approx(1.03e-4)


async def test_a_request_without_any_answer_is_wrong_and_paid_for(with_mute: Pool) -> None:
    played = await play_cascade(with_mute, fixed(with_mute, "mute", judge=SilentJudge()), label="mute")
    assert played.right.sum() == 0.0
    assert played.cost_usd == pytest.approx(1e-6)


def test_the_oracle_takes_the_cheapest_that_is_right(data: Path) -> None:
    pool = pool_of(data, "tiny", "large")
    names = [pool.endpoints[int(pick)] for pick in cheapest_right(pool).tolist()]
    assert names == ["large" if int(question.id[1:]) % 3 == 0 else "tiny" for question in pool.questions]


def test_a_random_mix_lies_between_its_models(data: Path) -> None:
    pool = pool_of(data, "tiny", "large")
    tiny, large = pool.endpoints.index("tiny"), pool.endpoints.index("large")
    half = random_mix(pool, cheap=tiny, dear=large, share=0.5)
    assert half.right.mean() == pytest.approx((pool.right[:, tiny].mean() + 1.0) / 2)
    assert half.cost_usd.mean() == pytest.approx((1e-6 + 1e-4) / 2)


def test_neighbours_know_what_is_near() -> None:
    known, right = np.array([[1.0, 0.0]] * 50 + [[0.0, 1.0]] * 50), np.array([[1.0, 0.0]] * 50 + [[0.0, 1.0]] * 50)
    quality = neighbours_quality(np.array([[1.0, 0.0], [0.0, 1.0]]), known, right)
    assert quality.argmax(axis=1).tolist() == [0, 1]
    assert best_net(quality, np.array([0.0, 1.0]), trade_off=10.0).tolist() == [0, 0]


def test_cheap_endpoints_are_of_different_providers() -> None:
    known = Known(np.array([0.6, 0.59, 0.5, 0.9]), np.array([0.1, 0.1, 0.05, 1.0]), "train")
    assert known.best == 3
    assert known.cheap(2, ("a", "a", "b", "c")) == (2, 0)


def test_the_report_has_the_rows_as_promised(data: Path, tmp_path: Path) -> None:
    pool = pool_of(data, "tiny", "small", "large").part("dev")
    best = play_picks(pool, np.full(len(pool.questions), pool.endpoints.index("large")))
    meter = Meter("sums", "dev", best, float(pool.cost.mean()))
    tiny = play_picks(pool, np.full(len(pool.questions), pool.endpoints.index("tiny")))
    rows = [
        meter.row(best, method="best single", setting="large", chosen_on="train"),
        meter.row(tiny, method="single", setting="tiny", chosen_on="sweep"),
    ]
    report = Report(rows=tuple(rows), judges=(), risks=())
    write_report(tmp_path / "out", report)
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    promised = {"pool", "split", "method", "setting", "n", "accuracy", "accuracy_low", "accuracy_high", "usd_per_1k"}
    promised |= {"cost_ratio_to_best_single", "delta_to_best_single", "delta_low", "delta_high", "chosen_on"}
    assert all(promised <= set(row) for row in written["rows"])
    cheap = written["rows"][1]
    assert cheap["cost_ratio_to_best_single"] == pytest.approx(0.01)
    assert cheap["delta_low"] < cheap["delta_to_best_single"] < 0.0
    assert (tmp_path / "out" / "frontier-sums.svg").read_text() == frontier(rows)
    assert "| single | tiny |" in markdown(report)


def test_a_pool_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pool.json"
    path.write_text(json.dumps({"name": "mine", "arenas": ["sums"], "models": ["tiny"]}))
    assert pool_named(str(path)) == PoolDefinition(name="mine", arenas=("sums",), models=("tiny",))


def test_an_unknown_pool_is_named() -> None:
    with pytest.raises(SystemExit, match="nowhere"):
        pool_named("nowhere")


def test_a_missing_file_is_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"questions\.parquet is missing"):
        read_recordings(tmp_path, ("sums",), texts_of="dev")
