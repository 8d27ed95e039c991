"""The three services as processes on loopback ports, over the recorded answers to some questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from emafusion_cli.commands.up import raising_on_signals, signals_ignored
from emafusion_cli.stack import on_free_ports, plan_stack
from emafusion_cli.supervisor import Supervisor
from emafusion_cli.weights import ModelStore

from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.policy import Policy
from router_service.domain.models import CandidateModel
from servicekit.settings.load import load_settings
from servicekit.settings.process import process_environment

READY_TIMEOUT_S = 120.0
STOP_GRACE_S = 15.0
PATIENCE_MS = 120_000
"""Waits are long: a busy machine must not look like a difference."""
NANO_PER_USD = 1e9


def write_stack(
    folder: Path,
    *,
    data: Path,
    questions: Iterable[str],
    models: Iterable[CandidateModel],
    policies: Sequence[Policy],
    plan_models_max: int,
    artifacts: Path,
    calibration: str,
) -> Path:
    """Writes a configuration into ``folder`` and returns its path; beside it are the recorded rows of ``questions`` (ids), as they stand.

    ``calibration`` is the panel's, a folder below ``artifacts``; the learned router is on.
    """
    wanted = [("question_id", "in", list(questions))]
    for name in ("questions", "responses"):
        pq.write_table(pq.read_table(data / f"{name}.parquet", filters=wanted), folder / f"{name}.parquet")
    content: dict[str, Any] = {
        "models": [_model(model) for model in models],
        "router": {"plan_models_max": plan_models_max, "learned": {}},
        "judge": {
            "judges": [{"kind": kind} for kind in ("checks", "agreement", "verifier")],
            "calibration": calibration,
            "panel_deadline_ms": PATIENCE_MS,
        },
        "cascade": {
            "policies": [_policy(policy) for policy in policies],
            "default_policy": policies[0].name,
            "ceilings": {"cost_max_nano_usd": 10**15, "attempts_max": plan_models_max, "output_tokens_max": 1_048_576},
            "router_timeout_ms": PATIENCE_MS,
            "judge_timeout_ms": PATIENCE_MS,
            "store": {"url": "sqlite+aiosqlite:///decisions.sqlite3", "write_timeout_ms": PATIENCE_MS},
        },
        "artifacts": {"directory": str(artifacts.absolute())},
        "logging": {"level": "warning"},
    }
    path = folder / "emafusion.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _model(model: CandidateModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "provider": "recorded",
        "recording": "responses.parquet",
        "price": {
            "input_usd_per_mtok": model.input_nano_usd_per_mtok / NANO_PER_USD,
            "output_usd_per_mtok": model.output_nano_usd_per_mtok / NANO_PER_USD,
        },
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
    }


def _policy(policy: Policy) -> dict[str, Any]:
    if isinstance(policy, ThresholdPolicy):
        return {"name": policy.name, "kind": "threshold", "threshold": policy.threshold}
    return {"name": policy.name, "kind": "value"}


@contextmanager
def services_running(config: Path) -> Generator[str]:
    """Started and ready inside the block, stopped afterwards; gives the cascade's gRPC target. Blocks while they start.

    Signals that would end this process end the block first. The logs are in a folder beside ``config``. Raises ``CommandFailed`` when a
    service ends or does not get ready.
    """
    environ = _environ(process_environment())
    loaded, environ = on_free_ports(load_settings(config, environ), environ)
    plan = plan_stack(loaded, ModelStore(config.parent), environ)
    supervisor = Supervisor(stop_grace_s=STOP_GRACE_S)
    with raising_on_signals():
        try:
            supervisor.start(plan.specs)
            supervisor.wait_ready(READY_TIMEOUT_S)
            yield plan.targets["cascade"]
        finally:
            with signals_ignored():
                supervisor.stop()


def _environ(inherited: Mapping[str, str]) -> dict[str, str]:
    """What this process has, less what would change the configuration; the services are imported from where this process imports."""
    kept = {key: value for key, value in inherited.items() if not key.startswith("EMAFUSION")}
    return {**kept, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
