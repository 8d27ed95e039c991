"""One table of requests, what the models do, and what the caller must see, whichever way the cascade is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

MODELS = ("small", "medium", "large")
ACCEPT_ANY, ACCEPT_NONE = 0.0, 1.0
REFUSAL = "I'm sorry, but I can't help with that."
HOLD_TOKENS = 16
"""Tokens that are held back with `prefix_commit`; four bytes to a token."""
CONTINUES = "large"
"""The model that continues text which is final."""
BEGINNING = "Six times seven can be reckoned as the sum of six sevens, and that sum"
LONG_REFUSAL = REFUSAL + " It is against what I may do, for anyone, at any time."


class Fate(Enum):
    """What a model does with a request."""

    ANSWERS = "answers"
    IS_CUT_OFF = "is cut off by the token limit"
    FAILS = "fails with HTTP 500"
    BREAKS = "resets the connection in mid-stream"
    ENDS_OPEN = "ends without a finish reason"
    STALLS = "stops writing and keeps the connection open"


@dataclass(frozen=True)
class Turn:
    """One model's part in a case; ``pieces`` are what it writes before its fate, ``later`` once the caller has seen a commit."""

    fate: Fate
    pieces: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the caller sees. ``events`` are the kinds of events with runs of deltas as one; an error has a reason instead.

    Answers shorter than ``HOLD_TOKENS`` look the same with ``prefix_commit`` as buffered; longer ones have rows of their own.
    """

    buffered: tuple[str, ...] = ()
    speculative: tuple[str, ...] = ()
    prefix_commit: tuple[str, ...] = ()
    text: str = ""
    outcome: str = ""
    ceiling: str = "UNSPECIFIED"
    reasons: tuple[str, ...] = ()
    error_reason: str = ""
    incomplete: bool = False
    wrong_max: float = 0.0
    """Of the certificate under which the answer was accepted; 0.0 without one."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row of the table. With ``parts`` the question may be split and is, into so many; every model's turn is the same in each."""

    name: str
    turns: tuple[Turn, ...]
    expected: Expected
    threshold: float = ACCEPT_ANY
    attempts_max: int = 4
    cost_max_nano_usd: int = 10**9
    plan: tuple[str, ...] = field(default=MODELS)
    worth_nano_usd: int | None = None
    """With it the policy is ``DIAL``, of kind value."""
    question: str = "What is 6 times 7?"
    parts: int = 0
    certified: float | None = None
    """With it the policy is ``BOUNDED[certified]``, certified at this threshold for ``WRONG_MAX``."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The delivery modes that the row speaks of."""
        return ("prefix_commit",) if self.expected.prefix_commit else ("buffered", "speculative", "prefix_commit")


def answers(*pieces: str) -> Turn:
    return Turn(Fate.ANSWERS, pieces)


_JUDGED_OUT_BUFFERED = ("AttemptStarted", "Judged", "Escalated")
_JUDGED_OUT_SHOWN = ("AttemptStarted", "Delta", "Judged", "Retracted", "Escalated")
_FAILED = ("AttemptStarted", "Escalated")
_BROKEN_SHOWN = ("AttemptStarted", "Delta", "Retracted", "Escalated")
_BEGUN = ("AttemptStarted", "Delta", "Committed")
_ACCEPTED_BUFFERED = ("AttemptStarted", "Judged", "Delta", "Committed", "Completed")
_ACCEPTED_SHOWN = ("AttemptStarted", "Delta", "Judged", "Committed", "Completed")

DIAL = "dial"
"""Name of a policy of kind value."""
WORTH_NOTHING, WORTH_ALL = 1_000, 10**15

WRONG_MAX = 0.1
BOUNDED = {ACCEPT_ANY: "bounded-low", ACCEPT_NONE: "bounded-high"}
"""Names of policies with a bound on risk, by the threshold that is certified for it."""

