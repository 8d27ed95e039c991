"""Reads the file of spans that services write when `telemetry.file` is set, and puts the spans of one trace into a tree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servicekit import semconv


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    """Something that happened at one moment of a span; the time is in nanoseconds since 1970."""

    name: str
    time_unix_nano: int
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A finished span; times are in nanoseconds since 1970, ``parent_span_id`` is empty for a root."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: str
    service: str
    start_unix_nano: int
    end_unix_nano: int
    status: str
    attributes: dict[str, Any]
    events: tuple[SpanEvent, ...]


@dataclass(slots=True)
class Node:
    """A span with the spans below it, earliest first."""

    span: Span
    children: list[Node] = field(default_factory=list["Node"])


def read_spans(path: Path) -> Iterator[Span]:
    """All spans of the file. A line that is not a span, such as one that is being written, is passed over."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            span = _span(line)
            if span is not None:
                yield span


def _span(line: str) -> Span | None:
    try:
        data: dict[str, Any] = json.loads(line)
        events = tuple(SpanEvent(**event) for event in data.pop("events"))
        return Span(**data, events=events)
    except (ValueError, TypeError, KeyError):
        return None


def spans_of(path: Path, key: str) -> list[Span]:
    """The spans of the trace with id ``key``, or of the trace in which the decision with id ``key`` was taken; earliest first."""
    spans = list(read_spans(path))
    named = {span.trace_id for span in spans if span.attributes.get(semconv.EMAFUSION_CASCADE_DECISION_ID) == key}
    traces = named or {key.lower()}
    return sorted((span for span in spans if span.trace_id in traces), key=lambda span: span.start_unix_nano)


def forest(spans: Sequence[Span]) -> list[Node]:
    """The spans as trees. A span whose parent is not among them is a root."""
    nodes = {span.span_id: Node(span) for span in spans}
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_span_id)
        (parent.children if parent else roots).append(node)
    return roots
