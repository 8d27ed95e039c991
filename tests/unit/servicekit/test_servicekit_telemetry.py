from __future__ import annotations

import json
import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from servicekit.logs import configure_logging
from servicekit.settings.serving import TelemetrySettings
from servicekit.telemetry import Telemetry, assemble_telemetry, start_telemetry


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_finished_spans_are_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "spans.jsonl"
    telemetry = start_telemetry("router_service", TelemetrySettings(file=str(path)))
    with telemetry.tracer.start_as_current_span("outer", attributes={"names": ["a", "b"]}) as outer:
        outer.add_event("happened", {"why": "so"})
        with telemetry.tracer.start_as_current_span("inner"):
            pass
    assert telemetry.shutdown()
    inner_line, outer_line = lines_of(path)
    assert (inner_line["name"], outer_line["name"]) == ("inner", "outer")
    assert inner_line["trace_id"] == outer_line["trace_id"]
    assert inner_line["parent_span_id"] == outer_line["span_id"]
    assert outer_line["parent_span_id"] == ""
    assert outer_line["attributes"] == {"names": ["a", "b"]}
    assert outer_line["events"][0]["name"] == "happened"
    assert outer_line["events"][0]["attributes"] == {"why": "so"}
    assert (outer_line["kind"], outer_line["service"], outer_line["status"]) == ("INTERNAL", "router_service", "UNSET")
    assert outer_line["start_unix_nano"] <= inner_line["start_unix_nano"] <= inner_line["end_unix_nano"] <= outer_line["end_unix_nano"]


def test_several_writers_share_a_file_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"

    def write(name: str) -> None:
        telemetry = start_telemetry(name, TelemetrySettings(file=str(path)))
        for _ in range(200):
            with telemetry.tracer.start_as_current_span("x" * 2_000):
                pass
        telemetry.shutdown()

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services = [line["service"] for line in lines_of(path)]
    assert sorted(services) == ["a"] * 200 + ["b"] * 200 + ["c"] * 200


def test_a_file_that_cannot_be_written_costs_spans_and_nothing_else(tmp_path: Path) -> None:
    telemetry = start_telemetry("x", TelemetrySettings(file=str(tmp_path)))
    with telemetry.tracer.start_as_current_span("lost"):
        pass
    assert telemetry.shutdown()


def test_a_span_file_does_not_grow_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b"x" * 4_096)
    telemetry = start_telemetry("x", TelemetrySettings(file=str(path), file_bytes_max=4_096))
    with telemetry.tracer.start_as_current_span("dropped"):
        pass
    assert telemetry.shutdown()
    assert path.stat().st_size == 4_096
    assert "span file is full" in caplog.text


def test_no_sampling_means_no_spans_but_a_callers_decision_counts(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    telemetry = assemble_telemetry("x", processors=[SimpleSpanProcessor(exporter)], sample_ratio=0.0)
    with telemetry.tracer.start_as_current_span("unsampled"):
        pass
    sampled = trace.SpanContext(trace_id=1, span_id=2, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))
    parent = trace.set_span_in_context(trace.NonRecordingSpan(sampled))
    with telemetry.tracer.start_as_current_span("sampled", context=parent):
        pass
    assert [span.name for span in exporter.get_finished_spans()] == ["sampled"]


def test_shutdown_does_not_wait_for_ever() -> None:
    hang = threading.Event()
    off = Telemetry.off()

    def stop() -> None:
        hang.wait()

    telemetry = Telemetry(off.tracer, off.meter, stop)
    assert telemetry.shutdown(timeout_s=0.01) is False
    hang.set()


def test_no_global_provider_is_set() -> None:
    start_telemetry("x", TelemetrySettings()).shutdown()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def product_logging() -> Generator[None]:
    """The logging of the product, in place of pytest's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging("judge_service", "info")
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_log_lines_are_json_with_the_ids_of_the_span(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = assemble_telemetry("x", processors=[])
    with product_logging():
        log = structlog.get_logger("test")
        log.debug("not shown")
        log.info("outside", count=3)
        with telemetry.tracer.start_as_current_span("s") as span:
            log.warning("inside")
            context = span.get_span_context()
    outside, inside = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (outside["event"], outside["count"], outside["level"], outside["service"]) == ("outside", 3, "info", "judge_service")
    assert "trace_id" not in outside
    assert inside["trace_id"] == trace.format_trace_id(context.trace_id)
    assert inside["span_id"] == trace.format_span_id(context.span_id)


def test_other_peoples_log_lines_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    with product_logging():
        logging.getLogger("somebody").info("hello %s", "world")
        logging.getLogger("httpx").info("HTTP Request: POST ...")
        structlog.get_logger("test").error("failed", exc_info=KeyError("why"))
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["logger"]) == ("hello world", "somebody")
    assert "KeyError: 'why'" in second["exception"]
