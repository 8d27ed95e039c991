"""What decides in the services, opened in this process: the artifacts as they are published, with the defaults of the configuration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.decision_quality.replay import InlineJudge
from cascade_service.adapters.onnx_gain import open_gain_model
from cascade_service.domain.gain import GainModel
from judge_service.adapters.calibration_file import load_calibration
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.adapters.local_judges import agreement_judge, checks_judge
from judge_service.adapters.onnx_verifier import verifier_judge
from judge_service.domain.panel import Panel
from router_service.adapters.onnx_encoder import SentenceEncoder, open_encoder
from router_service.adapters.onnx_heads import open_heads
from router_service.domain.learned import Blend, LearnedDecider
from router_service.domain.models import CandidateModel
from router_service.domain.ports import QualityPredictor
from router_service.domain.routing import Decider, RoutingPolicy
from router_service.domain.suitability import SuitabilityTable
from router_service.domain.taxonomy import Axis, ClearRule
from servicekit.artifacts import load_manifest

CLEAR_RULE = ClearRule((Axis.DOMAIN, Axis.REASONING_COMPLEXITY), 0.5)
"""The default of the router's configuration."""
TOKENS_MAX = 256
"""Tokens of a text that the encoder reads: the default of the router's configuration."""
CALIBRATION = "calibration-recorded"
"""Folder of the panel's calibration below that of the artifacts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciders:
    """What was opened from the folder ``artifacts``."""

    artifacts: Path
    encoder: SentenceEncoder
    panel: Panel
    gain_model: GainModel


def open_deciders(artifacts: Path) -> Deciders:
    """Opens everything; blocks. Raises ``ArtifactError`` when an artifact is missing or damaged."""
    return Deciders(
        artifacts=artifacts,
        encoder=open_encoder(artifacts / "encoder", tokens_max=TOKENS_MAX, threads=1),
        panel=open_panel(artifacts),
        gain_model=open_gain_model(artifacts / "value"),
    )


def open_panel(artifacts: Path) -> Panel:
    """The judges that ask no model, with the calibration for recorded answers; blocks."""
    judges = (
        InlineJudge(checks_judge("checks", JsonSchemaValidator())),
        InlineJudge(agreement_judge("agreement")),
        InlineJudge(verifier_judge("verifier", artifacts / "verifier")),
    )
    return Panel(judges, load_calibration(artifacts / CALIBRATION), early_stop=False, clock=time.monotonic)


def learned_decider(
    artifacts: Path, *, table: SuitabilityTable, predictor: QualityPredictor
) -> Callable[[tuple[CandidateModel, ...]], Decider]:
    """The learned router among the models that it is given, with this table and this predictor."""
    heads = open_heads(artifacts / "taxonomy", load_manifest(artifacts / "taxonomy"))
    policy = RoutingPolicy(clear_rule=CLEAR_RULE, slow_weight=0.0, policy_hash="")

    def decider(models: tuple[CandidateModel, ...]) -> Decider:
        return LearnedDecider(
            models=models, predictor=predictor, blend=Blend(1.0), table=table, policy=policy, fast=heads, slow=None, clock=time.monotonic
        )

    return decider
