"""Draws the spans of a trace as a tree: what ran where, for how long, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from emafusion_cli.spans import Node, Span, SpanEvent, forest
from emafusion_cli.words import nanoseconds
from servicekit import semconv

_SHOWN: Final = (
    semconv.EMAFUSION_CASCADE_TIER,
    semconv.EMAFUSION_CASCADE_ATTEMPT,
    semconv.EMAFUSION_CASCADE_OUTCOME,
    semconv.EMAFUSION_CASCADE_POLICY,
    semconv.EMAFUSION_CASCADE_POLICY_KIND,
    semconv.EMAFUSION_CASCADE_ANSWER_WORTH_NANO_USD,
    semconv.EMAFUSION_CASCADE_STOP_DETAIL,
    semconv.EMAFUSION_CASCADE_COST_NANO_USD,
    semconv.EMAFUSION_ROUTER_KIND,
    semconv.EMAFUSION_ROUTER_BATCH_SIZE,
    semconv.EMAFUSION_JUDGE_STATE,
    semconv.GEN_AI_USAGE_INPUT_TOKENS,
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
    semconv.GEN_AI_RESPONSE_FINISH_REASONS,
    semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
    semconv.EMAFUSION_PROVIDER_COST_NANO_USD,
    semconv.EMAFUSION_ERROR_REASON,
    semconv.ERROR_TYPE,
)
"""Attributes that are drawn, in this order."""


def draw(spans: Sequence[Span]) -> Tree:
    """The tree of the spans of one trace; every line tells when it began, counted from the first."""
    begin = min(span.start_unix_nano for span in spans)
    services = sorted({span.service for span in spans})
    tree = Tree(Text(f"trace {spans[0].trace_id}: {len(spans)} spans in {', '.join(services)}", style="bold"))
    for root in forest(spans):
        _draw(root, tree, begin)
    return tree


def _draw(node: Node, under: Tree, begin: int) -> None:
    branch = under.add(_span_line(node.span, begin))
    parts: list[Node | SpanEvent] = [*node.children, *node.span.events]
    for part in sorted(parts, key=_moment):
        if isinstance(part, Node):
            _draw(part, branch, begin)
        else:
            branch.add(_event_line(part, begin))


def _moment(part: Node | SpanEvent) -> int:
    return part.span.start_unix_nano if isinstance(part, Node) else part.time_unix_nano


def _span_line(span: Span, begin: int) -> Text:
    failed = span.status == "ERROR"
    line = Text.assemble(
        (f"+{nanoseconds(span.start_unix_nano - begin)} ", "dim"),
        (span.name, "bold red" if failed else "bold"),
        (f" {nanoseconds(span.end_unix_nano - span.start_unix_nano)}", "cyan"),
        (f" {span.service} {span.kind.lower()}", "dim"),
    )
    shown = {name: span.attributes[name] for name in _SHOWN if name in span.attributes}
    return line.append(_attributes(shown))


def _event_line(event: SpanEvent, begin: int) -> Text:
    line = Text.assemble((f"+{nanoseconds(event.time_unix_nano - begin)} ", "dim"), ("◆ ", "magenta"), (event.name, "magenta"))
    return line.append(_attributes(event.attributes))


def _attributes(attributes: dict[str, Any]) -> Text:
    return Text("".join(f" {name.rpartition('.')[2]}={_value(value)}" for name, value in attributes.items()))


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
