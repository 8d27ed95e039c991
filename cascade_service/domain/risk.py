"""Certificates: a threshold that keeps its promise on how many accepted answers are wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCertificate:
    """At ``threshold`` at most a share of ``wrong_max`` of the accepted answers is wrong, with probability ``confidence``. All 0.0 to 1.0.

    It was found on ``questions`` questions and holds for requests like those, judged under ``calibration`` as verdicts name it.
    """

    wrong_max: float
    confidence: float
    threshold: float
    calibration: str
    questions: int
