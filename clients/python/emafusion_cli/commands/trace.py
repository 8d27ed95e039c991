"""`emafusion trace`: the span tree of one request, and its decision record."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from emafusion_client import EmafusionClient, EmafusionError
from emafusion_client.answers import Decision
from emafusion_client.vocabulary import EscalationReason
from rich.table import Table

from emafusion_cli.failures import CommandFailed
from emafusion_cli.narration import part_in_words
from emafusion_cli.span_tree import draw
from emafusion_cli.spans import Span, spans_of
from emafusion_cli.surroundings import (
    OUT,
    Address,
    ConfigOption,
    JsonFlag,
    TargetOption,
    TimeoutOption,
    connect,
    load_configuration,
    run,
    target_of,
)
from emafusion_cli.words import probability, seconds, usd
from servicekit import semconv
from servicekit.settings.load import LoadedSettings


def trace(
    key: Annotated[str, typer.Argument(metavar="ID", help="Id of a decision or of a trace.")],
    config: ConfigOption = None,
    *,
    timeout: TimeoutOption = 5.0,
    target: TargetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what happened in which service while a request was answered."""
    loaded = load_configuration(config)
    spans = recorded_spans(loaded, key)
    decision = run(_decision(connect(target or target_of("cascade", loaded), loaded), _decision_id(key, spans), timeout))
    if not spans and decision is not None and decision.trace_id:
        spans = recorded_spans(loaded, decision.trace_id)
    if not spans and decision is None:
        raise CommandFailed(f"neither a trace nor a decision is known under {key}", hint=_where(loaded))
    if as_json:
        document = {"spans": [asdict(span) for span in spans], "decision": asdict(decision) if decision else None}
        print(json.dumps(document, ensure_ascii=False, default=str))
        return
    if spans:
        OUT.print(draw(spans))
    else:
        OUT.print(f"No spans are known for it. {_where(loaded)}")
    if decision is not None:
        print_decision(decision)


def recorded_spans(loaded: LoadedSettings, key: str) -> list[Span]:
    """Spans of the trace or decision, as far as they were written to the configured file."""
    path = loaded.settings.telemetry.file
    return spans_of(Path(path), key) if path and Path(path).exists() else []


def _where(loaded: LoadedSettings) -> str:
    path = loaded.settings.telemetry.file
    if path is None:
        return "`telemetry.file` is not set, so spans are not kept on this machine."
    return f"Spans are looked for in {path}; decisions are asked of the cascade service."


def _decision_id(key: str, spans: list[Span]) -> str:
    found = (span.attributes.get(semconv.EMAFUSION_CASCADE_DECISION_ID) for span in spans)
    named = next((str(value) for value in found if value), "")
    return named or key


async def _decision(address: Address, decision_id: str, timeout_s: float) -> Decision | None:
    try:
        async with EmafusionClient(cascade=address.target, tls=address.tls, api_key=address.api_key) as client:
            return await client.decision(decision_id, timeout_s=timeout_s)
    except EmafusionError:
        return None  # the spans stand alone when the service is down or does not know the decision


def print_decision(decision: Decision) -> None:
    """Prints the record: what each attempt said, cost and led to."""
    title = f"decision {decision.decision_id}: {decision.status}, policy {decision.policy} at {decision.threshold:.2f}, {decision.delivery}"
    table = Table(
        "attempt", "model", "confidence", "outcome", "tokens", "cost", "judging", "time", title=title, title_justify="left", box=None
    )
    for attempt in decision.attempts:
        summary = attempt.summary
        escalated = summary.escalation_reason is not EscalationReason.UNSPECIFIED
        outcome = str(summary.escalation_reason) if escalated else ("chosen" if summary.chosen else "")
        tokens = f"{summary.usage.input_tokens} + {summary.usage.output_tokens}"
        costs = (usd(summary.cost_nano_usd), usd(summary.judge_cost_nano_usd))
        number = str(summary.attempt) if summary.part is None else f"{summary.attempt} (part {summary.part})"
        row = (number, summary.model, probability(summary.confidence), outcome, tokens, *costs, seconds(summary.duration_s))
        table.add_row(*row)
    OUT.print(table)
    for number, part in enumerate(decision.completion.parts if decision.completion else ()):
        OUT.print(f"part {number} ({part.label}): {part_in_words(part)}", markup=False)
    for feedback in decision.feedback:
        OUT.print(f"feedback from {feedback.source}: correct={feedback.correct} rating={feedback.rating}", markup=False)
