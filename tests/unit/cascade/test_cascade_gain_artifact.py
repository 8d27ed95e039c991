"""The gain model's artifact: what it computes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade_service.adapters.onnx_gain import open_gain_model
from cascade_service.domain.gain import GAIN_FEATURES, Option, Seen, gain_rows
from cascade_service.domain.value import NextAnswerGain
from servicekit.artifacts import ArtifactError
from tests.support.gain_graph import write_gain_model


def test_the_graph_reads_rows_in_the_order_of_the_features(tmp_path: Path) -> None:
    model = open_gain_model(write_gain_model(tmp_path / "value"))
    options = [Option(quality=0.5, cost_nano_usd=10), Option(quality=0.9, cost_nano_usd=200)]
    for seen in ([], [Seen(quality=0.5, confidence=0.75, group=0)]):
        rows = gain_rows(seen, options, 1_000)
        found = model.net_gain(rows)
        assert found.shape == (2,)
        np.testing.assert_allclose(found, NextAnswerGain().net_gain(rows), atol=1e-6)


def test_a_graph_for_other_features_is_refused(tmp_path: Path) -> None:
    folder = write_gain_model(tmp_path / "value", features=GAIN_FEATURES[::-1])
    with pytest.raises(ArtifactError, match=r"other features than this version computes; make it again with `python -m training\.value`"):
        open_gain_model(folder)


def test_a_graph_with_another_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="must read `rows`"):
        open_gain_model(write_gain_model(tmp_path / "value", output="gains"))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    folder = write_gain_model(tmp_path / "value")
    manifest = (folder / "manifest.json").read_text()
    (folder / "gain.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match="bytes, its manifest says"):
        open_gain_model(folder)
    assert manifest


def test_a_folder_without_an_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        open_gain_model(tmp_path / "value")
