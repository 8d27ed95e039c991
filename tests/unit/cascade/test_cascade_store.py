"""The decision store: one set of tests on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cascade_service.adapters.decision_store import SqlDecisionStore, open_store
from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.chat import Message, Role, Usage
from cascade_service.domain.decision import Decision, DecisionStatus, Feedback
from cascade_service.domain.errors import DecisionNotFound, StoreUnavailable
from cascade_service.domain.events import Completed, DeliveryMode, PolicyKind
from cascade_service.domain.plan import AxisPrediction, ExcludedModel, ExclusionCause, LabelProbability, Taxonomy
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.verdict import CriterionScore, Defect, JudgeOutcome, JudgeStatus
from servicekit.settings.load import ConfigurationError
from tests.support.cascade import (
    NOW,
    ScriptedJudge,
    ScriptedLlm,
    ScriptedRouter,
    Stage,
    answer,
    ask,
    plan_of,
    verdict,
)
from tests.support.postgres import NoPostgres, running_postgres

SECRET_TEXT = "zebra-quartz"


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    try:
        with running_postgres() as url:
            yield url
    except NoPostgres as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite+aiosqlite:///{tmp_path}/below/decisions.sqlite3"


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlDecisionStore]:
    opened = await asyncio.to_thread(open_store, url, timeout_s=5.0)
    await opened.prepare()
    await opened.prepare()  # a second replica, or a restart
    yield opened
    await opened.aclose()


async def rich_decision(decision_id: str, *, record_text: bool = True) -> Decision:
    """A record that a real run made, with every optional part set somewhere."""
    outcomes = (
        JudgeOutcome(
            judge="llm",
            status=JudgeStatus.SCORED,
            score=0.25,
            explanation="it’s off",
            criteria=(CriterionScore("correctness", 0.5),),
            duration_s=0.125,
            cost_nano_usd=7,
            usage=Usage(input_tokens=3, output_tokens=1),
        ),
        JudgeOutcome(judge="checks", status=JudgeStatus.SKIPPED, defects=(Defect.REFUSED,)),
    )
    small = replace(verdict(0.3, cost=7), outcomes=outcomes, defects=(Defect.REFUSED,), stopped_early=True)
    axis = AxisPrediction(axis="domain", label="maths", probability=0.9, distribution=(LabelProbability("maths", 0.9),))
    plan = replace(
        plan_of("small", "large"),
        excluded=(ExcludedModel(model="huge", cause=ExclusionCause.COST_CEILING, detail="too dear"),),
        taxonomy=Taxonomy(axes=(axis,), clear=True, slow_weight=0.5),
    )
    models = [ScriptedLlm("small", answer("no\x00 é")), ScriptedLlm("large", answer(SECRET_TEXT))]
    stage = Stage(models, ScriptedJudge({"small": small, "large": verdict(0.9)}), router=ScriptedRouter(plan), record_text=record_text)
    certificate = RiskCertificate(wrong_max=0.1, confidence=0.9, threshold=0.7, calibration="cal-1", questions=500)
    policy = ThresholdPolicy(name="balanced", threshold=0.7, certificate=certificate)
    events = await stage.run(replace(ask(delivery=DeliveryMode.SPECULATIVE, policy=policy), decision_id=decision_id))
    assert isinstance(events[-1], Completed)
    return stage.store.saved[0]


async def test_a_record_comes_back_as_it_went_in(store: SqlDecisionStore) -> None:
    decision = await rich_decision("id-1")
    assert decision.risk is not None
    assert decision.completion is not None
    assert decision.completion.risk == decision.risk
    await store.save(decision)
    assert await store.get("id-1") == decision


async def test_a_record_with_parts_comes_back_as_it_went_in(store: SqlDecisionStore) -> None:
    stage = Stage([ScriptedLlm("small", answer("42"))], ScriptedJudge({"small": verdict(0.9)}), record_text=True)
    request = ask(messages=(Message(Role.USER, "1. What is 6 times 7?\n2. Who wrote Faust?"),), parts_max=8)
    await stage.run(replace(request, decision_id="id-parts"))
    (decision,) = stage.store.saved
    assert len(decision.parts) == 2
    await store.save(replace(decision, status=DecisionStatus.CANCELLED))
    await store.save(decision)
    assert await store.get("id-parts") == decision


async def test_a_record_without_anything_comes_back_too(store: SqlDecisionStore) -> None:
    decision = replace(
        await rich_decision("id-2"),
        status=DecisionStatus.FAILED,
        plan=None,
        attempts=(),
        completion=None,
        prompt_json=None,
        error_reason="ROUTER_UNAVAILABLE",
        trace_id="",
    )
    await store.save(decision)
    assert await store.get("id-2") == decision


async def test_a_later_record_replaces_an_earlier_one_and_keeps_its_feedback(store: SqlDecisionStore) -> None:
    decision = await rich_decision("id-3")
    await store.save(decision)
    opinion = Feedback(correct=True, rating=None, source="user", create_time=NOW)
    await store.add_feedback("id-3", opinion)
    cancelled = replace(decision, status=DecisionStatus.CANCELLED, completion=None)
    await store.save(cancelled)
    assert await store.get("id-3") == replace(cancelled, feedback=(opinion,))


async def test_feedback_comes_back_oldest_first(store: SqlDecisionStore) -> None:
    await store.save(await rich_decision("id-4"))
    opinions = [
        Feedback(correct=correct, rating=rating, source=source, create_time=NOW + timedelta(seconds=index))
        for index, (correct, rating, source) in enumerate([(False, None, ""), (None, 0.5, "réviewer"), (True, 1.0, "unit_tests")])
    ]
    for opinion in opinions:
        await store.add_feedback("id-4", opinion)
    assert list((await store.get("id-4")).feedback) == opinions


async def test_unknown_ids_are_told_apart_from_a_broken_store(store: SqlDecisionStore) -> None:
    with pytest.raises(DecisionNotFound):
        await store.get("nobody")
    with pytest.raises(DecisionNotFound):
        await store.add_feedback("nobody", Feedback(correct=True, rating=None, source="", create_time=NOW))


async def test_many_writers_at_once(store: SqlDecisionStore) -> None:
    decision = await rich_decision("id-5")
    many = [replace(decision, decision_id=f"many-{number}") for number in range(30)]
    await asyncio.gather(*(store.save(one) for one in many))
    assert await asyncio.gather(*(store.get(one.decision_id) for one in many)) == many


async def test_no_text_reaches_the_file_unless_switched_on(tmp_path: Path) -> None:
    async def file_after(*, record_text: bool) -> bytes:
        path = tmp_path / f"{record_text}.sqlite3"
        store = await asyncio.to_thread(open_store, f"sqlite+aiosqlite:///{path}", timeout_s=5.0)
        await store.prepare()
        await store.save(await rich_decision("id", record_text=record_text))
        await store.aclose()
        return await asyncio.to_thread(contents, path)

    def contents(path: Path) -> bytes:
        return b"".join(part.read_bytes() for part in tmp_path.glob(f"{path.name}*"))

    assert SECRET_TEXT.encode() not in await file_after(record_text=False)
    assert SECRET_TEXT.encode() in await file_after(record_text=True)


async def test_a_saved_record_is_committed_and_the_file_is_in_wal_mode(tmp_path: Path) -> None:
    store = await asyncio.to_thread(open_store, f"sqlite+aiosqlite:///{tmp_path}/d.sqlite3", timeout_s=5.0)
    await store.prepare()
    await store.save(await rich_decision("id"))

    def other_process() -> tuple[str, int]:
        with sqlite3.connect(tmp_path / "d.sqlite3") as connection:
            rows = connection.execute("select count(*) from decisions").fetchone()[0]
            mode = connection.execute("pragma journal_mode").fetchone()[0]
        connection.close()
        return mode, rows

    assert await asyncio.to_thread(other_process) == ("wal", 1)
    await store.aclose()


@pytest.mark.parametrize("broken_url", ["sqlite+aiosqlite:////proc/nowhere.sqlite3", "postgresql+asyncpg://x:any@/y?host=/nonexistent"])
async def test_a_store_that_is_not_there_is_unavailable(broken_url: str) -> None:
    store = await asyncio.to_thread(open_store, broken_url, timeout_s=0.5)
    with pytest.raises(StoreUnavailable):
        await store.prepare()
    with pytest.raises(StoreUnavailable):
        await store.check()
    await store.aclose()


@pytest.mark.parametrize(
    ("wrong_url", "told"),
    [
        ("no url at all s3cret", "not a SQLAlchemy URL"),
        ("mysql+aiomysql://u:s3cret@h/d", "mysql+aiomysql"),
        ("sqlite+aiosqlite:////proc/s/decisions.sqlite3", "/proc/s"),
    ],
)
def test_a_url_that_can_not_work_is_a_configuration_error_without_its_password(wrong_url: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(wrong_url, timeout_s=1.0)
    assert "cascade.store.url" in str(caught.value)
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_table_of_an_earlier_version_gets_the_columns_that_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "decisions.sqlite3"
    old = await rich_decision("old")
    store = await asyncio.to_thread(open_store, f"sqlite+aiosqlite:///{path}", timeout_s=5.0)
    await store.prepare()
    await store.save(old)
    await store.aclose()
    await asyncio.to_thread(_drop_columns, path, "policy_kind", "answer_worth_nano_usd")
    store = await asyncio.to_thread(open_store, f"sqlite+aiosqlite:///{path}", timeout_s=5.0)
    await store.prepare()
    assert await store.get("old") == old
    weighed = replace(old, decision_id="new", policy_kind=PolicyKind.VALUE, answer_worth_nano_usd=10**15)
    await store.save(weighed)
    assert await store.get("new") == weighed
    await store.aclose()


def _drop_columns(path: Path, *names: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for name in names:
            connection.execute(f"ALTER TABLE decisions DROP COLUMN {name}")
        connection.commit()
