"""The real command line, real processes and real local models: up, ask, trace, feedback, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from emafusion_cli.catalogue import CATALOGUE
from emafusion_cli.state import RunningStack, read_state
from emafusion_cli.weights import ModelStore, models_directory

from servicekit.settings.process import process_environment

ROOT = Path(__file__).parents[3]
SERVICES = {"router_service", "judge_service", "cascade_service"}
READY_S = 240
CALL_S = 240
TRACE_POLLS = 10

# The grammar of event.proto, with one letter per event.
LETTERS = {
    "routed": "r",
    "attempt_started": "a",
    "delta": "d",
    "judged": "j",
    "committed": "c",
    "retracted": "x",
    "escalated": "e",
    "completed": "z",
}
GRAMMAR = re.compile(r"r(ad*j?(c|x?e?))*(d+)?c?z")

pytestmark = [pytest.mark.local_models, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class Up:
    """A running `emafusion up`, and the folder of its configuration."""

    process: subprocess.Popen[str]
    folder: Path

    def stack(self) -> RunningStack:
        stack = read_state(self.folder)
        assert stack is not None
        return stack

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "emafusion_cli", *arguments, "--config", str(self.folder / "emafusion.yaml")]
        done = subprocess.run(command, env=_environ(), capture_output=True, text=True, timeout=CALL_S, check=False)  # noqa: S603 our own command
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("ask", "--json", *arguments).splitlines()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(READY_S)


def _environ() -> dict[str, str]:
    """This process's environment without overrides, and without keys, so that no hosted model is ever asked."""
    kept = {
        name: value for name, value in process_environment().items() if not name.startswith("EMAFUSION__") and not name.endswith("_API_KEY")
    }
    return {**kept, "EMAFUSION__ARTIFACTS__DIRECTORY": str(ROOT / "artifacts"), "PYTHONUNBUFFERED": "1"}


def _start(folder: Path) -> Up:
    store = ModelStore(models_directory(process_environment()))
    if absent := [weights.name for weights in CATALOGUE if not store.present(weights)]:
        pytest.skip(f"needs `emafusion models pull {' '.join(absent)}`")
    shutil.copy(ROOT / "emafusion.yaml", folder)
    command = [sys.executable, "-m", "emafusion_cli", "up", "--ports", "auto", "--config", str(folder / "emafusion.yaml")]
    with (folder / "up.err").open("w") as err:
        process = subprocess.Popen(command, env=_environ(), stdout=subprocess.PIPE, stderr=err, text=True)  # noqa: S603 our own command
    assert process.stdout is not None
    line = process.stdout.readline()
    if "Everything is ready" not in line:
        process.stdout.close()
        process.terminate()
        process.wait(READY_S)
        pytest.fail((folder / "up.err").read_text())
    return Up(process, folder)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    running = _start(tmp_path_factory.mktemp("up"))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
        if running.process.stdout:
            running.process.stdout.close()


def _grammatical(events: list[dict[str, Any]]) -> bool:
    return GRAMMAR.fullmatch("".join(LETTERS[event["event"]] for event in events)) is not None


def _committed_text(events: list[dict[str, Any]]) -> str:
    covered = {(event["attempt"], event["through_sequence"]) for event in events if event["event"] == "committed"}
    withdrawn = [(event["attempt"], event["from_sequence"]) for event in events if event["event"] == "retracted"]

    def final(delta: dict[str, Any]) -> bool:
        attempt, sequence = delta["attempt"], delta["sequence"]
        gone = any(attempt == one and sequence >= start for one, start in withdrawn)
        return not gone and any(attempt == one and sequence <= through for one, through in covered)

    return "".join(event["text"] for event in events if event["event"] == "delta" and final(event))


def _traced(up: Up, decision: str) -> dict[str, Any]:
    """The trace of the decision. Services write their spans a moment after the answer, so it is asked for until all have."""
    document: dict[str, Any] = {}
    for _ in range(TRACE_POLLS):
        document = json.loads(up.run("trace", decision, "--json"))
        if {span["service"] for span in document["spans"]} == SERVICES:
            break
    return document


