"""Configuration of the judge service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from servicekit.settings.base import Name, PositiveMs, Section


class ChecksJudgeSettings(Section):
    """Deterministic checks: empty, truncated, refused, malformed, degenerate."""

    kind: Literal["checks"]
    """`checks`."""
    name: Name = "checks"
    """Name of the judge."""


class AgreementJudgeSettings(Section):
    """Compares the candidate's final answer with those of its peers."""

    kind: Literal["agreement"]
    """`agreement`."""
    name: Name = "agreement"
    """Name of the judge."""


class ConfidenceJudgeSettings(Section):
    """Reads the token log-probabilities of the answer."""

    kind: Literal["confidence"]
    """`confidence`."""
    name: Name = "confidence"
    """Name of the judge."""


class VerifierJudgeSettings(Section):
    """Reads the answer with trees learned from recorded answers of many models."""

    kind: Literal["verifier"]
    """`verifier`."""
    name: Name = "verifier"
    """Name of the judge."""
    artifact: str = "verifier"
    """Folder of the verifier below `artifacts.directory`."""


class LlmJudgeSettings(Section):
    """Asks a language model about the answer."""

    kind: Literal["llm"]
    """`llm`."""
    name: Name = "llm"
    """Name of the judge."""
    model: Name
    """Name of the model that judges."""
    style: Literal["rubric", "yes_no"] = "rubric"
    """`rubric`: seven criteria, answered as JSON. `yes_no`: the model's probability of the word Yes, for small models."""
    max_output_tokens: int = Field(default=400, ge=1, le=4_096)
    """Most tokens of the reply, with style `rubric`."""
    timeout_ms: PositiveMs = 30_000
    """Longest wait for the model in milliseconds."""
    not_for_own_answers: bool = False
    """True keeps the judge silent on answers that its own model wrote."""


JudgeEntry = Annotated[
    ChecksJudgeSettings | AgreementJudgeSettings | ConfidenceJudgeSettings | VerifierJudgeSettings | LlmJudgeSettings,
    Field(discriminator="kind"),
]


def _default_judges() -> tuple[JudgeEntry, ...]:
    return (
        ChecksJudgeSettings(kind="checks"),
        AgreementJudgeSettings(kind="agreement"),
        ConfidenceJudgeSettings(kind="confidence"),
    )


class JudgeSettings(Section):
    """The judge service."""

    judges: tuple[JudgeEntry, ...] = Field(default_factory=_default_judges, min_length=1, max_length=32)
    """The panel, in the order in which outcomes are reported."""
    calibration: str = "calibration"
    """Folder of the calibration below `artifacts.directory`."""
    panel_deadline_ms: PositiveMs = 45_000
    """Longest time for all judges on one request; shortened to the caller's deadline."""
    early_stop: bool = True
    """Stop once no remaining judge can move the confidence across the caller's threshold."""
    candidates_max: int = Field(default=16, ge=1, le=16)
    """Most candidates in one request."""
