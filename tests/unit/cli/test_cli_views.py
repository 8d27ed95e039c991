"""Events in words, as JSON, and in the live view."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from emafusion_cli.live_view import LiveView
from emafusion_cli.narration import as_json, in_words
from emafusion_cli.words import nanoseconds, probability, seconds, usd
from emafusion_client import Event
from emafusion_client.answers import (
    AttemptSummary,
    Completion,
    JudgeOutcome,
    PartSummary,
    Plan,
    PlannedModel,
    RiskCertificate,
    Timing,
    Usage,
    Verdict,
)
from emafusion_client.events import AttemptStarted, Committed, Completed, Decomposed, Delta, Escalated, Judged, Part, Retracted, Routed
from emafusion_client.vocabulary import (
    Ceiling,
    Defect,
    Delivery,
    EscalationReason,
    FinishReason,
    JudgeStatus,
    Outcome,
    PolicyKind,
    RouteKind,
)
from rich.console import Console

USAGE = Usage(input_tokens=10, output_tokens=3, cached_input_tokens=0, estimated=False)


def _planned(model: str, cost: int) -> PlannedModel:
    return PlannedModel(
        model=model, predicted_quality=0.4, quality_stddev=0.1, predicted_cost_nano_usd=cost, predicted_output_tokens=5, reason=""
    )


def _routed() -> Routed:
    plan = Plan(
        models=(_planned("small", 1_000), _planned("large", 9_000)),
        excluded=(),
        kind=RouteKind.TAXONOMY,
        axes=(),
        clear=True,
        reasons=(),
        input_tokens=10,
        policy_hash="",
    )
    return Routed(decision_id="d1", plan=plan, static_plan=False, policy="balanced", threshold=0.7, delivery=Delivery.SPECULATIVE)


def _judged(attempt: int, confidence: float, *, accepted: bool) -> Judged:
    checks = JudgeOutcome(
        judge="checks",
        status=JudgeStatus.SCORED,
        score=0.1,
        explanation="",
        criteria=(),
        defects=(Defect.TRUNCATED,),
        duration_s=0.001,
        cost_nano_usd=0,
    )
    slow = JudgeOutcome(
        judge="llm", status=JudgeStatus.TIMED_OUT, score=None, explanation="", criteria=(), defects=(), duration_s=1, cost_nano_usd=0
    )
    verdict = Verdict(
        confidence=confidence,
        disagreement=0.0,
        outcomes=(checks, slow),
        defects=(),
        stopped_early=True,
        evidence="checks",
        calibration="",
        cost_nano_usd=500,
    )
    return Judged(attempt=attempt, verdict=verdict, accepted=accepted)


def _completed() -> Completed:
    def summary(attempt: int, model: str, cost: int) -> AttemptSummary:
        return AttemptSummary(
            attempt=attempt,
            tier=attempt,
            model=model,
            chosen=attempt == 1,
            escalation_reason=EscalationReason.UNSPECIFIED,
            confidence=0.9,
            finish_reason=FinishReason.STOP,
            usage=USAGE,
            cost_nano_usd=cost,
            judge_cost_nano_usd=500,
            time_to_first_chunk_s=None,
            duration_s=1.0,
            error="",
        )

    completion = Completion(
        decision_id="d1",
        text="Paris",
        model="large",
        attempt=1,
        outcome=Outcome.BEST_SEEN,
        confidence=0.9,
        ceiling=Ceiling.ATTEMPTS,
        finish_reason=FinishReason.STOP,
        attempts=(summary(0, "small", 1_200), summary(1, "large", 8_000)),
        usage=USAGE,
        cost_nano_usd=10_200,
        timing=Timing(queue_s=0, inference_s=1, total_s=2.5),
        trace_id="",
        policy_hash="",
    )
    return Completed(completion=completion)


STREAM: list[Event] = [
    _routed(),
    AttemptStarted(attempt=0, tier=0, model="small"),
    Delta(attempt=0, sequence=1, text="London"),
    _judged(0, 0.31, accepted=False),
    Retracted(attempt=0, from_sequence=1),
    Escalated(
        from_attempt=0, reason=EscalationReason.LOW_CONFIDENCE, confidence=0.31, threshold=0.7, next_model="large", detail="0.31 is less"
    ),
    AttemptStarted(attempt=1, tier=1, model="large"),
    Delta(attempt=1, sequence=2, text="Paris"),
    _judged(1, 0.9, accepted=True),
    Committed(attempt=1, through_sequence=2),
    _completed(),
]


def test_every_event_has_a_line_but_pieces_of_text() -> None:
    lines = [in_words(event) for event in STREAM]
    assert [bool(line) for line in lines] == [not isinstance(event, Delta) for event in STREAM]
    assert lines[0] == "routed   small (0.40, $0.000001) → large (0.40, $0.000009) by taxonomy; accepts at 0.70 (balanced), speculative"
    assert lines[3] == "judged   #0 confidence 0.31 (checks 0.10 truncated!, llm timed_out, stopped early) → not accepted"
    assert lines[5] == "escalate #0 low_confidence (0.31 < 0.70) → large"
    assert lines[-1].startswith("done     best_seen at the ceiling on attempts from large after 2 attempt(s), confidence 0.90, $0.0000102")


def _split(*, parts: int) -> Decomposed:
    told = tuple(Part(label=f"{number}.", text=f"What is {number} times 7?", needs_earlier=number > 1) for number in range(1, parts + 1))
    return Decomposed(
        decision_id="d1", parts=told, splitter="rules", reason="" if parts else "no form that is plainly compound", cost_nano_usd=0
    )


def _part(model: str) -> PartSummary:
    return PartSummary(
        label="1.",
        needs_earlier=False,
        text_start=0,
        text_end=0,
        model=model,
        attempt=None,
        outcome=Outcome.ACCEPTED,
        confidence=0.9,
        ceiling=Ceiling.UNSPECIFIED,
        cost_nano_usd=1_000,
        error_reason="" if model else "ALL_ATTEMPTS_FAILED",
    )


def test_parts_are_told_in_words_and_in_the_live_view() -> None:
    completed = Completed(completion=replace(_completed().completion, parts=(_part("large"), _part(""))))
    events: list[Event] = [
        _split(parts=2),
        replace(_routed(), part=1),
        replace(_routed(), part=0),
        AttemptStarted(attempt=0, tier=0, model="small", part=1),
        completed,
    ]
    lines = [in_words(event) for event in events]
    assert lines[0] == "parts    1. What is 1 times 7? | 2. What is 2 times 7? (after the earlier) (by rules)"
    assert lines[1].startswith("routed   part 1: small")
    assert lines[3] == "attempt  part 1: #0 asks small (tier 0)"
    assert lines[4].splitlines()[:2] == [
        "part 0   accepted from large, confidence 0.90, $0.000001",
        "part 1   no answer: ALL_ATTEMPTS_FAILED, $0.000001",
    ]
    view = LiveView()
    for event in events[:-1]:
        view.apply(event)
    frame = _drawn(view)
    assert "part 1  2. What is 2 times 7?" in frame
    rows = [line.split()[:2] for line in frame.splitlines() if line.split()[1:2] in (["small"], ["large"])]
    assert rows == [["0.0", "small"], ["0.1", "large"], ["1.0", "small"], ["1.1", "large"]]
    assert "writing" in next(line for line in frame.splitlines() if line.startswith("1.0"))
    view.apply(completed)
    assert "part 1: no answer" in _drawn(view)


def test_a_question_that_is_answered_whole_says_why() -> None:
    assert in_words(_split(parts=0)) == "whole    no form that is plainly compound (by rules)"
    view = LiveView()
    view.apply(_split(parts=0))
    assert "answered whole: no form" in _drawn(view)


def test_an_escalation_without_a_verdict_says_why() -> None:
    event = Escalated(
        from_attempt=0, reason=EscalationReason.PROVIDER_ERROR, confidence=None, threshold=0.7, next_model="large", detail="rate_limited"
    )
    assert in_words(event) == "escalate #0 provider_error (no verdict; rate_limited) → large"


def test_every_event_is_one_json_object_that_names_its_kind() -> None:
    objects = [json.loads(as_json(event)) for event in STREAM]
    assert [entry["event"] for entry in objects] == [
        "routed",
        "attempt_started",
        "delta",
        "judged",
        "retracted",
        "escalated",
        "attempt_started",
        "delta",
        "judged",
        "committed",
        "completed",
    ]
    assert objects[3]["verdict"]["outcomes"][0]["defects"] == ["truncated"]
    assert objects[-1]["completion"]["attempts"][1]["model"] == "large"


def test_a_certificate_is_told_with_the_rule_and_with_the_answer_that_it_covers() -> None:
    certificate = RiskCertificate(wrong_max=0.1, confidence=0.9, threshold=0.7, calibration="c", questions=5_000)
    promise = "P(wrong) ≤ 10 % with confidence 90 % (certified on 5,000 questions)"
    assert f"accepts at 0.70 (balanced), {promise}, speculative" in in_words(replace(_routed(), risk=certificate))
    done = _completed()
    assert "P(wrong)" not in in_words(done)
    assert f"confidence 0.90, {promise}, $" in in_words(replace(done, completion=replace(done.completion, risk=certificate)))


def _drawn(view: LiveView) -> str:
    drawn = StringIO()
    Console(width=160, file=drawn).print(view)
    return drawn.getvalue()


def test_the_live_view_follows_the_stream() -> None:
    view, frames = LiveView(), list[str]()
    for event in STREAM:
        view.apply(event)
        frames.append(_drawn(view))
    assert "London" in frames[2]
    assert "provisional" in frames[2]
    assert "London" not in frames[4]
    assert "low_confidence" in frames[5]
    assert "accepted" in frames[8]
    assert "answer" in frames[9]
    assert [frame.splitlines()[-1].split()[0] for frame in (frames[0], frames[1], frames[3], frames[-1])] == [
        "$0",
        "$0.000001",
        "$0.0000015",
        "$0.0000102",
    ]


def test_a_model_that_the_plan_does_not_have_gets_a_row() -> None:
    view = LiveView()
    view.apply(AttemptStarted(attempt=0, tier=0, model="fixed"))
    view.apply(_judged(0, 0.5, accepted=True))
    assert "fixed" in _drawn(view)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (usd(0), "$0"),
        (usd(1), "$0.000000001"),
        (usd(10_000_000), "$0.0100"),
        (probability(None), "–"),
        (probability(0.456), "0.46"),
        (seconds(0.25), "250 ms"),
        (seconds(12.34), "12.3 s"),
        (nanoseconds(1_500_000), "1.5 ms"),
        (nanoseconds(2_340_000_000), "2.34 s"),
    ],
)
def test_figures(shown: str, expected: str) -> None:
    assert shown == expected


def test_a_value_policy_is_told_in_gains_and_prices() -> None:
    routed = replace(_routed(), policy="dial", policy_kind=PolicyKind.VALUE, answer_worth_nano_usd=50_000_000)
    assert "a right answer is worth $0.0500 (dial), speculative" in in_words(routed)
    event = Escalated(
        from_attempt=0,
        reason=EscalationReason.LOW_CONFIDENCE,
        confidence=0.5,
        threshold=0.0,
        next_model="large",
        detail="gain 0.031 of asking large exceeds its price 0.012",
        expected_gain=0.031,
        price=0.012,
    )
    told = "escalate #0 low_confidence (confidence 0.50; gain 0.031 of asking large exceeds its price 0.012) → large"
    assert in_words(event) == told
    done = _completed()
    stop = "gain 0.004 of asking huge does not exceed its price 0.012"
    completion = replace(done.completion, supporting_attempts=(0,), stop_detail=stop)
    line = in_words(Completed(completion=completion))
    assert "confidence 0.90, 1 more say the same, $0.0000102" in line
    assert line.endswith(f"2.5 s; {stop}")
