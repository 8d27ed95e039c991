"""`python -m training.adapt` on a small directory of labelled answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from router_service.adapters.newcomer_files import read_adapted
from servicekit.artifacts import load_manifest
from training import adapt

pa: Any = pytest.importorskip("pyarrow", reason="needs the extra `recorded`")
pq: Any = pytest.importorskip("pyarrow.parquet")

ARTIFACTS = Path(__file__).parents[3] / "artifacts"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`fresh` is right on every second of six questions, `idle` never answered."""
    folder = tmp_path / "data"
    folder.mkdir()
    empty = dict.fromkeys(("arena", "dataset", "domain", "subdomain", "prompt", "reference"), "")
    questions = [
        {**empty, "question_id": f"q{index}", "question": f"What is {index} + 2?", "split": "train" if index < 4 else "dev"}
        for index in range(6)
    ]
    answers = [
        {
            "question_id": f"q{index}",
            "model": "fresh",
            "correct": index % 2 == 0,
            "completion_tokens": 20,
            "reasoning_tokens_est": None,
        }
        for index in range(6)
    ]
    models = [{"model": name, "input_usd_per_m": 1.0, "output_usd_per_m": 2.0, "context_tokens": 8_192} for name in ("fresh", "idle")]
    for name, table in (("questions", questions), ("responses", answers), ("models", models)):
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    return folder


def adapt_with(monkeypatch: pytest.MonkeyPatch, data: Path, out: Path, *more: str) -> None:
    folders = ("--encoder", str(ARTIFACTS / "encoder"), "--learned", str(ARTIFACTS / "learned"), "--cache", str(out.parent / "cache"))
    monkeypatch.setattr(sys, "argv", ["adapt", "--data", str(data), "--out", str(out), *folders, *more])
    adapt.main()


@pytest.mark.parametrize(("more", "answers"), [((), 4), (("--splits", "train", "dev"), 6), (("--labels", "3"), 3)])
def test_labelled_answers_become_beliefs(
    more: tuple[str, ...], answers: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "adapted.json"
    adapt_with(monkeypatch, data, out, "--models", "fresh", *more)
    (found,) = read_adapted(out, encoder=load_manifest(ARTIFACTS / "encoder"), learned=load_manifest(ARTIFACTS / "learned"))
    assert (found.name, found.answers) == ("fresh", answers)


@pytest.mark.parametrize("name", ["idle", "nobody"])
def test_a_model_without_answers_is_named(name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=f"{name}: no "):
        adapt_with(monkeypatch, data, tmp_path / "adapted.json", "--models", name)
