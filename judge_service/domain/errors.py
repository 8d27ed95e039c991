"""What can go wrong in the panel.

PanelError
├── UnreadableReply     a language model's verdict does not have the expected form
├── BadSchema           a JSON Schema is unusable
├── JudgeFailed         a judge could not be asked
├── UnknownJudge        a request names a judge that the panel does not have
└── BadCalibration      the calibration artifact does not fit together
"""

from __future__ import annotations

from judge_service.domain.verdicts import TokenUsage


class PanelError(Exception):
    """Something is wrong in the panel. Messages never quote prompts or answers."""


class UnreadableReply(PanelError):
    """A language model's verdict does not have the expected form."""


class BadSchema(PanelError):
    """A JSON Schema is unusable."""


class JudgeFailed(PanelError):
    """A judge could not be asked; ``cost_nano_usd`` and ``usage`` are what asking it took nevertheless."""

    def __init__(self, message: str, *, cost_nano_usd: int = 0, usage: TokenUsage | None = None) -> None:
        super().__init__(message)
        self.cost_nano_usd = cost_nano_usd
        self.usage = usage or TokenUsage()


class UnknownJudge(PanelError):
    """A request names a judge that the panel does not have."""

    def __init__(self, name: str, *, position: int, known: tuple[str, ...]) -> None:
        super().__init__(f"judge `{name}` is not configured; known: {', '.join(known)}")
        self.name = name
        self.position = position
        self.known = known


class BadCalibration(PanelError):
    """The calibration artifact does not fit together."""
