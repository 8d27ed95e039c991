"""Events in words, one line each, for output that is read later or piped; and as JSON objects."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import assert_never

from emafusion_client.answers import Completion, JudgeOutcome, PartSummary, RiskCertificate, Verdict
from emafusion_client.events import (
    AttemptStarted,
    Committed,
    Completed,
    Decomposed,
    Delta,
    Escalated,
    Event,
    Judged,
    Retracted,
    Routed,
)
from emafusion_client.vocabulary import Ceiling, EscalationReason, JudgeStatus

from emafusion_cli.words import probability, seconds, usd

_SHORT_CHARS = 40
_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def as_json(event: Event) -> str:
    """The event as one JSON object; its kind stands under `event`."""
    kind = _WORD_START.sub("_", type(event).__name__).lower()
    return json.dumps({"event": kind, **asdict(event)}, ensure_ascii=False)


def in_words(event: Event) -> str:
    """The event as a line of text; empty for pieces of text, which are shown together."""
    match event:
        case Decomposed():
            return _decomposed(event)
        case Routed():
            return _routed(event)
        case AttemptStarted() | Judged() | Escalated():
            return _of_attempt(event)
        case Completed():
            return "\n".join((*_parts(event.completion), f"done     {completion_in_words(event.completion)}"))
        case Delta() | Committed() | Retracted():
            return _of_text(event)
        case _:
            assert_never(event)


def _of_attempt(event: AttemptStarted | Judged | Escalated) -> str:
    match event:
        case AttemptStarted():
            return f"attempt  {_of_part(event.part)}#{event.attempt} asks {event.model} (tier {event.tier})"
        case Judged():
            return f"judged   #{event.attempt} {verdict_in_words(event.verdict)} → {'accepted' if event.accepted else 'not accepted'}"
        case Escalated():
            return _escalated(event)
        case _:
            assert_never(event)


def _of_text(event: Delta | Committed | Retracted) -> str:
    match event:
        case Delta():
            return ""
        case Committed():
            return f"commit   #{event.attempt} text is final up to piece {event.through_sequence}"
        case Retracted():
            return f"retract  #{event.attempt} withdraws its text"
        case _:
            assert_never(event)


def _decomposed(event: Decomposed) -> str:
    if not event.parts:
        return f"whole    {event.reason} (by {event.splitter})"
    told = " | ".join(f"{part.label} {shortened(part.text)}{' (after the earlier)' if part.needs_earlier else ''}" for part in event.parts)
    return f"parts    {told} (by {event.splitter})"


def _of_part(part: int | None) -> str:
    return "" if part is None else f"part {part}: "


def _parts(completion: Completion) -> list[str]:
    return [f"part {number}   {part_in_words(part)}" for number, part in enumerate(completion.parts)]


def _routed(event: Routed) -> str:
    models = " → ".join(
        f"{model.model} ({model.predicted_quality:.2f}, {usd(model.predicted_cost_nano_usd)})" for model in event.plan.models
    )
    axes = ", ".join(f"{axis.axis}={axis.label} {axis.probability:.2f}" for axis in event.plan.axes)
    how = "static plan, the router is down" if event.static_plan else f"by {event.plan.kind}"
    told = f" [{axes}]" if axes else ""
    return f"routed   {_of_part(event.part)}{models} {how}{told}; {rule_in_words(event)}, {event.delivery}"


def rule_in_words(event: Routed) -> str:
    """When the policy goes no further."""
    bound = f", {risk_in_words(event.risk)}" if event.risk is not None else ""
    if event.answer_worth_nano_usd is None:
        return f"accepts at {event.threshold:.2f} ({event.policy}){bound}"
    return f"a right answer is worth {usd(event.answer_worth_nano_usd)} ({event.policy}){bound}"


def risk_in_words(certificate: RiskCertificate) -> str:
    """What is promised of accepted answers, and on how many questions that was found."""
    bound = f"P(wrong) ≤ {certificate.wrong_max * 100:g} % with confidence {certificate.confidence * 100:g} %"
    return f"{bound} (certified on {certificate.questions:,} questions)"


def _escalated(event: Escalated) -> str:
    figures = f"{probability(event.confidence)} < {event.threshold:.2f}" if event.confidence is not None else "no verdict"
    if event.expected_gain is not None and event.confidence is not None:
        figures = f"confidence {probability(event.confidence)}"
        return f"escalate #{event.from_attempt} {event.reason} ({figures}; {event.detail}) → {event.next_model}"
    told = event.reason is EscalationReason.LOW_CONFIDENCE  # by the figures
    detail = "" if told or not event.detail else f"; {event.detail}"
    return f"escalate #{event.from_attempt} {event.reason} ({figures}{detail}) → {event.next_model}"


def verdict_in_words(verdict: Verdict) -> str:
    """Confidence, then what each judge said."""
    judges = ", ".join(outcome_in_words(outcome) for outcome in verdict.outcomes)
    early = ", stopped early" if verdict.stopped_early else ""
    return f"confidence {verdict.confidence:.2f} ({judges}{early})"


def outcome_in_words(outcome: JudgeOutcome) -> str:
    """The judge's name with its score, or how asking it ended."""
    said = probability(outcome.score) if outcome.status is JudgeStatus.SCORED else str(outcome.status)
    defects = "".join(f" {defect}!" for defect in outcome.defects)
    return f"{outcome.judge} {said}{defects}"


def part_in_words(part: PartSummary) -> str:
    """What came of one part of a compound question."""
    if not part.model:
        return f"no answer: {part.error_reason}, {usd(part.cost_nano_usd)}"
    ceiling = f" at the ceiling on {part.ceiling}" if part.ceiling is not Ceiling.UNSPECIFIED else ""
    return f"{part.outcome}{ceiling} from {part.model}, confidence {probability(part.confidence)}, {usd(part.cost_nano_usd)}"


def shortened(text: str) -> str:
    """The first words of ``text`` on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT_CHARS else f"{line[: _SHORT_CHARS - 1]}…"


def completion_in_words(completion: Completion) -> str:
    """Who answered, how sure that is, and what it took."""
    ceiling = f" at the ceiling on {completion.ceiling}" if completion.ceiling is not Ceiling.UNSPECIFIED else ""
    incomplete = ", incomplete" if completion.incomplete else ""
    backed = f", {len(completion.supporting_attempts)} more say the same" if completion.supporting_attempts else ""
    stopped = f"; {completion.stop_detail}" if completion.stop_detail else ""
    bound = f", {risk_in_words(completion.risk)}" if completion.risk is not None else ""
    tokens = f"{completion.usage.input_tokens} + {completion.usage.output_tokens} tokens"
    return (
        f"{completion.outcome}{ceiling}{incomplete} from {completion.model} after {len(completion.attempts)} attempt(s), "
        f"confidence {probability(completion.confidence)}{bound}{backed}, {usd(completion.cost_nano_usd)}, {tokens}, "
        f"{seconds(completion.timing.total_s)}{stopped}"
    )
