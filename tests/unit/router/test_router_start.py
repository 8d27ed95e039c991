"""The entry point as a process: what it says and how it ends when it can't start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from servicekit.settings.process import process_environment

REPOSITORY = Path(__file__).parents[3]


def start(folder: Path, **sections: object) -> subprocess.CompletedProcess[str]:
    path = folder / "emafusion.yaml"
    content = {"models": [{"name": "m", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:9/v1"}], **sections}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    command = [sys.executable, "-m", "router_service", "--config", str(path)]
    return subprocess.run(  # noqa: S603 - our own entry point with fixed arguments
        command, cwd=REPOSITORY, env=dict(process_environment()), capture_output=True, text=True, timeout=60, check=False
    )


def test_missing_artifact_ends_the_process_with_the_file_and_what_mends_it(tmp_path: Path) -> None:
    ended = start(tmp_path, artifacts={"directory": str(tmp_path / "none")})
    line = json.loads(ended.stderr.strip().splitlines()[-1])
    assert ended.returncode == 1
    assert line["event"] == "not_started"
    assert str(tmp_path / "none" / "encoder" / "manifest.json") in line["cause"]
    assert "git checkout -- artifacts/encoder" in line["cause"]


def test_wrong_configuration_ends_the_process_with_all_problems(tmp_path: Path) -> None:
    ended = start(tmp_path, router={"plan_models_maximum": 3, "suitability_min": 7})
    assert ended.returncode == 2
    assert "plan_models_max" in ended.stderr
    assert "suitability_min" in ended.stderr
