"""The judge service in this process, as its bootstrap builds it, on scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emafusion.common.v1 import chat_pb2
from emafusion.judge.v1 import judge_service_pb2, judge_service_pb2_grpc

from judge_service.adapters.calibration_file import FILE_NAME, format_calibration
from judge_service.bootstrap import JudgeService, build_service
from judge_service.config import calibration_folder
from providers.port import ChatModel
from servicekit.artifacts import write_manifest
from servicekit.settings.load import LoadedSettings
from servicekit.settings.root import Settings
from servicekit.settings.secrets import SecretSource
from servicekit.telemetry import Telemetry
from tests.support.judges import calibration
from tests.support.servers import Served, serve

if TYPE_CHECKING:
    from emafusion.judge.v1.judge_service_pb2_grpc import JudgeServiceAsyncStub

LOCAL: tuple[Mapping[str, Any], ...] = ({"kind": "checks"}, {"kind": "agreement"}, {"kind": "confidence"})
RUBRIC: Mapping[str, Any] = {"kind": "llm", "model": "big"}


def write_calibration(folder: Path) -> Path:
    """A valid artifact in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(format_calibration(calibration()), encoding="utf-8")
    write_manifest(folder, name="calibration", version="test", files=[FILE_NAME], created_by="tests", command="none", licence="Apache-2.0")
    return folder


def judge_settings(folder: Path, judges: tuple[Mapping[str, Any], ...] = LOCAL, **judge: object) -> LoadedSettings:
    """A configuration with one model, `big`, and its artifacts below ``folder``."""
    settings = Settings.model_validate(
        {
            "models": [{"name": "big", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:9/v1"}],
            "judge": {"judges": [dict(entry) for entry in judges], **judge},
            "artifacts": {"directory": str(folder / "artifacts")},
            "limits": {"candidate_chars_max": 5_000, "message_chars_max": 1_000},
        }
    )
    return LoadedSettings(settings=settings, path=folder / "emafusion.yaml", secrets=SecretSource({}, folder), policy_hash="test")


@asynccontextmanager
async def serving(loaded: LoadedSettings, *models: ChatModel, telemetry: Telemetry | None = None) -> AsyncGenerator[Served]:
    """The judge service on a free port; ``models`` stand in for the configured ones."""
    telemetry = telemetry or Telemetry.off()

    def build() -> JudgeService:
        write_calibration(calibration_folder(loaded.settings))
        return build_service(loaded, telemetry=telemetry, models={model.card.name: model for model in models})

    service = await asyncio.to_thread(build)
    async with serve(service.add_to, errors=service.errors, telemetry=telemetry) as served:
        yield served


@asynccontextmanager
async def judging(loaded: LoadedSettings, *models: ChatModel, telemetry: Telemetry | None = None) -> AsyncGenerator[JudgeServiceAsyncStub]:
    """A stub of the judge service, served as above."""
    async with serving(loaded, *models, telemetry=telemetry) as served:
        yield judge_service_pb2_grpc.JudgeServiceStub(served.channel)


def judge_request(*texts: str, **fields: Any) -> judge_service_pb2.JudgeRequest:
    """A question with one candidate per text, called c0, c1, …"""
    return judge_service_pb2.JudgeRequest(
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content="What is the capital of France?")],
        candidates=[judge_service_pb2.Candidate(id=f"c{i}", text=text, model="small") for i, text in enumerate(texts)],
        **fields,
    )
