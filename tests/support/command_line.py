"""Runs the command line in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from emafusion_cli.app import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it printed."""

    exit_code: int
    out: str
    err: str


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Ended:
    """Runs `emafusion` with these arguments."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    code = ended.value.code
    return Ended(code if isinstance(code, int) else 0, captured.out, captured.err)


MINIMAL = """
models:
  - name: only
    provider: openai_compatible
    endpoint: http://127.0.0.1:{port}/v1
    api_key: {{env: ONLY_KEY}}
    when_key_missing: disable
    extra_body: {{session_token: hunter2}}
cascade:
  store: {{url: "postgresql+asyncpg://someone:hunter3@127.0.0.1:1/none"}}
services:
  router: {{listen: "127.0.0.1:{port}", target: "127.0.0.1:{port}"}}
  judge: {{listen: "127.0.0.1:{port}", target: "127.0.0.1:{port}"}}
  cascade: {{listen: "127.0.0.1:{port}", target: "127.0.0.1:{port}"}}
telemetry: {{file: spans.jsonl}}
"""


def minimal_configuration(folder: Path, *, port: int) -> Path:
    """A configuration with one hosted model, whose three services are all at ``port``."""
    path = folder / "emafusion.yaml"
    path.write_text(MINIMAL.format(port=port), encoding="utf-8")
    return path
