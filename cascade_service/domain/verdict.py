"""What the panel says about an answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cascade_service.domain.chat import Usage


class Defect(Enum):
    """Something wrong with an answer that can be named."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    MALFORMED = "malformed"
    DEGENERATE = "degenerate"


class JudgeStatus(Enum):
    """How asking one judge ended."""

    SCORED = "scored"
    ABSTAINED = "abstained"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CriterionScore:
    """Score of one criterion of the rubric, 0.0 to 1.0."""

    criterion: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOutcome:
    """What came of asking one judge. ``score`` is 0.0 to 1.0 and set only with ``JudgeStatus.SCORED``.

    ``same_answer_as`` are the ids of the other answers that say the same, from judges that compare answers.
    """

    judge: str
    status: JudgeStatus
    score: float | None = None
    explanation: str = ""
    criteria: tuple[CriterionScore, ...] = ()
    defects: tuple[Defect, ...] = ()
    duration_s: float = 0.0
    cost_nano_usd: int = 0
    usage: Usage | None = None
    same_answer_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The panel's verdict. ``confidence`` and ``disagreement`` are 0.0 to 1.0."""

    confidence: float
    disagreement: float = 0.0
    outcomes: tuple[JudgeOutcome, ...] = ()
    defects: tuple[Defect, ...] = ()
    stopped_early: bool = False
    evidence: str = ""
    calibration: str = ""
    cost_nano_usd: int = 0

    @property
    def inference_s(self) -> float:
        """Time that the judges took, added up, in seconds."""
        return sum(outcome.duration_s for outcome in self.outcomes)

    @property
    def same_answer_as(self) -> frozenset[str]:
        """Ids of the other answers that any judge found to say the same."""
        return frozenset(answer for outcome in self.outcomes for answer in outcome.same_answer_as)

    def says_the_same_as(self, other: Verdict | None) -> bool:
        """True when nothing that is decided on differs; times and costs may."""
        return other is not None and _told(self) == _told(other)


def _told(verdict: Verdict) -> tuple[object, ...]:
    return verdict.confidence, verdict.disagreement, verdict.defects, verdict.evidence, verdict.calibration, verdict.same_answer_as
