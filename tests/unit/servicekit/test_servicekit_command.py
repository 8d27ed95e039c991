"""The command that starts a service: what it returns, and what it says when it can't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servicekit.command import CONFIGURATION_WRONG, NOT_STARTED, run_command
from servicekit.settings.load import LoadedSettings

GOOD = "models: [{name: m, provider: openai_compatible, endpoint: 'http://127.0.0.1:9/v1'}]\n"


class StoreDown(Exception):
    """An obstacle that only one service knows."""


def written(folder: Path, text: str) -> list[str]:
    path = folder / "emafusion.yaml"
    path.write_text(text, encoding="utf-8")
    return ["--config", str(path)]


def test_an_orderly_end_is_0(tmp_path: Path) -> None:
    served: list[LoadedSettings] = []

    async def serve(loaded: LoadedSettings) -> None:
        served.append(loaded)

    assert run_command("router_service", serve, written(tmp_path, GOOD)) == 0
    assert served[0].settings.models[0].name == "m"


def test_a_wrong_configuration_is_2_and_told_in_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def serve(loaded: LoadedSettings) -> None:
        pytest.fail("it must not serve")

    assert run_command("judge_service", serve, written(tmp_path, "models: []\njugde: {}\n")) == CONFIGURATION_WRONG
    said = capsys.readouterr().err
    assert "jugde" in said
    assert "nearest valid name: judge" in said
    assert "models" in said


@pytest.mark.parametrize("obstacle", [StoreDown("the store is down"), OSError("the address is taken")])
def test_an_obstacle_is_1_and_one_line_of_log(tmp_path: Path, capsys: pytest.CaptureFixture[str], obstacle: Exception) -> None:
    async def serve(loaded: LoadedSettings) -> None:
        raise obstacle

    assert run_command("cascade_service", serve, written(tmp_path, GOOD), obstacles=(StoreDown,)) == NOT_STARTED
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "not_started"
    assert json.loads(line)["cause"] == str(obstacle)


def test_an_unknown_error_keeps_its_traceback(tmp_path: Path) -> None:
    async def serve(loaded: LoadedSettings) -> None:
        raise StoreDown("unexpected here")

    with pytest.raises(StoreDown):
        run_command("router_service", serve, written(tmp_path, GOOD))
