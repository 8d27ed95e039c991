"""The span tree is rebuilt from the file of spans."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from emafusion_cli.ports import free_ports
from emafusion_cli.span_tree import draw
from emafusion_cli.spans import forest, spans_of
from rich.console import Console

from servicekit import semconv
from tests.support.command_line import minimal_configuration, run_command

TRACE = "ab" * 16


def _span(span_id: str, parent: str, name: str, *, service: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    ms = 1_000_000
    return {
        "trace_id": TRACE,
        "span_id": span_id,
        "parent_span_id": parent,
        "name": name,
        "kind": "INTERNAL",
        "service": service,
        "start_unix_nano": start * ms,
        "end_unix_nano": end * ms,
        "status": "UNSET",
        "attributes": {},
        "events": [],
        **more,
    }


def _sample() -> list[dict[str, Any]]:
    escalated = {
        "name": semconv.EVENT_CASCADE_ESCALATED,
        "time_unix_nano": 60_000_000,
        "attributes": {semconv.EMAFUSION_CASCADE_REASON: "low_confidence", semconv.EMAFUSION_CASCADE_CONFIDENCE: 0.31234},
    }
    answer = {semconv.EMAFUSION_CASCADE_DECISION_ID: "d1", semconv.EMAFUSION_CASCADE_OUTCOME: "accepted"}
    failed = {semconv.ERROR_TYPE: "timeout"}
    return [
        _span("4", "1", "chat large", service="cascade_service", start=61, end=90, status="ERROR", attributes=failed),
        _span("3", "2", "encode", service="router_service", start=6, end=9),
        _span("2", "1", "Route", service="router_service", start=5, end=10),
        _span("1", "", "StreamComplete", service="cascade_service", start=0, end=1500, attributes=answer, events=[escalated]),
        {**_span("9", "", "StreamComplete", service="cascade_service", start=0, end=1), "trace_id": "cd" * 16},
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spans.jsonl"
    lines = [json.dumps(span) for span in _sample()]
    path.write_text("\n".join([*lines, "", '{"trace_id": "half a li']) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("key", [TRACE, TRACE.upper(), "d1"])
def test_spans_are_found_by_trace_or_decision(file: Path, key: str) -> None:
    assert [span.span_id for span in spans_of(file, key)] == ["1", "2", "3", "4"]


def test_unknown_ids_have_no_spans(file: Path) -> None:
    assert spans_of(file, "d2") == []


def test_the_tree_follows_the_parents(file: Path) -> None:
    (root,) = forest(spans_of(file, "d1"))
    assert (root.span.name, [child.span.name for child in root.children]) == ("StreamComplete", ["Route", "chat large"])
    assert [child.span.name for child in root.children[0].children] == ["encode"]


def test_a_span_without_its_parent_is_a_root(file: Path) -> None:
    spans = [span for span in spans_of(file, "d1") if span.span_id != "1"]
    assert [root.span.name for root in forest(spans)] == ["Route", "chat large"]


def test_the_drawing_shows_order_durations_attributes_and_events(file: Path) -> None:
    drawn = StringIO()
    Console(width=200, file=drawn).print(draw(spans_of(file, "d1")))
    lines = drawn.getvalue().splitlines()
    assert lines[0] == f"trace {TRACE}: 4 spans in cascade_service, router_service"
    assert "StreamComplete 1.50 s" in lines[1]
    assert "outcome=accepted" in lines[1]
    assert ["Route" in lines[2], "encode" in lines[3]] == [True, True]
    assert "+60.0 ms ◆" in lines[4]
    assert "reason=low_confidence confidence=0.3123" in lines[4]
    assert "chat large 29.0 ms" in lines[5]
    assert "type=timeout" in lines[5]


def test_the_command_draws_spans_while_the_services_are_down(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = minimal_configuration(file.parent, port=free_ports(1)[0])
    drawn = run_command(capsys, "trace", "d1", "--config", config)
    assert (drawn.exit_code, "chat large" in drawn.out) == (0, True)
    listed = run_command(capsys, "trace", "d1", "--config", config, "--json")
    assert [span["span_id"] for span in json.loads(listed.out)["spans"]] == ["1", "2", "3", "4"]
    unknown = run_command(capsys, "trace", "d2", "--config", config)
    assert unknown.exit_code == 1
    assert "neither a trace nor a decision is known under d2" in unknown.err
    assert "Traceback" not in unknown.err