def test_an_accepted_answer_is_streamed_recorded_and_traced_over_three_services(up: Up) -> None:
    events = up.ask("What is the capital of France? Answer with one word.", "--threshold", "0")
    assert _grammatical(events)
    completion = events[-1]["completion"]
    first = events[0]["plan"]["models"][0]["model"]
    assert (completion["outcome"], completion["model"], len(completion["attempts"])) == ("accepted", first, 1)
    assert completion["text"] == _committed_text(events) != ""
    assert completion["usage"]["output_tokens"] > 0
    assert completion["cost_nano_usd"] > 0

    document = _traced(up, completion["decision_id"])
    spans = document["spans"]
    assert {span["service"] for span in spans} == SERVICES
    assert {span["trace_id"] for span in spans} == {completion["trace_id"]}
    names = [span["name"] for span in spans]
    assert {f"chat {first}", "encode", "classify", "judge checks"} <= set(names)
    roots = [span for span in spans if not span["parent_span_id"]]
    assert [root["name"] for root in roots] == ["emafusion.cascade.v1.CascadeService/StreamComplete"]
    assert document["decision"]["status"] == "completed"
    assert document["decision"]["prompt_json"] is None
    assert completion["decision_id"] in up.run("trace", completion["trace_id"])


@pytest.mark.parametrize("delivery", ["buffered", "speculative"])
def test_an_answer_that_is_never_good_enough_escalates(up: Up, delivery: str) -> None:
    ladder = "smollm2-135m,qwen2.5-coder-0.5b"
    events = up.ask("What is 12 * 12? Answer with a number only.", "--models", ladder, "--threshold", "1", "--delivery", delivery)
    assert _grammatical(events)
    assert [event["model"] for event in events if event["event"] == "attempt_started"] == ladder.split(",")
    (escalated,) = [event for event in events if event["event"] == "escalated"]
    assert (escalated["threshold"], escalated["next_model"]) == (1.0, "qwen2.5-coder-0.5b")
    completion = events[-1]["completion"]
    assert (completion["outcome"], len(completion["attempts"])) == ("best_seen", 2)
    assert completion["text"] == _committed_text(events) != ""


def test_the_router_plans_and_the_judges_judge(up: Up) -> None:
    plan = json.loads(up.run("route", "--json", "What is the capital of France?"))["plan"]
    assert plan["models"]
    assert {model["model"] for model in plan["models"]} <= {weights.name for weights in CATALOGUE}
    assert {excluded["cause"] for excluded in plan["excluded"] if excluded["model"] == "gpt-4.1-mini"} == {"disabled"}
    judged = json.loads(up.run("judge", "--json", "What is the capital of France?", "Paris", ""))
    good, empty = (outcome["result"] for outcome in judged["outcomes"])
    assert good["confidence"] > empty["confidence"]
    assert "empty" in empty["defects"]


def test_feedback_is_recorded_with_the_decision(up: Up) -> None:
    events = up.ask("Say hello.", "--models", "smollm2-135m", "--threshold", "0")
    decision = events[-1]["completion"]["decision_id"]
    up.run("feedback", decision, "--wrong", "--source", "e2e")
    document = json.loads(up.run("trace", decision, "--json"))
    assert [(entry["correct"], entry["source"]) for entry in document["decision"]["feedback"]] == [(False, "e2e")]


def test_doctor_sees_everything_running(up: Up) -> None:
    findings = json.loads(up.run("doctor", "--json"))
    running = [finding for finding in findings if finding["subject"].startswith("process ")]
    assert len(running) == 6
    assert {finding["grade"] for finding in running} == {"good"}


def test_nothing_is_left_behind(up: Up) -> None:
    pids = [process.pid for process in up.stack().processes]
    assert len(pids) == 6
    assert up.stop() == 0
    assert not any(_alive(pid) for pid in pids)
    assert read_state(up.folder) is None


def test_the_end_of_one_process_ends_all(tmp_path: Path) -> None:
    up = _start(tmp_path)
    pids = {process.name: process.pid for process in up.stack().processes}
    os.kill(pids["judge"], signal.SIGKILL)
    assert up.process.wait(READY_S) == 1
    assert not any(_alive(pid) for pid in pids.values())
    assert "judge (pid" in (tmp_path / "up.err").read_text()
    assert up.process.stdout is not None
    up.process.stdout.close()
