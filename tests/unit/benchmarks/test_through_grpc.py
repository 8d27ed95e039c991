"""The comparison of the decision benchmark with the services, on recorded answers that are known by construction."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.decision_quality import __main__ as command
from benchmarks.decision_quality.deciders import open_deciders
from benchmarks.decision_quality.known import known_from
from benchmarks.decision_quality.pools import PoolDefinition, build_pool
from benchmarks.decision_quality.recordings import read_recordings
from benchmarks.decision_quality.sides import Given, sample_of
from benchmarks.decision_quality.through_grpc import Agreement, Difference, compare_pool, table, write_agreements
from router_service.adapters.onnx_encoder import SentenceEncoder
from router_service.adapters.suitability_artifact import read_suitability
from tests.support.suite import REPOSITORY
from tests.support.sums import write_sums

ARTIFACTS = REPOSITORY / "artifacts"
SUMS = PoolDefinition(name="sums", arenas=("sums",))
GIVEN = Given(models=("tiny", "large"), outcome="accepted", model="large", confidence=0.9, cost_nano_usd=14, text_sha256="a")


@pytest.mark.parametrize(
    ("other", "agrees"),
    [
        (GIVEN, True),
        (replace(GIVEN, confidence=0.9 + 1e-12), True),
        (replace(GIVEN, confidence=0.9 + 1e-6), False),
        (replace(GIVEN, confidence=None), False),
        (replace(GIVEN, models=("large", "tiny")), False),
        (replace(GIVEN, cost_nano_usd=15), False),
        (replace(GIVEN, outcome="best_seen"), False),
        (replace(GIVEN, text_sha256="b"), False),
    ],
)
def test_everything_must_agree_but_rounding(other: Given, agrees: bool) -> None:
    assert GIVEN.agrees(other) is agrees


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return open_deciders(ARTIFACTS).encoder


def test_a_sample_is_priced_by_tokens_and_has_no_prompt_twice(tmp_path: Path, encoder: SentenceEncoder) -> None:
    pool = build_pool(SUMS, read_recordings(write_sums(tmp_path), SUMS.arenas, texts_of="dev")).part("dev")
    doubled = replace(pool, questions=(*pool.questions, *pool.questions), answers=(*pool.answers, *pool.answers))
    sample = sample_of(doubled, 1000, encoder)
    assert sample.pool.questions == pool.questions
    assert {answer.cost_nano_usd for row in sample.pool.answers for answer in row} == {14_000}, "9 and 5 tokens at 1 USD per million"
    assert len(sample_of(pool, 3, encoder).pool.questions) == 3


def test_a_model_may_write_its_longest_answer(tmp_path: Path, encoder: SentenceEncoder) -> None:
    pool = build_pool(SUMS, read_recordings(write_sums(tmp_path), SUMS.arenas, texts_of="dev")).part("dev")
    longer = tuple(tuple(replace(answer, output_tokens=5_000) for answer in row) for row in pool.answers)
    assert sample_of(pool, 3, encoder).models["tiny"].max_output_tokens == 4096
    assert sample_of(replace(pool, answers=longer), 3, encoder).models["tiny"].max_output_tokens == 5_000


def test_the_services_decide_as_the_benchmark_does_and_a_difference_shows(tmp_path: Path) -> None:
    """One question is answered otherwise in what the services replay: it differs, and all others agree."""
    data, served = tmp_path / "data", tmp_path / "served"
    data.mkdir()
    served.mkdir()
    write_sums(data)
    write_sums(served, wrong_anyway=frozenset({"q12"}))
    pool = build_pool(SUMS, read_recordings(data, SUMS.arenas, texts_of="dev"))
    measured = pool.part("dev")
    known = known_from(pool.part("train"), measured, read_suitability(ARTIFACTS / "suitability"))
    kept = [index for index, question in enumerate(measured.questions) if question.id in {"q04", "q06", "q12"}]
    some = replace(
        measured, questions=tuple(measured.questions[index] for index in kept), answers=tuple(measured.answers[index] for index in kept)
    )
    found = compare_pool(some, "dev", known, open_deciders(ARTIFACTS), data=served, count=3)
    assert [(row.n, row.agree, [difference.question for difference in row.differ]) for row in found] == [(3, 2, ["q12"])] * 3
    assert all(len(difference.in_process.models) >= 1 for row in found for difference in row.differ)


def test_a_request_that_nobody_answers_fails_alike(tmp_path: Path) -> None:
    data = write_sums(tmp_path)
    definition = replace(SUMS, models=("mute",))
    pool = build_pool(definition, read_recordings(data, SUMS.arenas, texts_of="dev"))
    known = known_from(pool.part("train"), pool.part("dev"), read_suitability(ARTIFACTS / "suitability"))
    found = compare_pool(pool.part("dev"), "dev", known, open_deciders(ARTIFACTS), data=data, count=1)
    assert [(row.n, row.agree) for row in found] == [(1, 1)] * 3


DIFFERENCE = Difference(question="q00", in_process=GIVEN, through_grpc=replace(GIVEN, model="tiny"))


def an_agreement(*differ: Difference) -> Agreement:
    return Agreement(pool="sums", split="dev", setting="value λ 0.05", n=4, agree=4 - len(differ), attempts=2.0, differ=differ)


def test_the_report_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"rows": [1]}')
    write_agreements(tmp_path, [an_agreement(DIFFERENCE)])
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["rows"] == [1]
    assert written["through_grpc"][0]["agree"] == 3
    assert written["through_grpc"][0]["differ"][0]["question"] == "q00"
    assert written["through_grpc"][0]["differ"][0]["in_process"] == {**asdict(GIVEN), "models": ["tiny", "large"]}
    assert "q00" in table([an_agreement(DIFFERENCE)])


@pytest.mark.parametrize(("differ", "code"), [((), 0), ((DIFFERENCE,), 1)])
def test_a_difference_is_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differ: tuple[Difference, ...], code: int) -> None:
    (tmp_path / "pool.json").write_text(json.dumps({"name": "sums", "arenas": ["sums"]}))
    write_sums(tmp_path)

    def compared(*_: object, **__: object) -> list[Agreement]:
        return [an_agreement(*differ)]

    monkeypatch.setattr(command, "compare_pool", compared)
    words = ["--data", str(tmp_path), "--pool", str(tmp_path / "pool.json"), "--through-grpc", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["decision_quality", *words, "--artifacts", str(ARTIFACTS)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == code
