"""What the service needs to start: the calibration, and at least one judge that can be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from judge_service.adapters.calibration_file import FILE_NAME, format_calibration, load_calibration, parse_calibration
from judge_service.bootstrap import build_service
from judge_service.config import planned_judges
from judge_service.domain.errors import BadCalibration
from servicekit.artifacts import ArtifactError, load_manifest
from servicekit.settings.load import ConfigurationError, LoadedSettings
from servicekit.telemetry import Telemetry
from tests.support.judge_server import LOCAL, RUBRIC, judge_settings, write_calibration
from tests.support.judges import calibration

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_shipped_calibration_loads_and_covers_the_default_panel() -> None:
    folder = REPOSITORY / "artifacts" / "calibration"
    loaded = load_calibration(folder)
    for kinds in ({"checks"}, {"checks", "confidence", "llm"}, {"agreement", "checks", "confidence", "llm"}, {"agreement", "checks"}):
        assert frozenset(kinds) in loaded.combinations
    assert set(load_manifest(folder).metrics) >= {"checks+confidence+llm", "agreement+checks+confidence+llm"}


def test_a_calibration_survives_its_file() -> None:
    original = calibration(llm=1.25)
    assert parse_calibration(format_calibration(original), version="test-1") == original


@pytest.mark.parametrize("text", ["", "{}", '{"epsilon": 2}', format_calibration(calibration()).replace('"llm"', '"lmm"', 1)])
def test_a_file_that_is_no_calibration(text: str) -> None:
    with pytest.raises(BadCalibration):
        parse_calibration(text, version="v")


def test_a_missing_artifact_stops_the_start_with_the_command_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="git checkout"):
        build_service(judge_settings(tmp_path), telemetry=Telemetry.off())


def test_a_changed_artifact_stops_the_start(tmp_path: Path) -> None:
    folder = write_calibration(tmp_path / "artifacts" / "calibration")
    path = folder / FILE_NAME
    path.write_text(path.read_text().replace("0.01", "0.02"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=FILE_NAME):
        build_service(judge_settings(tmp_path), telemetry=Telemetry.off())


def _without_key(loaded: LoadedSettings) -> LoadedSettings:
    """The model `big` needs a key that is not there, and may be left out."""
    (model,) = loaded.settings.models
    changed = model.model_copy(update={"enabled": False})
    return replace(loaded, settings=loaded.settings.model_copy(update={"models": (changed,)}))


def test_a_judge_whose_model_is_not_available_is_listed_and_not_asked(tmp_path: Path) -> None:
    write_calibration(tmp_path / "artifacts" / "calibration")
    loaded = _without_key(judge_settings(tmp_path, (*LOCAL, RUBRIC)))
    service = build_service(loaded, telemetry=Telemetry.off())
    (llm,) = [judge for judge in planned_judges(loaded.settings, {"big": "no key"}) if judge.disabled_reason]
    assert llm.model == "big"
    assert service.models == {}


def test_no_judge_at_all_is_a_configuration_error(tmp_path: Path) -> None:
    write_calibration(tmp_path / "artifacts" / "calibration")
    with pytest.raises(ConfigurationError, match=r"judge\.judges"):
        build_service(_without_key(judge_settings(tmp_path, (RUBRIC,))), telemetry=Telemetry.off())
