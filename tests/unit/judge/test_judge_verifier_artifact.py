"""The shipped verifier: it loads, says what it should of plain cases, and a damaged one stops the start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from judge_service.adapters.local_judges import LocalJudge
from judge_service.adapters.onnx_verifier import FACTS_NAME, GRAPHS, load_verifier, verifier_judge
from judge_service.bootstrap import build_service
from judge_service.domain.verifier import Verifier
from servicekit.artifacts import ArtifactError, load_manifest, write_manifest
from servicekit.telemetry import Telemetry
from tests.support.judge_server import judge_request, judge_settings, judging, write_calibration
from tests.support.judges import case

SHIPPED = Path(__file__).resolve().parents[3] / "artifacts" / "verifier"
QUESTION = (
    "A car travels 60 km in 1.5 hours at a constant speed. What is its speed?\n"
    "Options:\n(A) 20 km/h\n(B) 30 km/h\n(C) 40 km/h\n(D) 45 km/h\n(E) 60 km/h\n(F) 90 km/h\nAnswer: Let's think step by step."
)
RIGHT = "The speed is the distance divided by the time: 60 / 1.5 = 40 km/h. The answer is (C)."


@pytest.fixture(scope="module")
def shipped() -> Verifier:
    return Verifier(load_verifier(SHIPPED))


def opinion(judge: Verifier, text: str, *others: str) -> float:
    score = judge.opinion_of(case(text, question=QUESTION, others=others)).score
    assert score is not None
    return score


def test_an_answer_that_computes_to_its_option_beats_one_that_does_not(shipped: Verifier) -> None:
    loose = "It is unclear, however the closest option may be (F). Assuming an error in the question, the answer is (F)."
    assert opinion(shipped, RIGHT) > opinion(shipped, loose) + 0.2


def test_other_answers_count(shipped: Verifier) -> None:
    contrary = "Speed is distance times time: 60 * 1.5 = 90 km/h. The answer is (F)."
    assert opinion(shipped, RIGHT, RIGHT, RIGHT) > opinion(shipped, RIGHT) > opinion(shipped, RIGHT, contrary, contrary)


def test_figures_on_held_out_answers_are_in_the_manifest() -> None:
    manifest = load_manifest(SHIPPED)
    measured = manifest.metrics["dev"]
    assert isinstance(measured, dict)
    assert "mmlupro: gemini-1.5-flash-002" in measured
    assert manifest.data["split"] == "learned from train, measured on dev"


def _copy(folder: Path, change: dict[str, object]) -> Path:
    """The shipped artifact with other facts, and a manifest that fits."""
    shutil.copytree(SHIPPED, folder)
    path = folder / FACTS_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change), encoding="utf-8")
    files = [file.path for file in load_manifest(SHIPPED).files]
    write_manifest(folder, name="verifier", files=files, created_by="tests", command="make verifier", licence="Apache-2.0")
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"features": {name: list(names[1:]) for name, names in GRAPHS.items()}},
        {"kinds": ["open"]},
        {"records": {"a": [[0.0, 1.0, 1.0]]}},
        {"curve": {"log_odds": [0, 1, 2], "probabilities": [0.1, 0.9]}},
        {"curve": {"log_odds": [0, 1], "probabilities": [0.9, 0.1]}},
        {"intercepts": ["much", 1]},
        {"more": 1},
    ],
)
def test_an_artifact_that_does_not_fit_this_version_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="make verifier"):
        load_verifier(_copy(tmp_path / "verifier", change))


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    folder = _copy(tmp_path / "verifier", {})
    (folder / "choice.onnx").write_bytes((folder / "choice.onnx").read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"choice\.onnx"):
        load_verifier(folder)


def test_a_missing_verifier_stops_the_start_with_the_command_that_mends_it(tmp_path: Path) -> None:
    write_calibration(tmp_path / "artifacts" / "calibration")
    with pytest.raises(ArtifactError, match="git checkout -- artifacts/verifier"):
        build_service(judge_settings(tmp_path, ({"kind": "verifier"},)), telemetry=Telemetry.off())


@pytest.fixture
def with_verifier(tmp_path: Path) -> Path:
    """A folder whose `artifacts` hold the shipped verifier."""
    shutil.copytree(SHIPPED, tmp_path / "artifacts" / "verifier")
    return tmp_path


async def test_the_verifier_answers_over_a_real_channel(with_verifier: Path) -> None:
    async with judging(judge_settings(with_verifier, ({"kind": "verifier"}, {"kind": "checks"}))) as stub:
        response = await stub.Judge(judge_request("The answer is Paris.", "Lyon"))
    outcomes = [entry.verdict.outcomes[0] for entry in response.outcomes]
    assert [outcome.judge for outcome in outcomes] == ["verifier", "verifier"]
    assert all(0.0 <= outcome.score <= 1.0 and outcome.explanation == "from the answer and 1 other" for outcome in outcomes)


@pytest.fixture
def judge() -> LocalJudge:
    return verifier_judge("verifier", SHIPPED)


async def test_the_judge_says_what_the_verifier_says(judge: LocalJudge, shipped: Verifier) -> None:
    asked = case(RIGHT, question=QUESTION)
    assert await judge.judge(asked) == shipped.opinion_of(asked)
    assert (judge.kind, judge.cost_max_nano_usd(asked), judge.finds_defects) == ("verifier", 0, False)
