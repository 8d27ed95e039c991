"""Judges that ask no model: deterministic checks, agreement with other answers, and the answering model's own confidence.

They read texts of any length, so the work is done in a thread and the event loop stays free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from judge_service.domain import agreement, checks, confidence
from judge_service.domain.candidates import Case
from judge_service.domain.ports import SchemaValidator
from judge_service.domain.verdicts import Opinion


class LocalJudge:
    """A judge that is a pure function of the case. It costs nothing."""

    model = ""
    timeout_s: float | None = None

    def __init__(self, name: str, kind: str, opinion_of: Callable[[Case], Opinion], *, finds_defects: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.finds_defects = finds_defects
        self.opinion_of = opinion_of

    def cost_max_nano_usd(self, case: Case) -> int:
        """Nothing, whatever the case."""
        del case
        return 0

    async def judge(self, case: Case) -> Opinion:
        """Judges one candidate."""
        return await asyncio.to_thread(self.opinion_of, case)


def checks_judge(name: str, schemas: SchemaValidator) -> LocalJudge:
    """The judge `checks`: empty, truncated, refused, malformed, degenerate."""
    return LocalJudge(name, "checks", lambda case: checks.opinion_of(case, schemas), finds_defects=True)


def agreement_judge(name: str) -> LocalJudge:
    """The judge `agreement`: do other answers say the same."""
    return LocalJudge(name, "agreement", agreement.opinion_of)


def confidence_judge(name: str) -> LocalJudge:
    """The judge `confidence`: how sure the answering model was of its words."""
    return LocalJudge(name, "confidence", confidence.opinion_of)
