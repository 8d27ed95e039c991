"""The one place that constructs the judge service."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import grpc
from emafusion.judge.v1 import judge_service_pb2, judge_service_pb2_grpc

from judge_service.adapters.calibration_file import load_calibration
from judge_service.adapters.instrumented import InstrumentedJudge, JudgeInstruments
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.adapters.llm_judge import LlmJudge, LlmJudgeOptions
from judge_service.adapters.local_judges import agreement_judge, checks_judge, confidence_judge
from judge_service.adapters.onnx_verifier import verifier_judge
from judge_service.config import PlannedJudge, calibration_folder, planned_judges, verifier_folder
from judge_service.domain.panel import Panel
from judge_service.domain.ports import Judge
from judge_service.transport.errors import error_table
from judge_service.transport.servicer import JudgeEntry, JudgeServicer, ServicerParts
from judge_service.transport.validation import RequestRules
from providers.build import build_models, model_availability
from providers.port import ChatModel
from servicekit.access import AccessRules
from servicekit.errors import ErrorTable
from servicekit.server import run_service
from servicekit.settings.auth import Scope
from servicekit.settings.judge import (
    AgreementJudgeSettings,
    ChecksJudgeSettings,
    ConfidenceJudgeSettings,
    LlmJudgeSettings,
    VerifierJudgeSettings,
)
from servicekit.settings.load import ConfigurationError, LoadedSettings
from servicekit.settings.root import Settings
from servicekit.settings.schema import Problem
from servicekit.telemetry import Telemetry, start_telemetry

NONCE_LETTERS = string.ascii_lowercase + string.digits
NONCE_CHARS = 8
"""Length of the code that separates a language-model judge's instructions from its material: one guess in 10¹² hits."""


SERVICE_NAME = judge_service_pb2.DESCRIPTOR.services_by_name["JudgeService"].full_name
METHOD_SCOPES: Mapping[str, Scope] = {"Judge": "judge", "StreamJudge": "judge", "ListJudges": "read"}
"""What a caller's API key must be good for, by method."""


@dataclass(frozen=True, slots=True)
class JudgeService:
    """The service, ready to be added to a server; ``aclose`` after the last call."""

    servicer: JudgeServicer
    errors: ErrorTable
    models: Mapping[str, ChatModel]

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Registers the servicer; returns the full names of its services."""
        judge_service_pb2_grpc.add_JudgeServiceServicer_to_server(self.servicer, server)
        return (SERVICE_NAME,)

    async def aclose(self) -> None:
        """Closes the models."""
        for model in self.models.values():
            await model.aclose()


def build_service(loaded: LoadedSettings, *, telemetry: Telemetry, models: Mapping[str, ChatModel] | None = None) -> JudgeService:
    """The service as configured. ``models`` replaces the configured models, for tests.

    Blocks on files. Raises ``ArtifactError`` for a missing or damaged artifact and ``ConfigurationError`` for wrong settings.
    """
    settings = loaded.settings
    calibration = load_calibration(calibration_folder(settings))
    planned = planned_judges(settings, model_availability(settings, loaded.secrets))
    if all(judge.disabled_reason for judge in planned):
        raise ConfigurationError(
            [Problem("judge.judges", "no judge can be asked: " + "; ".join(judge.disabled_reason for judge in planned))]
        )
    if models is None:
        models = build_models(settings, secrets=loaded.secrets, tracer=telemetry.tracer, meter=telemetry.meter)
    asked = [judge for judge in planned if not judge.disabled_reason]
    judges = _observed([_judge(judge, models, settings) for judge in asked], telemetry=telemetry, clock=time.monotonic)
    parts = ServicerParts(
        panel=Panel(judges, calibration, early_stop=settings.judge.early_stop, clock=time.monotonic),
        rules=RequestRules(limits=settings.limits, judges=[judge.name for judge in judges], candidates_max=settings.judge.candidates_max),
        listed=[_entry(judge) for judge in planned],
        panel_deadline_s=settings.judge.panel_deadline_ms / 1e3,
        clock=time.monotonic,
    )
    return JudgeService(JudgeServicer(parts), error_table(), models)


def access_rules(loaded: LoadedSettings) -> AccessRules:
    """Who may call the service."""
    return AccessRules(
        callers=frozenset(loaded.settings.services.judge.allowed_callers),
        scopes={f"{SERVICE_NAME}/{method}": scope for method, scope in METHOD_SCOPES.items()},
        secrets=loaded.secrets,
    )


async def serve(loaded: LoadedSettings) -> None:
    """Serves until SIGTERM or SIGINT, then drains."""
    settings = loaded.settings
    telemetry = start_telemetry("judge_service", settings.telemetry)
    service = build_service(loaded, telemetry=telemetry)
    await run_service(
        "judge_service",
        add_services=service.add_to,
        settings=settings.server,
        listen=settings.services.judge.listen,
        errors=service.errors,
        telemetry=telemetry,
        access=access_rules(loaded),
        on_drain=service.aclose,
    )


def _observed(judges: Sequence[Judge], *, telemetry: Telemetry, clock: Callable[[], float]) -> list[Judge]:
    instruments = JudgeInstruments.of(telemetry.meter)
    return [InstrumentedJudge(judge, tracer=telemetry.tracer, instruments=instruments, clock=clock) for judge in judges]


def _judge(planned: PlannedJudge, models: Mapping[str, ChatModel], settings: Settings) -> Judge:
    match planned.settings:
        case ChecksJudgeSettings(name=name):
            return checks_judge(name, JsonSchemaValidator())
        case AgreementJudgeSettings(name=name):
            return agreement_judge(name)
        case ConfidenceJudgeSettings(name=name):
            return confidence_judge(name)
        case VerifierJudgeSettings(name=name) as verifier:
            return verifier_judge(name, verifier_folder(settings, verifier))
        case LlmJudgeSettings() as llm:
            options = LlmJudgeOptions(
                name=llm.name,
                style=llm.style,
                max_output_tokens=llm.max_output_tokens,
                timeout_s=llm.timeout_ms / 1e3,
                not_for_own_answers=llm.not_for_own_answers,
            )
            return LlmJudge(models[llm.model], options, draw_nonce=_draw_nonce)
        case _:
            assert_never(planned.settings)


def _draw_nonce() -> str:
    return "".join(secrets.choice(NONCE_LETTERS) for _ in range(NONCE_CHARS))


def _entry(planned: PlannedJudge) -> JudgeEntry:
    return JudgeEntry(name=planned.settings.name, kind=planned.settings.kind, model=planned.model, disabled_reason=planned.disabled_reason)
