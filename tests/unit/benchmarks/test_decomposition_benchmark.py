"""The benchmark of decomposition on questions whose results are known by construction, and the splitter on all recorded questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs the extra `recorded`")

from benchmarks.decision_quality.pools import DEFINED, Pool
from benchmarks.decision_quality.recordings import Answer, Question, read_questions
from benchmarks.decision_quality.replay import SilentJudge
from benchmarks.decomposition.compose import FORMS, Compound, compose
from benchmarks.decomposition.measure import pair, row
from benchmarks.decomposition.play import Method, play, play_single
from benchmarks.decomposition.report import Report, markdown
from cascade_service.domain import ports as cascade_ports
from cascade_service.domain.decomposition.rule_splitter import split_by_rules
from cascade_service.domain.plan import Plan, PlannedModel

FALSE_SPLITS_MAX = 0.002
"""Share of single questions; 0.0008 when it was measured."""
RECOVERED_MIN = {"numbered": 0.93, "Question n:": 0.93, "lettered": 0.93, "paragraphs": 0.0}
"""Shares of composed requests; the numbers are in docs/decomposition.md."""


class ByTask:
    """Plans the endpoint that is good at the part's task, and the dear one for a request of many tasks."""

    def __init__(self, compound: Compound, part: int | None) -> None:
        self._name = "dear" if part is None else f"cheap-{compound.questions[part].task}"

    async def route(self, question: cascade_ports.RouteQuestion, *, timeout_s: float) -> Plan:
        return Plan(models=(PlannedModel(model=self._name),))


def pool_of(tasks: Sequence[str], count: int) -> Pool:
    """Two cheap endpoints that are each good at one task only, and a dear one that is good at all."""
    questions = tuple(
        Question(
            id=f"q{index:03}",
            arena="a",
            task=tasks[index % len(tasks)],
            text=f"What is number {index} of {tasks[index % len(tasks)]}?",
            prompt=f"What is number {index} of {tasks[index % len(tasks)]}?",
            prompt_tokens=9,
            split="dev",
        )
        for index in range(count)
    )

    def answer(question: Question, model: str) -> Answer:
        right = model == "dear" or model.endswith(question.task)
        return Answer(
            model=model, text=question.id, right=right, cost_nano_usd=100 if model == "dear" else 1, output_tokens=1, truncated=False
        )

    endpoints = ("dear", *(f"cheap-{task}" for task in tasks))
    return Pool("p", endpoints, questions, tuple(tuple(answer(question, name) for name in endpoints) for question in questions), {})


@pytest.fixture
def compounds() -> list[Compound]:
    return compose(pool_of(("code", "law"), 60), count=20, forms=["numbered", "lettered"])


def test_requests_are_drawn_by_hash_of_different_tasks(compounds: list[Compound]) -> None:
    assert compounds == compose(pool_of(("code", "law"), 60), count=20, forms=["numbered", "lettered"])
    assert len(compounds) == 20
    used = [member for compound in compounds for member in compound.members]
    assert len(used) == len(set(used))
    assert all(len({question.task for question in compound.questions}) == len(compound.questions) >= 2 for compound in compounds)


def method(*, decompose: bool) -> Method:
    return Method(judge=SilentJudge(), router=ByTask, threshold=0.0, models_max=1, decompose=decompose)


async def test_split_requests_cost_and_score_what_was_recorded_for_their_parts(compounds: list[Compound]) -> None:
    split, whole = await play(compounds, method(decompose=True), label=""), await play(compounds, method(decompose=False), label="")
    dear = play_single(compounds, 0)
    cheap = play_single(compounds, 1)
    assert split.split.all()
    assert not whole.split.any()
    assert split.right.all()
    assert whole.right.tolist() == dear.right.tolist()
    assert whole.cost_usd == pytest.approx(dear.cost_usd)
    assert split.cost_usd == pytest.approx([len(compound.members) / 1e9 for compound in compounds])
    assert not cheap.right.any()
    assert cheap.share_right == pytest.approx([1 / len(compound.members) for compound in compounds])
    compared = pair("p", "by task", floor=1.0, split=[("s", split)], whole=[("w", whole)], best=dear)
    assert compared is not None
    assert compared.saving == pytest.approx(0.99)
    assert pair("p", "by task", floor=1.0, split=[("s", split)], whole=[("w", cheap)], best=dear) is None
    rows = [row("p", split, dear, method="m", setting="s")]
    assert (rows[0].delta, rows[0].cost_ratio) == (pytest.approx(0.0), pytest.approx(0.01))
    assert "| 99% (99% to 99%) |" in markdown(Report(rows=rows, pairs=[compared], recovery=[], false_splits=[]))


def recorded_pool(questions: Sequence[Question], arenas: Sequence[str]) -> Pool:
    own = tuple(question for question in questions if question.arena in arenas and question.split == "dev")
    return Pool(arenas[0], (), own, tuple(() for _ in own), {})


def test_composed_recordings_are_split_as_composed_and_single_ones_are_left_alone(data_dir: Path) -> None:
    questions = read_questions(data_dir)
    split = [question.id for question in questions if split_by_rules(question.text, parts_max=8).parts]
    assert len(split) <= FALSE_SPLITS_MAX * len(questions)
    assert not any(split_by_rules(question.prompt, parts_max=8).parts for question in questions)
    for name in ("core", "rgym_easy"):
        pool = recorded_pool(questions, DEFINED[name].arenas)
        for form, least in RECOVERED_MIN.items():
            compounds = compose(pool, count=200, forms=[form])
            found = [[part.text for part in split_by_rules(compound.asked, parts_max=8).parts] for compound in compounds]
            wanted = [[question.text.strip() for question in compound.questions] for compound in compounds]
            assert sum(ours == theirs for ours, theirs in zip(found, wanted, strict=True)) >= least * len(compounds), (name, form)
            assert all(ours in ([], theirs) for ours, theirs in zip(found, wanted, strict=True)), "split otherwise than composed"
    assert RECOVERED_MIN.keys() == FORMS.keys()
