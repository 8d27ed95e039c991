"""The verifier artifact: ensembles of trees as ONNX graphs, word scores, records of models, and calibration curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt
import onnxruntime  # pyright: ignore[reportMissingTypeStubs] - has none
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from judge_service.adapters.local_judges import LocalJudge
from judge_service.domain.verifier import Curve, Verifier, VerifierParts, WordScore
from judge_service.domain.verifier_prior import OPTION_FEATURES
from judge_service.domain.verifier_rows import ALONE_FEATURES, KINDS, KindRecord
from judge_service.domain.verifier_together import TOGETHER_FEATURES
from judge_service.domain.verifier_words import SLOTS
from servicekit.artifacts import ArtifactError, Manifest, load_manifest

GRAPHS: Final = {"options": OPTION_FEATURES, "choice": ALONE_FEATURES, "open": ALONE_FEATURES, "together": TOGETHER_FEATURES}
"""Name of each graph and the features that it reads, in order."""
WORDS_NAME: Final = "words.npy"
FACTS_NAME: Final = "verifier.json"
INPUT: Final = "rows"
OUTPUT: Final = "probabilities"
PROBABILITY_MIN: Final = 1e-6

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CurveEntry(_Part):
    """A calibration curve in the file."""

    log_odds: tuple[Finite, ...] = Field(min_length=2, max_length=500)
    probabilities: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] = Field(min_length=2, max_length=500)


class Facts(_Part):
    """The file `verifier.json`. ``records``: per model and kind of question the rate's log-odds and the log-length's mean and deviation."""

    features: dict[str, tuple[str, ...]]
    kinds: tuple[str, ...]
    intercepts: tuple[Finite, Finite]
    records: dict[str, tuple[tuple[Finite, Finite, Finite], ...]]
    curve: CurveEntry


class _Session(Protocol):
    def run(self, output_names: list[str], inputs: Mapping[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]: ...


class OnnxTrees:
    """An ensemble of trees as an ONNX graph; may be called from several threads."""

    def __init__(self, path: Path) -> None:
        """Opens the graph at ``path`` on one thread: a row takes tens of microseconds."""
        runtime: Any = onnxruntime
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = cast("_Session", runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))

    def log_odds(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Log-odds of each row."""
        if not len(rows):
            return np.zeros(0)
        right = self._session.run([OUTPUT], {INPUT: rows})[0][:, 1].astype(np.float64)
        safe = np.clip(right, PROBABILITY_MIN, 1.0 - PROBABILITY_MIN)
        return np.log(safe / (1.0 - safe))


def verifier_judge(name: str, folder: Path) -> LocalJudge:
    """The judge `verifier` of the artifact in ``folder``. Blocks on files; raises ``ArtifactError``."""
    return LocalJudge(name, "verifier", Verifier(load_verifier(folder)).opinion_of)


def load_verifier(folder: Path) -> VerifierParts:
    """The artifact in ``folder``, after its manifest has been checked. Blocks; raises ``ArtifactError``."""
    manifest = load_manifest(folder)
    listed = {file.path for file in manifest.files}
    for file in (*(f"{graph}.onnx" for graph in GRAPHS), WORDS_NAME, FACTS_NAME):
        if file not in listed:
            raise ArtifactError(f"{folder} has no {file} in its manifest; make it again with `{manifest.command}`")
    facts = _facts(folder, manifest)
    words = np.load(folder / WORDS_NAME, allow_pickle=False).astype(np.float32)
    if words.shape != (2, SLOTS):
        raise ArtifactError(f"{folder / WORDS_NAME} has shape {words.shape}, not {(2, SLOTS)}; make it again with `{manifest.command}`")
    return VerifierParts(
        **{graph: OnnxTrees(folder / f"{graph}.onnx") for graph in GRAPHS},
        question_words=WordScore(weights=words[0], intercept=facts.intercepts[0]),
        answer_words=WordScore(weights=words[1], intercept=facts.intercepts[1]),
        records={model: tuple(_record(entry) for entry in entries) for model, entries in facts.records.items()},
        curve=_curve(facts.curve),
    )


def _facts(folder: Path, manifest: Manifest) -> Facts:
    path = folder / FACTS_NAME
    mend = f"make it again with `{manifest.command}`"
    try:
        facts = Facts.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError) as error:
        raise ArtifactError(f"{path} can't be read as the facts of a verifier; {mend}") from error
    if {graph: tuple(names) for graph, names in GRAPHS.items()} != facts.features or facts.kinds != KINDS:
        raise ArtifactError(f"{path} was made for other features than this version computes; {mend}")
    if any(len(entries) != len(KINDS) for entries in facts.records.values()):
        raise ArtifactError(f"{path} must have one record per kind of question; {mend}")
    curve = facts.curve
    if len(curve.log_odds) != len(curve.probabilities) or not _rises(curve.log_odds) or not _rises(curve.probabilities):
        raise ArtifactError(f"{path} has a curve that does not rise; {mend}")
    return facts


def _rises(values: Sequence[float]) -> bool:
    return all(one <= other for one, other in pairwise(values))


def _record(entry: tuple[float, float, float]) -> KindRecord:
    return KindRecord(rate=entry[0], log_chars_mean=entry[1], log_chars_stddev=entry[2])


def _curve(entry: CurveEntry) -> Curve:
    return Curve(log_odds=entry.log_odds, probabilities=entry.probabilities)
