"""The real router service, real artifacts included, behind a real server and channel in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from blockbuster import BlockBuster

from router_service.bootstrap import RouterService, build_service
from servicekit.settings.load import load_settings
from servicekit.telemetry import Telemetry
from tests.support.servers import Served, serve
from tests.support.suite import blocking_allowed

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
LOCAL = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")


def configuration(**sections: Any) -> dict[str, Any]:
    models = [
        {
            "name": name,
            "provider": "openai_compatible",
            "endpoint": "http://127.0.0.1:9/v1",
            "price": {"input_usd_per_mtok": 0.1 * 4**tier, "output_usd_per_mtok": 0.2 * 4**tier},
            "context_tokens": 4096,
            "max_output_tokens": 512,
            "capabilities": ["logprobs"] if tier else [],
        }
        for tier, name in enumerate(LOCAL)
    ]
    hosted = {
        "name": "hosted",
        "provider": "anthropic",
        "api_key": {"env": "A_KEY_THAT_IS_NOT_SET"},
        "when_key_missing": "disable",
        "context_tokens": 200_000,
    }
    return {"models": [*models, hosted], "artifacts": {"directory": str(ARTIFACTS)}, **sections}


def build(folder: Path, buster: BlockBuster, content: dict[str, Any], telemetry: Telemetry) -> RouterService:
    path = folder / "emafusion.yaml"
    with blocking_allowed(buster):
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return build_service(load_settings(path, {}), telemetry=telemetry)


@asynccontextmanager
async def serving(folder: Path, buster: BlockBuster, *, telemetry: Telemetry | None = None, **sections: Any) -> AsyncGenerator[Served]:
    """The service on a free port, with a configuration that is written to ``folder``."""
    telemetry = telemetry or Telemetry.off()
    service = build(folder, buster, configuration(**sections), telemetry)
    try:
        await service.warm_up()
        async with serve(service.add_to, errors=service.errors, telemetry=telemetry) as running:
            yield running
    finally:
        await service.aclose()
