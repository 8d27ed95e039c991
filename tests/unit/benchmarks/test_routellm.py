"""RouteLLM's metric on scores with known results, the reading of its tables, and a baseline on recorded rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.routellm.metric import Curve, apgr_interval, curve
from benchmarks.routellm.wording import wording

pa: Any = pytest.importorskip("pyarrow", reason="needs the extra `recorded`")
pq: Any = pytest.importorskip("pyarrow.parquet")

QUESTIONS = 1_000


def _models(*, lost: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The strong model is right on all but ``lost`` questions, the weak one on half of them and on those."""
    strong, weak = np.ones(QUESTIONS), np.zeros(QUESTIONS)
    weak[: QUESTIONS // 2] = 1.0
    strong[:lost] = 0.0
    return strong, weak


def test_a_perfect_router_recovers_the_gap_with_the_questions_that_need_it() -> None:
    strong, weak = _models()
    found = curve(strong - weak + np.linspace(0.0, 0.1, QUESTIONS), strong, weak)
    assert found.apgr == pytest.approx(0.75)  # a triangle up to half of the calls, then all of the gap
    assert found.cpt(0.5) == pytest.approx(0.25)
    assert found.cpt(0.8) == pytest.approx(0.4)


def test_a_random_router_recovers_as_much_as_it_spends() -> None:
    strong, weak = _models()
    found = curve(np.random.default_rng(3).random(QUESTIONS), strong, weak)
    assert found.apgr == pytest.approx(0.5, abs=0.03)
    assert found.cpt(0.5) == pytest.approx(0.5, abs=0.05)


def test_an_inverted_router_mirrors_the_perfect_one() -> None:
    strong, weak = _models()
    found = curve(weak - strong + np.linspace(0.0, 0.1, QUESTIONS), strong, weak)
    assert found.apgr == pytest.approx(0.25)
    assert found.cpt(0.5) == pytest.approx(0.75)


def test_calling_the_strong_model_where_only_the_weak_one_is_right_costs_accuracy() -> None:
    strong, weak = _models(lost=100)
    best = curve(strong - weak + np.linspace(0.0, 0.1, QUESTIONS), strong, weak)
    assert best.accuracies.max() == pytest.approx(1.0)
    assert best.accuracies[-1] == pytest.approx(0.9)
    assert best.apgr == pytest.approx(0.925)  # (0.375 + 0.4 + 0.095 - 0.5) / 0.4


def test_equal_scores_count_as_chance() -> None:
    strong, weak = _models()
    found = curve(np.zeros(QUESTIONS), strong, weak)
    assert found.shares.tolist() == [0.0, 1.0]
    assert found.apgr == pytest.approx(0.5)


def test_two_distinct_scores_make_one_bend() -> None:
    strong, weak = _models()
    found = curve(1.0 - weak, strong, weak)
    assert found.shares.tolist() == [0.0, 0.5, 1.0]
    assert found.apgr == pytest.approx(0.75)


def test_eleven_thresholds_make_eleven_shares() -> None:
    strong, weak = _models()
    found = curve(np.linspace(0.0, 1.0, QUESTIONS), strong, weak)
    assert found.shares == pytest.approx(np.linspace(0.0, 1.0, 11), abs=0.002)


def test_no_gap_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be better"):
        _ = Curve(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 0.5, 0.5).apgr


def test_the_interval_holds_the_figure() -> None:
    strong, weak = _models()
    scores = strong - weak + np.random.default_rng(1).normal(size=QUESTIONS)
    low, high = apgr_interval(scores, strong, weak, resamples=100)
    assert low < curve(scores, strong, weak).apgr < high


def test_wording_is_as_wide_for_every_text() -> None:
    widths = {len(wording(text)) for text in ("", "How many apples, at $1.50 each, in 2 weeks?", "½ …", "9" * 500)}
    assert len(widths) == 1


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), folder / "routellm_mmlu.parquet")


def _asked(prompt: str, **other: Any) -> dict[str, Any]:
    return {"prompt": prompt, "strong_correct": True, "weak_correct": False, "contaminated": False, "split": "train", **other}


def test_equal_questions_share_a_key_and_contaminated_ones_are_left_out(tmp_path: Path) -> None:
    from benchmarks.routellm.tables import read_table  # noqa: PLC0415 needs pyarrow

    first, again = _asked("What is 2+2?\nA. 3\nB. 4\nAnswer:"), _asked("what is 2 + 2?\nA. 4\nB. 5\nAnswer:")
    _write(tmp_path, [first, again, _asked("Another?"), _asked("Known?", contaminated=True)])
    table = read_table(tmp_path, "mmlu")
    assert table is not None
    assert len(table.prompts) == 3
    assert table.keys[0] == table.keys[1] != table.keys[2]
    assert read_table(tmp_path, "gsm8k") is None


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    from benchmarks.routellm.tables import read_table  # noqa: PLC0415 needs pyarrow

    _write(tmp_path, [{"prompt": "What?", "strong_correct": True}])
    with pytest.raises(SystemExit, match="weak_correct"):
        read_table(tmp_path, "mmlu")


@pytest.mark.recorded_data
def test_words_alone_beat_chance_on_recorded_rows(data_dir: Path) -> None:
    pytest.importorskip("sklearn", reason="needs the extra `training`")
    pytest.importorskip("lightgbm", reason="needs the extra `training`")
    from benchmarks.routellm.features import Seen  # noqa: PLC0415 needs the packages above
    from benchmarks.routellm.gain import baseline  # noqa: PLC0415 needs the packages above
    from benchmarks.routellm.tables import read_table  # noqa: PLC0415 needs the packages above

    table = read_table(data_dir, "mmlu")
    if table is None:
        pytest.skip("the directory has no routellm_mmlu.parquet")
    held = table.keys % 2 == 0
    train, test = np.flatnonzero(~held)[:3_000], np.flatnonzero(held)
    empty = np.zeros((len(table.prompts), 1))
    seen = Seen(prompts=table.prompts, embedding=empty, shape=empty, answer=None, doubt=None)
    scores = baseline(table, seen, train=train, test=test)
    found = curve(scores, table.strong[test], table.weak[test])
    assert 0.60 < found.apgr < 0.75
    assert found.strong - found.weak > 0.1
