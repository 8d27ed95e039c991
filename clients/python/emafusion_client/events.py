"""What happens while a request is answered: a closed union, ``Event``, whose last member of every stream is ``Completed``.

Text is provisional until a ``Committed`` covers it. ``transcript.Transcript`` keeps account of that.
"""

from __future__ import annotations

from dataclasses import dataclass

from emafusion_client.answers import Completion, Plan, RiskCertificate, Verdict
from emafusion_client.vocabulary import Delivery, EscalationReason, PolicyKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a compound request; with ``needs_earlier`` it waits for the earlier ones and sees their answers."""

    label: str
    text: str
    needs_earlier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposed:
    """The request was taken apart; or not, and ``reason`` says why. The first event, and only of questions with ``decompose``."""

    decision_id: str
    parts: tuple[Part, ...]
    splitter: str
    reason: str
    cost_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The plan is known: that of the question, or of a ``part``, counted from 0.

    ``answer_worth_nano_usd`` only with a policy of kind ``value``.
    """

    decision_id: str
    plan: Plan
    static_plan: bool
    policy: str
    threshold: float
    delivery: Delivery
    policy_kind: PolicyKind = PolicyKind.UNSPECIFIED
    answer_worth_nano_usd: int | None = None
    part: int | None = None
    risk: RiskCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """A model has been asked; attempts and tiers count from 0, attempts over all parts."""

    attempt: int
    tier: int
    model: str
    part: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of text; ``sequence`` counts from 1 over the whole stream."""

    attempt: int
    sequence: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The panel has judged an attempt, with a policy of kind ``value`` perhaps anew."""

    attempt: int
    verdict: Verdict
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Every delta of the attempt up to ``through_sequence`` that was not retracted is final."""

    attempt: int
    through_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted:
    """Every delta of the attempt from ``from_sequence`` on is withdrawn."""

    attempt: int
    from_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """The next model will be asked; ``confidence`` is None where there is no verdict.

    ``expected_gain`` and ``price`` of asking it, in right answers, with a policy of kind ``value``.
    """

    from_attempt: int
    reason: EscalationReason
    confidence: float | None
    threshold: float
    next_model: str
    detail: str
    expected_gain: float | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The answer. The last event."""

    completion: Completion


Event = Decomposed | Routed | AttemptStarted | Delta | Judged | Committed | Retracted | Escalated | Completed
