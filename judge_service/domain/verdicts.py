"""What judges and the panel say about an answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Defect(Enum):
    """Something wrong with an answer that can be named."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    MALFORMED = "malformed"
    DEGENERATE = "degenerate"


class Status(Enum):
    """How asking one judge ended."""

    SCORED = "scored"
    ABSTAINED = "abstained"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens that asking a judge took."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What a judge says. ``score`` is 0.0 to 1.0, higher is better, or None when the judge abstains.

    ``explanation`` never quotes the answer. ``criteria`` are (name, score) pairs of judges with a rubric. ``same_answer_as`` are the ids of
    the other answers whose final answer is the same, from judges that compare answers.
    """

    score: float | None
    explanation: str = ""
    criteria: tuple[tuple[str, float], ...] = ()
    defects: tuple[Defect, ...] = ()
    cost_nano_usd: int = 0
    usage: TokenUsage = TokenUsage()
    same_answer_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOutcome:
    """What came of asking one judge about one candidate.

    ``score`` is set with ``Status.SCORED`` only; ``same_answer_as`` as in ``Opinion``.
    """

    judge: str
    status: Status
    score: float | None = None
    explanation: str = ""
    criteria: tuple[tuple[str, float], ...] = ()
    defects: tuple[Defect, ...] = ()
    duration_s: float = 0.0
    cost_nano_usd: int = 0
    usage: TokenUsage = TokenUsage()
    same_answer_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The panel's verdict on one candidate.

    ``confidence`` is the calibrated probability that the answer is right, ``disagreement`` how far the judges are apart; both 0.0
    to 1.0. ``outcomes`` has one entry per judge, in the order of the panel. ``evidence`` names the judges that scored, joined by `+`.
    """

    confidence: float
    disagreement: float
    outcomes: tuple[JudgeOutcome, ...]
    defects: tuple[Defect, ...]
    stopped_early: bool
    evidence: str
    calibration: str
    cost_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoVerdict:
    """Every judge failed on this candidate: there is nothing to rest a verdict on."""

    outcomes: tuple[JudgeOutcome, ...]


@dataclass(frozen=True, slots=True)
class Spoke:
    """One judge has spoken on the candidate at ``position`` in the request."""

    position: int
    outcome: JudgeOutcome


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of the candidate at ``position`` in the request is known."""

    position: int
    result: Verdict | NoVerdict


PanelEvent = Spoke | Judged
