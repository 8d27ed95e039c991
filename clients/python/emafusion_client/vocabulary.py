"""The closed sets of words in requests and answers. ``UNSPECIFIED`` also stands for a word that this version does not know yet."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Who wrote a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class OutputKind(StrEnum):
    """What the whole answer must parse as."""

    UNSPECIFIED = "unspecified"
    JSON = "json"
    PYTHON = "python"
    CHOICE = "choice"
    NUMBER = "number"


class Delivery(StrEnum):
    """When text is shown: only once it is accepted, or at once with the chance that it is withdrawn.

    With ``PREFIX_COMMIT`` it is shown, and is final, as soon as its beginning is good enough; only what follows may be withdrawn.
    """

    UNSPECIFIED = "unspecified"
    BUFFERED = "buffered"
    SPECULATIVE = "speculative"
    PREFIX_COMMIT = "prefix_commit"


class FinishReason(StrEnum):
    """Why a model stopped writing."""

    UNSPECIFIED = "unspecified"
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


class RouteKind(StrEnum):
    """Which router decided."""

    UNSPECIFIED = "unspecified"
    TAXONOMY = "taxonomy"
    LEARNED = "learned"
    PRIOR = "prior"
    FIXED = "fixed"


class ExclusionCause(StrEnum):
    """What kept a model out of a plan."""

    UNSPECIFIED = "unspecified"
    DENIED = "denied"
    NOT_ALLOWED = "not_allowed"
    CONTEXT_TOO_LONG = "context_too_long"
    COST_CEILING = "cost_ceiling"
    MISSING_CAPABILITY = "missing_capability"
    UNSUITABLE = "unsuitable"
    DOMINATED = "dominated"
    DISABLED = "disabled"
    PLAN_FULL = "plan_full"


class JudgeStatus(StrEnum):
    """How asking a judge ended."""

    UNSPECIFIED = "unspecified"
    SCORED = "scored"
    ABSTAINED = "abstained"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"


class Defect(StrEnum):
    """Something wrong with an answer that can be named."""

    UNSPECIFIED = "unspecified"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    MALFORMED = "malformed"
    DEGENERATE = "degenerate"


class EscalationReason(StrEnum):
    """Why an attempt did not end the cascade."""

    UNSPECIFIED = "unspecified"
    LOW_CONFIDENCE = "low_confidence"
    JUDGES_DISAGREE = "judges_disagree"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    MALFORMED = "malformed"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"
    UNJUDGED = "unjudged"


class Ceiling(StrEnum):
    """A limit that ended the cascade; ``UNSPECIFIED`` when none did."""

    UNSPECIFIED = "unspecified"
    COST = "cost"
    ATTEMPTS = "attempts"
    OUTPUT_TOKENS = "output_tokens"
    TIME = "time"
    BUDGET = "budget"


class PolicyKind(StrEnum):
    """How a policy decides."""

    UNSPECIFIED = "unspecified"
    THRESHOLD = "threshold"
    VALUE = "value"


class Outcome(StrEnum):
    """How the cascade came to its answer."""

    UNSPECIFIED = "unspecified"
    ACCEPTED = "accepted"
    BEST_SEEN = "best_seen"
    UNJUDGED = "unjudged"


class DecisionStatus(StrEnum):
    """How a request ended."""

    UNSPECIFIED = "unspecified"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
