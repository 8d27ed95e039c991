from __future__ import annotations

import json
from pathlib import Path

import pytest

from servicekit.artifacts import ArtifactError, Manifest, load_manifest, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "taxonomy"
    folder.mkdir()
    (folder / "heads.onnx").write_bytes(b"weights")
    return folder


def publish(folder: Path) -> Manifest:
    return write_manifest(
        folder,
        name="taxonomy",
        files=["heads.onnx"],
        created_by="training.taxonomy",
        command="python -m training.taxonomy",
        licence="Apache-2.0",
        metrics={"accuracy": 0.9},
    )


def test_what_was_written_is_loaded(folder: Path) -> None:
    written = publish(folder)
    assert load_manifest(folder) == written
    assert written.files[0].bytes == 7
    assert written.metrics == {"accuracy": 0.9}


def test_the_fingerprint_follows_the_files(folder: Path) -> None:
    before = publish(folder).fingerprint
    assert publish(folder).fingerprint == before
    (folder / "heads.onnx").write_bytes(b"changed")
    assert publish(folder).fingerprint != before


def test_a_changed_file_is_named_with_what_mends_it(folder: Path) -> None:
    publish(folder)
    (folder / "heads.onnx").write_bytes(b"tamperd")
    with pytest.raises(ArtifactError, match=r"heads\.onnx has sha256 .*git checkout -- artifacts/taxonomy.*python -m training\.taxonomy"):
        load_manifest(folder)


def test_a_shortened_file_is_named(folder: Path) -> None:
    publish(folder)
    (folder / "heads.onnx").write_bytes(b"w")
    with pytest.raises(ArtifactError, match=r"heads\.onnx has 1 bytes, its manifest says 7"):
        load_manifest(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    publish(folder)
    (folder / "heads.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"heads\.onnx is missing"):
        load_manifest(folder)


def test_a_missing_manifest_is_named(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing; mend it with `git checkout -- artifacts/taxonomy`"):
        load_manifest(folder)


@pytest.mark.parametrize("change", [{"files": [{"path": "../x", "sha256": "0" * 64, "bytes": 1}]}, {"name": ""}, {"more": 1}])
def test_a_manifest_that_is_none_is_refused(folder: Path, change: dict[str, object]) -> None:
    manifest = json.loads(publish(folder).model_dump_json()) | change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="is not a manifest"):
        load_manifest(folder)


def test_half_a_manifest_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"name": ')
    with pytest.raises(ArtifactError, match="is not a manifest"):
        load_manifest(folder)
