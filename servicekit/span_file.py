"""Finished spans as JSON lines in a file, for running without a collector.

Each span is one line, written with a single append, so that several processes can share the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import format_span_id, format_trace_id

_log = structlog.get_logger(__name__)


class SpanFileExporter(SpanExporter):
    """Appends spans to a file; makes it and its folder when the first span comes. Blocks, so it belongs behind a batch processor.

    Once the file has ``bytes_max`` bytes, spans are dropped; a batch that is under way is still written.
    """

    def __init__(self, path: Path, *, service: str, bytes_max: int) -> None:
        self._path = path
        self._service = service
        self._bytes_max = bytes_max
        self._descriptor: int | None = None
        self._full = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Writes one line per span. A failed write loses the spans of the batch and nothing else."""
        try:
            descriptor = self._open()
            if self._is_full(descriptor):
                return SpanExportResult.FAILURE
            for span in spans:
                os.write(descriptor, span_line(span, service=self._service))
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Closes the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_full(self, descriptor: int) -> bool:
        full = os.fstat(descriptor).st_size >= self._bytes_max
        if full and not self._full:
            _log.warning("span file is full", path=str(self._path), bytes_max=self._bytes_max)
        self._full = full
        return full

    def _open(self) -> int:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor


def span_line(span: ReadableSpan, *, service: str) -> bytes:
    """The span as one line of JSON: ids in hex, times in nanoseconds since 1970, an empty `parent_span_id` for a root."""
    context = span.get_span_context()
    parent = span.parent
    record: dict[str, Any] = {
        "trace_id": format_trace_id(context.trace_id) if context else "",
        "span_id": format_span_id(context.span_id) if context else "",
        "parent_span_id": format_span_id(parent.span_id) if parent else "",
        "name": span.name,
        "kind": span.kind.name,
        "service": service,
        "start_unix_nano": span.start_time,
        "end_unix_nano": span.end_time,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": event.name, "time_unix_nano": event.timestamp, "attributes": dict(event.attributes or {})} for event in span.events
        ],
    }
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
