"""Judges and a calibration for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from judge_service.domain.calibration import Backoff, Calibration, Combination, Scale, Transform
from judge_service.domain.candidates import Candidate, Case, Contract, Ending, LogprobFigures, Speaker, Turn
from judge_service.domain.errors import JudgeFailed
from judge_service.domain.verdicts import Defect, Opinion

SCALES = {
    "checks": Scale(transform=Transform.IDENTITY, bound=0.5),
    "agreement": Scale(transform=Transform.IDENTITY, bound=0.5),
    "confidence": Scale(transform=Transform.LOGIT, bound=4.0),
    "llm": Scale(transform=Transform.LOGIT, bound=4.0),
}
CAPS = {Defect.EMPTY: 0.01, Defect.TRUNCATED: 0.3, Defect.REFUSED: 0.05, Defect.MALFORMED: 0.05, Defect.DEGENERATE: 0.05}


def calibration(**weights: float) -> Calibration:
    """A calibration whose backoff has the given weights (1.0 for kinds not named) and one combination, of `checks` and `llm`."""
    by_kind = {kind: weights.get(kind, 1.0) for kind in SCALES}
    return Calibration(
        version="test-1",
        epsilon=0.01,
        scales=SCALES,
        combinations={frozenset({"checks", "llm"}): Combination(intercept=-0.5, weights={"checks": 1.0, "llm": by_kind["llm"]})},
        backoff=Backoff(intercept=0.0, shifts=dict.fromkeys(SCALES, 0.0), weights=by_kind),
        caps=CAPS,
    )


def case(
    text: str = "Paris",
    *,
    question: str = "What is the capital of France?",
    others: Iterable[str] = (),
    ending: Ending = Ending.STOP,
    logprobs: LogprobFigures | None = None,
    contract: Contract | None = None,
    model: str = "small",
) -> Case:
    """A lone question with one candidate and other answers."""
    return Case(
        conversation=(Turn(Speaker.USER, question),),
        candidate=Candidate(id="a", text=text, model=model, ending=ending, logprobs=logprobs),
        others=tuple(Candidate(id=f"o{i}", text=other) for i, other in enumerate(others)),
        contract=contract or Contract(),
    )


@dataclass
class ScriptedJudge:
    """Says ``score`` (None abstains), or raises ``error``; waits for ``gate`` first. Counts what became of its calls."""

    name: str
    kind: str = "llm"
    score: float | None = 0.5
    error: Exception | None = None
    gate: asyncio.Event | None = None
    model: str = ""
    timeout_s: float | None = None
    finds_defects: bool = False
    defects: tuple[Defect, ...] = ()
    cost: int = 0
    asked: list[str] = field(default_factory=list[str])
    cancelled: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def cost_max_nano_usd(self, case: Case) -> int:
        return self.cost

    async def judge(self, case: Case) -> Opinion:
        self.asked.append(case.candidate.id)
        self.reached.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Opinion(score=self.score, explanation="scripted", defects=self.defects, cost_nano_usd=self.cost)


def broken(name: str, kind: str = "llm") -> ScriptedJudge:
    """A judge that fails."""
    return ScriptedJudge(name, kind, error=JudgeFailed("scripted failure"))
