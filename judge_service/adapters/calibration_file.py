"""The calibration artifact: reads and checks `calibration.json`, and writes it for training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from judge_service.domain.calibration import Backoff, Calibration, Combination, Scale, Transform
from judge_service.domain.errors import BadCalibration
from judge_service.domain.verdicts import Defect
from servicekit.artifacts import ArtifactError, load_manifest

FILE_NAME = "calibration.json"

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Scale(_Part):
    transform: Literal["logit", "identity"]
    bound: Finite


class _Combination(_Part):
    intercept: Finite
    weights: dict[str, Finite]


class _Backoff(_Combination):
    shifts: dict[str, Finite]


class _File(_Part):
    epsilon: Finite
    scales: dict[str, _Scale]
    combinations: dict[str, _Combination]
    backoff: _Backoff
    caps: dict[Defect, Finite]


def load_calibration(folder: Path) -> Calibration:
    """The calibration in ``folder``, after its manifest has been checked. Blocks; raises ``ArtifactError``."""
    manifest = load_manifest(folder)
    path = folder / FILE_NAME
    if FILE_NAME not in {file.path for file in manifest.files}:
        raise ArtifactError(f"{folder} has no {FILE_NAME} in its manifest; make it again with `{manifest.command}`")
    try:
        return parse_calibration(path.read_text(encoding="utf-8"), version=f"{manifest.version}-{manifest.fingerprint}")
    except BadCalibration as error:
        raise ArtifactError(f"{path}: {error}; make it again with `{manifest.command}`") from error


def parse_calibration(text: str, *, version: str) -> Calibration:
    """The calibration that ``text`` (JSON) describes. Raises ``BadCalibration``."""
    try:
        file = _File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadCalibration(f"`{'.'.join(str(part) for part in first['loc'])}`: {first['msg']}") from error
    return Calibration(
        version=version,
        epsilon=file.epsilon,
        scales={kind: Scale(transform=Transform(scale.transform), bound=scale.bound) for kind, scale in file.scales.items()},
        combinations={
            frozenset(filter(None, key.split("+"))): Combination(intercept=entry.intercept, weights=entry.weights)
            for key, entry in file.combinations.items()
        },
        backoff=Backoff(intercept=file.backoff.intercept, weights=file.backoff.weights, shifts=file.backoff.shifts),
        caps=file.caps,
    )


def format_calibration(calibration: Calibration) -> str:
    """``calibration`` as JSON text that ``parse_calibration`` reads back; sets are keyed by their kinds, sorted and joined by `+`."""
    value: dict[str, Any] = {
        "epsilon": calibration.epsilon,
        "scales": {kind: {"transform": scale.transform.value, "bound": scale.bound} for kind, scale in calibration.scales.items()},
        "combinations": {
            "+".join(sorted(kinds)): {"intercept": entry.intercept, "weights": dict(entry.weights)}
            for kinds, entry in sorted(calibration.combinations.items(), key=lambda item: (len(item[0]), sorted(item[0])))
        },
        "backoff": {
            "intercept": calibration.backoff.intercept,
            "shifts": dict(calibration.backoff.shifts),
            "weights": dict(calibration.backoff.weights),
        },
        "caps": {defect.value: cap for defect, cap in calibration.caps.items()},
    }
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
