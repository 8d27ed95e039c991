"""The whole recorder against a provider in this process: asks, is interrupted by failures, goes on, labels, and its readers read it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.upstream import Exchange, FakeUpstream, answers, answers_when, fails

pytest.importorskip("pyarrow", reason="needs the extra `recorded`")

from benchmarks.decision_quality.pools import build_pool, pool_named
from benchmarks.decision_quality.recordings import read_recordings
from providers.recording import Recording
from servicekit.settings.process import process_environment
from training.panel_recording import cheapest_first, read_recording
from training.tables import read_outcomes, read_questions

QUESTIONS: list[dict[str, Any]] = [
    {"question_id": f"sum-{n}", "question": f"What is {n} + 1?", "reference": n + 1, "domain": "math", "split": "dev" if n % 2 else "train"}
    for n in range(6)
]


async def adds(exchange: Exchange) -> None:
    """`large` is right, `small` is right up to 3 and then off by one."""
    body = exchange.request.body
    number = int(body["messages"][0]["content"].split()[2])
    total = number + (1 if body["model"] == "large" or number < 3 else 2)
    await answers("The sum is ", f"{total}.", input_tokens=20, logprob=-0.25)(exchange)


def configuration(folder: Path, endpoint: str) -> Path:
    models = [
        {
            "name": name,
            "provider": "openai_compatible",
            "endpoint": endpoint,
            "price": {"input_usd_per_mtok": price, "output_usd_per_mtok": price},
            "capabilities": ["logprobs"],
            "retry": {"attempts_max": 1},
        }
        for name, price in (("small", 1.0), ("large", 10.0))
    ]
    path = folder / "emafusion.yaml"
    path.write_text(yaml.safe_dump({"models": models}), encoding="utf-8")
    return path


async def record(
    folder: Path,
    endpoint: str,
    *arguments: str,
    questions: Sequence[dict[str, Any]] = QUESTIONS,
    command: Sequence[str] = ("training.record",),
    interrupt: Callable[[int], Awaitable[None]] | None = None,
) -> tuple[int, str, str]:
    config = await asyncio.to_thread(configuration, folder, endpoint)
    lines = "".join(f"{json.dumps(question)}\n" for question in questions)
    await asyncio.to_thread((folder / "questions.jsonl").write_text, lines)
    # As a process group of its own, as a terminal runs it: it must end by itself and take its signals.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--config", str(config), "--out", str(folder / "own"), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(process_environment()),
        start_new_session=True,
    )
    if interrupt is not None:
        await interrupt(process.pid)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


ASK = ("--models", "small,large", "--max-output-tokens", "16")


async def test_a_recording_goes_on_where_it_failed_and_its_readers_read_it(tmp_path: Path) -> None:
    asking = ("--questions", str(tmp_path / "questions.jsonl"), *ASK)
    async with FakeUpstream(fails(500), default=adds) as upstream:
        first = await record(tmp_path, upstream.base_url, *asking, command=("emafusion_cli", "record"))
        assert (first[0], len(upstream.requests)) == (1, 12), first
        assert "failed: " in first[2]
        assert "The same command again asks for what is missing." in first[2]
        second = await record(tmp_path, upstream.base_url, *asking)
        assert (second[0], len(upstream.requests)) == (0, 13), second
    await asyncio.to_thread(_check_readers, tmp_path / "own")
    found = await Recording(tmp_path / "own" / "responses.parquet").find("large", ["What is 4 + 1?"])
    assert found is None, "models are announced first"
    recording = Recording(tmp_path / "own" / "responses.parquet")
    recording.announce("large")
    found = await recording.find("large", ["What is 4 + 1?"])
    assert found is not None
    assert (found.text, found.input_tokens, found.completion_tokens) == ("The sum is 5.", 20, 2)


def _check_readers(own: Path) -> None:
    assert [question["split"] for question in read_questions(own)] == ["train", "dev"] * 3
    outcomes = read_outcomes(own)
    right = {(q, m): c for q, m, c in zip(outcomes["question_id"], outcomes["model"], outcomes["correct"], strict=True)}
    assert {key for key, correct in right.items() if not correct} == {(f"sum-{n}", "small") for n in (3, 4, 5)}
    definition = pool_named(str(own / "pool.json"))
    pool = build_pool(definition, read_recordings(own, definition.arenas, texts_of="dev")).part("dev")
    assert (pool.endpoints, len(pool.questions)) == (("large", "small"), 3)
    assert pool.cost.mean(axis=0).tolist() == pytest.approx([220e-6, 22e-6])
    rows = read_recording(own, {"train"})
    assert cheapest_first(rows) == ("small", "large")
    assert {row.row.logprobs.mean for row in rows if row.row.logprobs} == {-0.25}


async def test_a_ceiling_ends_the_asking_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    asking = ("--questions", str(tmp_path / "questions.jsonl"), *ASK)
    async with FakeUpstream(default=adds) as upstream:
        low = await record(tmp_path, upstream.base_url, *asking, "--cost-max-usd", "0.0005")
        asked = len(upstream.requests)
        assert low[0] == 1
        assert "(cost ceiling)" in low[2]
        assert asked < 12
        high = await record(tmp_path, upstream.base_url, *asking, "--cost-max-usd", "1")
        assert (high[0], len(upstream.requests)) == (0, 12)


async def test_a_strong_model_and_a_verifier_label_what_has_no_reference(tmp_path: Path) -> None:
    bare = [{name: value for name, value in question.items() if name != "reference"} for question in QUESTIONS]
    asking = ("--questions", str(tmp_path / "questions.jsonl"), "--models", "small")
    async with FakeUpstream(default=adds) as upstream:
        strong = await record(
            tmp_path, upstream.base_url, *asking, "--label", "references", "--label", "strong", "--strong-model", "large", questions=bare
        )
        assert (strong[0], len(upstream.requests)) == (0, 12), strong
        labels = await asyncio.to_thread(_labels, tmp_path / "own")
        assert labels == [(True, "strong: large")] * 3 + [(False, "strong: large")] * 3
        verifier = f"{sys.executable} -c \"import json, sys; sys.exit('5' in json.load(sys.stdin)['answer'])\""
        command = await record(tmp_path, upstream.base_url, "--label", "command", verifier, questions=bare)
        assert (command[0], len(upstream.requests)) == (0, 12), command
    labels = await asyncio.to_thread(_labels, tmp_path / "own")
    assert labels == [(n != 3, f"command: {verifier}") for n in range(6)]


def _labels(own: Path) -> list[tuple[bool, str]]:
    pq: Any = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = pq.read_table(own / "responses.parquet").to_pylist()
    return [(row["correct"], row["label_source"]) for row in rows]


async def test_an_interrupt_lets_the_call_in_flight_finish_and_keeps_its_answer(tmp_path: Path) -> None:
    gate = asyncio.Event()
    asking = ("--questions", str(tmp_path / "questions.jsonl"), "--models", "small", "--concurrency", "1")
    async with FakeUpstream(answers_when(gate, "The sum is 1."), default=adds) as upstream:

        async def interrupt(group: int) -> None:
            await upstream.arrived.wait()
            os.killpg(group, signal.SIGINT)
            await asyncio.sleep(0.5)  # the signal overtakes the answer
            gate.set()

        stopped = await record(tmp_path, upstream.base_url, *asking, command=("emafusion_cli", "record"), interrupt=interrupt)
        assert (stopped[0], len(upstream.requests)) == (130, 1), stopped
        assert "finishing the calls in flight" in stopped[2]
        assert "not asked: 5 answers of small (stopped)" in stopped[2]
        finished = await record(tmp_path, upstream.base_url, *asking)
        assert (finished[0], len(upstream.requests)) == (0, 6), finished
