"""Acceptance and ceilings: the decisions without the machine around them."""

from __future__ import annotations

import pytest

from cascade_service.domain.acceptance import Accept, Escalate, ThresholdPolicy, decide
from cascade_service.domain.ceilings import Ceilings, Granted, Needs, Refused, Spent, TimeLimits, check
from cascade_service.domain.chat import FinishReason, Message, Role, input_tokens_bound
from cascade_service.domain.events import Ceiling, EscalationReason
from cascade_service.domain.pricing import Price
from cascade_service.domain.verdict import Defect
from tests.support.cascade import verdict

POLICY = ThresholdPolicy(name="p", threshold=0.7, disagreement_max=0.4)
TIMES = TimeLimits(attempt_s=60.0, attempt_min_s=0.5, margin_s=0.1)
CEILINGS = Ceilings(cost_max_nano_usd=1_000, attempts_max=3, output_tokens_max=100)
NEEDS = Needs(input_tokens=100, output_tokens=50, price=Price(input_nano_usd_per_mtok=1_000_000, output_nano_usd_per_mtok=2_000_000))


def reason_of(*, text: str = "42", finish: FinishReason = FinishReason.STOP, **panel: object) -> EscalationReason | None:
    given = verdict(**panel) if panel else None  # pyright: ignore[reportArgumentType] - keywords of `verdict`
    match decide(POLICY, text=text, finish_reason=finish, verdict=given):
        case Accept():
            return None
        case Escalate(reason):
            return reason


@pytest.mark.parametrize(
    ("confidence", "disagreement", "reason"),
    [
        (0.7, 0.4, None),
        (1.0, 0.0, None),
        (0.6999999, 0.0, EscalationReason.LOW_CONFIDENCE),
        (0.9, 0.41, EscalationReason.JUDGES_DISAGREE),
        (0.1, 0.9, EscalationReason.LOW_CONFIDENCE),
        (float("nan"), 0.0, EscalationReason.LOW_CONFIDENCE),
    ],
)
def test_threshold_and_disagreement(confidence: float, disagreement: float, reason: EscalationReason | None) -> None:
    assert reason_of(confidence=confidence, disagreement=disagreement) is reason


@pytest.mark.parametrize(
    ("defects", "reason"),
    [
        ((Defect.TRUNCATED,), EscalationReason.TRUNCATED),
        ((Defect.REFUSED,), EscalationReason.REFUSED),
        ((Defect.EMPTY,), EscalationReason.MALFORMED),
        ((Defect.MALFORMED,), EscalationReason.MALFORMED),
        ((Defect.DEGENERATE,), EscalationReason.MALFORMED),
        ((Defect.MALFORMED, Defect.REFUSED, Defect.TRUNCATED), EscalationReason.TRUNCATED),
        ((Defect.DEGENERATE, Defect.REFUSED), EscalationReason.REFUSED),
    ],
)
def test_defects_count_before_confidence(defects: tuple[Defect, ...], reason: EscalationReason) -> None:
    assert reason_of(confidence=1.0, defects=defects) is reason


def test_every_defect_has_a_reason() -> None:
    assert all(reason_of(confidence=1.0, defects=(defect,)) is not None for defect in Defect)


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("42", FinishReason.STOP, EscalationReason.UNJUDGED),
        ("42", FinishReason.UNSPECIFIED, EscalationReason.UNJUDGED),
        ("", FinishReason.STOP, EscalationReason.MALFORMED),
        ("4", FinishReason.LENGTH, EscalationReason.TRUNCATED),
        ("", FinishReason.CONTENT_FILTER, EscalationReason.REFUSED),
    ],
)
def test_what_shows_without_a_verdict(text: str, finish: FinishReason, reason: EscalationReason) -> None:
    assert reason_of(text=text, finish=finish) is reason


@pytest.mark.parametrize(
    ("spent", "time_left_s", "outcome"),
    [
        (Spent(), 10.0, Granted(max_output_tokens=50, timeout_s=9.9, may_hedge=True)),
        (Spent(), 1_000.0, Granted(max_output_tokens=50, timeout_s=60.0, may_hedge=True)),
        (Spent(cost_nano_usd=600), 10.0, Granted(max_output_tokens=50, timeout_s=9.9, may_hedge=True)),
        (Spent(cost_nano_usd=601), 10.0, Granted(max_output_tokens=50, timeout_s=9.9)),
        (Spent(output_tokens=1), 10.0, Granted(max_output_tokens=50, timeout_s=9.9)),
        (Spent(attempts=2, output_tokens=80, cost_nano_usd=860), 10.0, Granted(max_output_tokens=20, timeout_s=9.9)),
        (Spent(attempts=3), 10.0, Ceiling.ATTEMPTS),
        (Spent(output_tokens=100), 10.0, Ceiling.OUTPUT_TOKENS),
        (Spent(output_tokens=150), 10.0, Ceiling.OUTPUT_TOKENS),
        (Spent(cost_nano_usd=800), 10.0, Granted(max_output_tokens=50, timeout_s=9.9)),
        (Spent(cost_nano_usd=801), 10.0, Ceiling.COST),
        (Spent(cost_nano_usd=5_000), 10.0, Ceiling.COST),
        (Spent(), 0.59, Ceiling.TIME),
        (Spent(), -5.0, Ceiling.TIME),
    ],
)
def test_ceilings(spent: Spent, time_left_s: float, outcome: Granted | Ceiling) -> None:
    found = check(CEILINGS, TIMES, spent=spent, needs=NEEDS, time_left_s=time_left_s)
    match found:
        case Granted():
            assert isinstance(outcome, Granted)
            assert (found.max_output_tokens, found.timeout_s) == (outcome.max_output_tokens, pytest.approx(outcome.timeout_s))
            assert found.may_hedge == outcome.may_hedge
        case Refused(ceiling, detail):
            assert ceiling is outcome
            assert detail


def test_callers_lower_ceilings_and_never_raise_them() -> None:
    lowered = CEILINGS.lowered_to(cost_nano_usd=10**12, attempts=1, output_tokens=None)
    assert lowered == Ceilings(cost_max_nano_usd=1_000, attempts_max=1, output_tokens_max=100)
    assert CEILINGS.lowered_to(cost_nano_usd=0, attempts=None, output_tokens=None).cost_max_nano_usd == 0


def test_costs_are_rounded_up_and_count_the_dearest_input() -> None:
    price = Price(input_nano_usd_per_mtok=1, output_nano_usd_per_mtok=1, cached_input_nano_usd_per_mtok=1_000_000)
    assert price.bound_nano_usd(input_tokens=3, output_tokens=1) == 4
    assert price.estimate_nano_usd(input_tokens=3, output_tokens=1) == 1
    assert price.bound_nano_usd(input_tokens=0, output_tokens=0) == 0


def test_input_tokens_are_bounded_by_bytes() -> None:
    assert input_tokens_bound((Message(Role.SYSTEM, "é"), Message(Role.USER, "日本"))) == 2 + 16 + 6 + 16
