"""What the configuration says to the panel, in the domain's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from servicekit.settings.judge import (
    AgreementJudgeSettings,
    ChecksJudgeSettings,
    ConfidenceJudgeSettings,
    JudgeEntry,
    LlmJudgeSettings,
    VerifierJudgeSettings,
)
from servicekit.settings.root import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJudge:
    """A configured judge. ``disabled_reason`` is empty when it can be asked."""

    settings: JudgeEntry
    model: str
    disabled_reason: str


def planned_judges(settings: Settings, availability: Mapping[str, str]) -> tuple[PlannedJudge, ...]:
    """All configured judges, in order. ``availability`` says for each model why it can't be used, empty when it can."""
    return tuple(_planned(judge, availability) for judge in settings.judge.judges)


def _planned(judge: JudgeEntry, availability: Mapping[str, str]) -> PlannedJudge:
    match judge:
        case ChecksJudgeSettings() | AgreementJudgeSettings() | ConfidenceJudgeSettings() | VerifierJudgeSettings():
            return PlannedJudge(settings=judge, model="", disabled_reason="")
        case LlmJudgeSettings():
            reason = availability[judge.model]
            return PlannedJudge(settings=judge, model=judge.model, disabled_reason=f"model `{judge.model}`: {reason}" if reason else "")
        case _:
            assert_never(judge)


def calibration_folder(settings: Settings) -> Path:
    """Folder of the calibration artifact."""
    return Path(settings.artifacts.directory) / settings.judge.calibration


def verifier_folder(settings: Settings, judge: VerifierJudgeSettings) -> Path:
    """Folder of the artifact of ``judge``."""
    return Path(settings.artifacts.directory) / judge.artifact