CASES = (
    Case(
        name="an answer at the certified threshold is accepted under its certificate",
        turns=(answers("4", "2"),),
        certified=ACCEPT_ANY,
        expected=Expected(
            buffered=("Routed", *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            wrong_max=WRONG_MAX,
        ),
    ),
    Case(
        name="nothing is promised of an answer below the certified threshold",
        turns=(answers("41"), answers("42")),
        certified=ACCEPT_NONE,
        plan=("small", "large"),
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_JUDGED_OUT_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="BEST_SEEN",
            reasons=("LOW_CONFIDENCE",),
        ),
    ),
    Case(
        name="no other model is worth its price",
        turns=(answers("4", "2"),),
        worth_nano_usd=WORTH_NOTHING,
        expected=Expected(
            buffered=("Routed", *_ACCEPTED_BUFFERED), speculative=("Routed", *_ACCEPTED_SHOWN), text="42", outcome="ACCEPTED"
        ),
    ),
    Case(
        name="every model is worth its price, so the strongest of equals is given",
        turns=(answers("40"), answers("41"), answers("42")),
        worth_nano_usd=WORTH_ALL,
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_JUDGED_OUT_SHOWN, *_JUDGED_OUT_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="BEST_SEEN",
            reasons=("LOW_CONFIDENCE", "LOW_CONFIDENCE"),
        ),
    ),
    Case(
        name="without an answer the next is asked at any price",
        turns=(Turn(Fate.FAILS), answers("42")),
        worth_nano_usd=WORTH_NOTHING,
        expected=Expected(
            buffered=("Routed", *_FAILED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_FAILED, *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            reasons=("PROVIDER_ERROR",),
        ),
    ),
    Case(
        name="a ceiling ends what would still be worth its price",
        turns=(answers("41"), answers("42")),
        worth_nano_usd=WORTH_ALL,
        attempts_max=2,
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_JUDGED_OUT_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="BEST_SEEN",
            ceiling="ATTEMPTS",
            reasons=("LOW_CONFIDENCE",),
        ),
    ),
    Case(
        name="the first tier is accepted",
        turns=(answers("4", "2"),),
        expected=Expected(
            buffered=("Routed", *_ACCEPTED_BUFFERED), speculative=("Routed", *_ACCEPTED_SHOWN), text="42", outcome="ACCEPTED"
        ),
    ),
    Case(
        name="nothing is accepted, so the strongest of equals is given",
        turns=(answers("40"), answers("41"), answers("42")),
        threshold=ACCEPT_NONE,
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_JUDGED_OUT_SHOWN, *_JUDGED_OUT_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="BEST_SEEN",
            reasons=("LOW_CONFIDENCE", "LOW_CONFIDENCE"),
        ),
    ),
    Case(
        name="a cut-off answer escalates whatever the threshold",
        turns=(Turn(Fate.IS_CUT_OFF, ("The answer is",)), answers("42")),
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_JUDGED_OUT_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            reasons=("TRUNCATED",),
        ),
    ),
    Case(
        name="a refusal escalates",
        turns=(answers(REFUSAL), answers("42")),
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_JUDGED_OUT_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            reasons=("REFUSED",),
        ),
    ),
    Case(
        name="an empty answer escalates",
        turns=(answers(), answers("42")),
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_JUDGED_OUT_BUFFERED, *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            reasons=("MALFORMED",),
        ),
    ),
    Case(
        name="a provider that fails escalates",
        turns=(Turn(Fate.FAILS), answers("42")),
        expected=Expected(
            buffered=("Routed", *_FAILED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_FAILED, *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            reasons=("PROVIDER_ERROR",),
        ),
    ),
    Case(
        name="a stream that breaks is withdrawn",
        turns=(Turn(Fate.BREAKS, ("4",)), answers("42")),
        expected=Expected(
            buffered=("Routed", *_FAILED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_BROKEN_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            reasons=("PROVIDER_ERROR",),
        ),
    ),
    Case(
        name="an end without a finish reason is a broken stream",
        turns=(Turn(Fate.ENDS_OPEN, ("4",)), answers("42")),
        expected=Expected(
            buffered=("Routed", *_FAILED, *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_BROKEN_SHOWN, *_ACCEPTED_SHOWN),
            text="42",
            outcome="ACCEPTED",
            reasons=("PROVIDER_ERROR",),
        ),
    ),
    Case(
        name="the last tier fails, so the best answer seen is given again",
        turns=(answers("41"), Turn(Fate.FAILS)),
        plan=("small", "large"),
        threshold=ACCEPT_NONE,
        expected=Expected(
            buffered=("Routed", *_JUDGED_OUT_BUFFERED, "AttemptStarted", "Delta", "Committed", "Completed"),
            speculative=("Routed", *_JUDGED_OUT_SHOWN, "AttemptStarted", "Delta", "Committed", "Completed"),
            text="41",
            outcome="BEST_SEEN",
            reasons=("LOW_CONFIDENCE",),
        ),
    ),
    Case(
        name="the ceiling on attempts stops the cascade",
        turns=(answers("41"),),
        threshold=ACCEPT_NONE,
        attempts_max=1,
        expected=Expected(
            buffered=("Routed", *_ACCEPTED_BUFFERED),
            speculative=("Routed", *_ACCEPTED_SHOWN),
            text="41",
            outcome="BEST_SEEN",
            ceiling="ATTEMPTS",
        ),
    ),
    Case(
        name="every model fails",
        turns=(Turn(Fate.FAILS), Turn(Fate.FAILS), Turn(Fate.FAILS)),
        expected=Expected(
            buffered=("Routed", *_FAILED, *_FAILED, "AttemptStarted"),
            speculative=("Routed", *_FAILED, *_FAILED, "AttemptStarted"),
            reasons=("PROVIDER_ERROR", "PROVIDER_ERROR"),
            error_reason="ALL_ATTEMPTS_FAILED",
        ),
    ),
    Case(
        name="a ceiling that leaves no room for one attempt",
        turns=(),
        cost_max_nano_usd=0,
        expected=Expected(buffered=("Routed",), speculative=("Routed",), error_reason="CEILING_TOO_LOW"),
    ),
    Case(
        name="a compound question is answered part by part, the second after the first",
        turns=(answers("4", "2"),),
        question="1. What is 6 times 7?\n2. Is it even?",
        parts=2,
        expected=Expected(
            buffered=("Decomposed", "Routed", *_ACCEPTED_BUFFERED[:-1], "Routed", *_ACCEPTED_BUFFERED),
            speculative=("Decomposed", "Routed", *_ACCEPTED_SHOWN[:-1], "Routed", *_ACCEPTED_SHOWN),
            text="1.\n42\n\n2.\n42",
            outcome="ACCEPTED",
        ),
    ),
    Case(
        name="a beginning that passes is final while its model writes on",
        turns=(Turn(Fate.ANSWERS, (BEGINNING,), later=(" is 42.",)),),
        expected=Expected(
            prefix_commit=("Routed", *_BEGUN, "Delta", "Judged", "Committed", "Completed"), text=BEGINNING + " is 42.", outcome="ACCEPTED"
        ),
    ),
    Case(
        name="a late rejection is continued by a model that can",
        turns=(Turn(Fate.IS_CUT_OFF, (BEGINNING,), later=(" is",)), answers(" is 42.")),
        plan=("small", CONTINUES),
        expected=Expected(
            prefix_commit=("Routed", *_BEGUN, "Delta", "Judged", "Retracted", "Escalated", *_ACCEPTED_BUFFERED),
            text=BEGINNING + " is 42.",
            outcome="ACCEPTED",
            reasons=("TRUNCATED",),
        ),
    ),
    Case(
        name="a late rejection that no model can continue is given and marked",
        turns=(Turn(Fate.IS_CUT_OFF, (BEGINNING,), later=(" is",)),),
        plan=("small", "medium"),
        expected=Expected(
            prefix_commit=("Routed", *_BEGUN, "Delta", "Judged", "Committed", "Completed"), text=BEGINNING + " is", outcome="BEST_SEEN"
        ),
    ),
    Case(
        name="a stream that breaks after its beginning is final is continued",
        turns=(Turn(Fate.ENDS_OPEN, (BEGINNING,), later=(" is 41",)), answers(" is 42.")),
        plan=("small", CONTINUES),
        expected=Expected(
            prefix_commit=("Routed", *_BEGUN, "Delta", "Retracted", "Escalated", *_ACCEPTED_BUFFERED),
            text=BEGINNING + " is 42.",
            outcome="ACCEPTED",
            reasons=("PROVIDER_ERROR",),
        ),
    ),
    Case(
        name="a stream that breaks after its beginning is final and that no model can continue",
        turns=(Turn(Fate.ENDS_OPEN, (BEGINNING,), later=(" is 41",)),),
        plan=("small", "medium"),
        expected=Expected(
            prefix_commit=("Routed", *_BEGUN, "Delta", "Retracted", "Completed"), text=BEGINNING, outcome="BEST_SEEN", incomplete=True
        ),
    ),
    Case(
        name="a hopeless beginning is broken off",
        turns=(Turn(Fate.STALLS, (LONG_REFUSAL,)), answers("42")),
        expected=Expected(
            prefix_commit=("Routed", *_JUDGED_OUT_BUFFERED, *_ACCEPTED_BUFFERED), text="42", outcome="ACCEPTED", reasons=("REFUSED",)
        ),
    ),
)
