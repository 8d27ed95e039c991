"""How good the panel's confidence is: AUROC and calibration error by evidence, and what a stated risk comes to on new questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.decision_quality.play import Played
from benchmarks.decision_quality.pools import Floats, Pool
from benchmarks.decision_quality.replay import PanelInProcess
from cascade_service.domain.chat import FinishReason, Message, OutputContract, Role
from cascade_service.domain.ports import Answer, JointQuestion
from training.panel_logistic import auroc, calibration_error
from training.risk_control import violations

BINS = 15
RESAMPLES = 500
RESPLITS = 200
RISKS = (0.05, 0.1, 0.2)
CONFIDENCE = 0.9
SEED = 20261122


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The panel's confidence in one answer, given ``evidence``. The interval of the AUROC covers 95 %."""

    pool: str
    split: str
    evidence: str
    n: int
    right: float
    auroc: float
    auroc_low: float
    auroc_high: float
    ece: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Thresholds certified on one half of the questions, tried on the other, ``resplits`` times.

    ``violated`` is the share of the splits in which more than ``wrong_max`` of the accepted answers were wrong, ``refused`` the share
    without a certificate, ``accepted`` the mean share of questions accepted.
    """

    pool: str
    split: str
    method: str
    setting: str
    n: int
    wrong_max: float
    confidence: float
    resplits: int
    violated: float
    refused: float
    accepted: float


async def evidence_rows(pool: Pool, split: str, judge: PanelInProcess, order: Sequence[int], quality: Floats) -> list[Evidence]:
    """The first of the endpoints in ``order``, judged alone and beside one, two, … others; then the best of each of these sets.

    ``quality`` ``(questions, endpoints)`` is what the router predicted.
    """
    rows: list[Evidence] = []
    for count in range(1, len(order) + 1):
        some = order[:count]
        said = np.array([await _confidences(pool, index, some, judge, quality[index]) for index in range(len(pool.questions))])
        right = pool.right[:, list(some)]
        names = " + ".join(pool.endpoints[endpoint] for endpoint in some)
        rows.append(_row(pool.name, split, f"{names}: the first", said[:, 0], right[:, 0]))
        if count > 1:
            best = said.argmax(axis=1)
            places = np.arange(len(best))
            rows.append(_row(pool.name, split, f"{names}: the best", said[places, best], right[places, best]))
    return rows


async def _confidences(pool: Pool, index: int, endpoints: Sequence[int], judge: PanelInProcess, quality: Floats) -> list[float]:
    question, answers = pool.questions[index], pool.answers[index]
    candidates = tuple(
        Answer(
            id=f"attempt-{place}",
            text=answers[endpoint].text,
            model=answers[endpoint].model,
            finish_reason=FinishReason.LENGTH if answers[endpoint].truncated else FinishReason.STOP,
            predicted_quality=None if np.isnan(quality[endpoint]) else float(quality[endpoint]),
        )
        for place, endpoint in enumerate(endpoints)
    )
    asked = JointQuestion(messages=(Message(Role.USER, question.prompt),), candidates=candidates, output=OutputContract(), judges=())
    verdicts = await judge.judge_all(asked, timeout_s=60.0)
    return [0.0 if verdict is None else verdict.confidence for verdict in verdicts]


def _row(pool: str, split: str, evidence: str, said: Floats, right: Floats) -> Evidence:
    draw = np.random.default_rng(SEED)
    drawn = [auroc(said[rows], right[rows]) for rows in (draw.integers(0, len(said), len(said)) for _ in range(RESAMPLES))]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Evidence(
        pool=pool,
        split=split,
        evidence=evidence,
        n=len(said),
        right=float(right.mean()),
        auroc=auroc(said, right),
        auroc_low=float(low),
        auroc_high=float(high),
        ece=calibration_error(said, right, bins=BINS),
    )


def risk_rows(pool: str, split: str, method: str, setting: str, played: Played) -> list[Risk]:
    """What stated risks come to for the answers that a method gave with a confidence."""
    found: list[Risk] = []
    for wrong_max in RISKS:
        broken, refused, accepted = violations(
            played.confidence,
            played.right,
            wrong_max=wrong_max,
            confidence=CONFIDENCE,
            resplits=RESPLITS,
            rng=np.random.default_rng(SEED),
        )
        found.append(
            Risk(
                pool=pool,
                split=split,
                method=method,
                setting=setting,
                n=len(played.right),
                wrong_max=wrong_max,
                confidence=CONFIDENCE,
                resplits=RESPLITS,
                violated=broken,
                refused=refused,
                accepted=accepted,
            )
        )
    return found
