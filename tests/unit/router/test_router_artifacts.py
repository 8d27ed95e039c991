from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from router_service.bootstrap import build_service
from router_service.domain.errors import ArtifactMismatch
from servicekit.artifacts import ArtifactError
from servicekit.settings.load import load_settings
from servicekit.telemetry import Telemetry

ARTIFACTS = Path(__file__).parents[3] / "artifacts"


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], Any]:
    """Builds the service on a copy of the artifacts in ``tmp_path``."""
    for name in ("encoder", "taxonomy", "suitability"):
        shutil.copytree(ARTIFACTS / name, tmp_path / "artifacts" / name)
    path = tmp_path / "emafusion.yaml"
    content = {"models": [{"name": "m", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:9/v1"}]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return lambda: build_service(load_settings(path, {}), telemetry=Telemetry.off())


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


async def test_copy_of_the_artifacts_starts(start: Callable[[], Any], blocked_event_loop_is_an_error: Any) -> None:
    blocked_event_loop_is_an_error.deactivate()
    service = start()
    await service.warm_up()
    await service.aclose()


@pytest.mark.parametrize("file", ["encoder/model.onnx", "encoder/tokenizer.json", "taxonomy/heads.onnx", "suitability/suitability.json"])
def test_missing_file_stops_the_start_with_its_name_and_what_mends_it(tmp_path: Path, start: Callable[[], Any], file: str) -> None:
    (tmp_path / "artifacts" / file).unlink()
    with pytest.raises(ArtifactError, match="is missing") as caught:
        start()
    assert file in str(caught.value)
    assert f"git checkout -- artifacts/{file.partition('/')[0]}" in str(caught.value)


def test_changed_file_stops_the_start(tmp_path: Path, start: Callable[[], Any]) -> None:
    path = tmp_path / "artifacts/encoder/model.onnx"
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.onnx has sha256"):
        start()


def test_missing_folder_stops_the_start(tmp_path: Path, start: Callable[[], Any]) -> None:
    shutil.rmtree(tmp_path / "artifacts/taxonomy")
    with pytest.raises(ArtifactError, match=r"taxonomy.manifest\.json is missing"):
        start()


@pytest.mark.parametrize(("folder", "key"), [("taxonomy", "encoder_fingerprint"), ("suitability", "taxonomy_fingerprint")])
def test_artifacts_of_different_trainings_do_not_start_together(tmp_path: Path, start: Callable[[], Any], folder: str, key: str) -> None:
    edit_manifest(tmp_path / "artifacts" / folder, lambda manifest: manifest["parameters"].update({key: "000000000000"}))
    with pytest.raises(ArtifactMismatch, match=f"make it again with `python -m training.{folder}"):
        start()


def test_heads_without_the_four_axes_do_not_start(tmp_path: Path, start: Callable[[], Any]) -> None:
    edit_manifest(tmp_path / "artifacts/taxonomy", lambda manifest: manifest["parameters"]["labels"].pop("domain"))
    with pytest.raises(ArtifactMismatch, match=r"parameters\.labels"):
        start()
