"""Spans in memory, and the tree they form as text, for assertions on whole traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from servicekit.telemetry import Telemetry, assemble_telemetry


@dataclass(frozen=True, slots=True)
class Recorder:
    """Telemetry that keeps everything in memory. Give one to several in-process services to see their common trace."""

    telemetry: Telemetry
    _exporter: InMemorySpanExporter
    _reader: InMemoryMetricReader

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans, in order of their start."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.end_time or 0))

    def named(self, name: str) -> list[ReadableSpan]:
        """Finished spans of that name."""
        return [span for span in self.spans if span.name == name]

    def only(self, name: str, *, kind: str | None = None) -> ReadableSpan:
        """The one finished span of that name (and kind, such as `SERVER`)."""
        found = [span for span in self.named(name) if kind is None or span.kind.name == kind]
        assert len(found) == 1, f"{len(found)} spans named {name!r}; finished:\n{span_tree(self.spans)}"
        return found[0]

    def tree(self, *, attributes: Sequence[str] = (), events: bool = False) -> str:
        """All finished spans as an indented tree; see `span_tree`."""
        return span_tree(self.spans, attributes=attributes, events=events)

    def metrics(self) -> dict[str, Metric]:
        """Metrics by name, as collected now. A second call sees the same points again."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {metric.name: metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics}

    def clear(self) -> None:
        """Forgets the spans so far."""
        self._exporter.clear()


def record_telemetry(service: str = "test") -> Recorder:
    """A fresh recorder; every trace is sampled."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    telemetry = assemble_telemetry(service, processors=[SimpleSpanProcessor(exporter)], readers=[reader])
    return Recorder(telemetry, exporter, reader)


def span_tree(spans: Sequence[ReadableSpan], *, attributes: Sequence[str] = (), events: bool = False) -> str:
    """One line per span, `KIND name`, children indented by two spaces below their parent in order of their start.

    ``attributes`` names those to show as `name=value`; ``events`` adds the names of span events as `* name` lines. A span whose parent
    is not among the spans counts as a root.
    """
    known = {span.context.span_id for span in spans if span.context}
    children: dict[int, list[ReadableSpan]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_time or 0, span.end_time or 0)):
        children[span.parent.span_id if span.parent and span.parent.span_id in known else 0].append(span)
    lines: list[str] = []

    def render(span: ReadableSpan, depth: int) -> None:
        shown = [f"{name}={(span.attributes or {})[name]}" for name in attributes if name in (span.attributes or {})]
        lines.append("  " * depth + " ".join([span.kind.name, span.name, *shown]))
        if events:
            lines.extend("  " * (depth + 1) + f"* {event.name}" for event in span.events)
        for child in children[span.context.span_id if span.context else -1]:
            render(child, depth + 1)

    for root in children[0]:
        render(root, 0)
    return "\n".join(lines)
