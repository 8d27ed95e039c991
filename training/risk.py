"""Certifies thresholds: ``python -m training.risk --data DIR`` writes ``artifacts/risk``.

For each bound on the share of wrong answers, each confidence in it and each kind of policy: the lowest threshold that keeps the bound, if
there is one, for the calibration under which it was found. It builds on what ``python -m training.verifier`` keeps in its cache folder,
for ``calibration-recorded``, and on the answers recorded from the local models, for ``calibration``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import JsonValue

from cascade_service.adapters.onnx_gain import open_gain_model
from cascade_service.adapters.risk_file import FILE_NAME, CertifiedThreshold, format_certificates
from judge_service.adapters.calibration_file import load_calibration
from servicekit.artifacts import load_manifest, sha256_of, write_manifest
from training.panel_fit import fold_calibrations, fold_of, judged, samples_of
from training.panel_recorded import draw, read_texts
from training.panel_rows import LADDER, ROWS_PATH, read_rows
from training.panel_scores import scored_rows
from training.risk_control import GRID, accepted_at, certify, violations
from training.risk_recorded import ATTEMPTS, NEVER, POOL_MODELS, PRICES, Played, RecordedPanel, climb, draw_episodes, weigh
from training.value import read_answered
from training.value_states import Belief
from training.verifier_sets import Places
from training.verifier_work import Work, read_work

ARTIFACT: Final = Path(__file__).parent.parent / "artifacts" / "risk"
WRONG_MAX: Final = (0.02, 0.05, 0.1, 0.2)
CONFIDENCE: Final = (0.9, 0.95)
RESPLITS: Final = 200
SEED: Final = 11

PolicyKind = Literal["threshold", "value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Requests that were played under one calibration; ``dev`` are others like them that nothing was certified on, None without any."""

    name: str
    policy_kind: PolicyKind
    calibration: str
    played: Played
    dev: Played | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.risk", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory with questions.parquet, responses.parquet, models.parquet")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder with what training.verifier kept")
    parser.add_argument("--artifacts", type=Path, default=ARTIFACT.parent, help="folder of the artifacts that are certified")
    parser.add_argument("--artifact", type=Path, default=ARTIFACT, help="folder to write")
    chosen = parser.parse_args(arguments)
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    sources = [local_ladder(chosen.artifacts), *recorded(chosen.data, chosen.cache, chosen.artifacts, tell)]
    certificates = [certificate for source in sources for certificate in certificates_of(source)]
    publish(chosen.artifact, certificates, measure(sources, tell), data=chosen.data, artifacts=chosen.artifacts)
    tell(f"{chosen.artifact}: {len(certificates)} certificates")


def local_ladder(artifacts: Path) -> Source:
    """The local models from small to large on the panel's own questions, each judged by a calibration that was fitted without it."""
    rows = scored_rows(read_rows(ROWS_PATH))
    folds = fold_calibrations(samples_of(rows))
    questions = sorted({row.question_id for row in rows})
    place = {question: index for index, question in enumerate(questions)}
    support, right = np.full((len(questions), len(LADDER)), NEVER), np.zeros((len(questions), len(LADDER)))
    for row, sample in zip(rows, samples_of(rows), strict=True):
        where = place[row.question_id], LADDER.index(row.model)
        right[where] = sample.correct
        if row.checks_score is not None and row.checks_score >= 1.0:  # the cascade never accepts an answer with a defect
            support[where] = judged(folds[fold_of(row.question_id)], sample, tuple(sorted(sample.features)))
    return Source(
        name="the panel's own questions, local models",
        policy_kind="threshold",
        calibration=_version(artifacts / "calibration"),
        played=Played(support, right),
    )


def recorded(data: Path, cache: Path, artifacts: Path, tell: Callable[[str], None]) -> list[Source]:
    """Policies of both kinds on recorded answers, under the calibration that knows the verifier."""
    work = read_work(cache)
    answered = read_answered(data, work)
    tell("read what is known of the answers")
    calibration = load_calibration(artifacts / "calibration-recorded")
    gain_model = open_gain_model(artifacts / "value")
    played: dict[str, dict[PolicyKind, Played]] = {}
    for split, questions in (("train", fresh_questions(work)), ("dev", np.flatnonzero(~work.corpus.train))):
        episodes = draw_episodes(work, answered, questions, np.random.default_rng(SEED))
        panel = RecordedPanel(work, calibration, read_texts(data, work, episodes.answers))
        tell(f"{split}: {len(episodes.answers):,} questions")
        played[split] = {"threshold": climb(episodes, panel)}
        tell(f"{split}: played with a threshold")
        played[split]["value"] = weigh(episodes, Belief(panel), gain_model)
        tell(f"{split}: played by value")
    return [
        Source(
            name="recorded answers, drawn models",
            policy_kind=kind,
            calibration=calibration.version,
            played=played["train"][kind],
            dev=played["dev"][kind],
        )
        for kind in played["train"]
    ]


def fresh_questions(work: Work) -> Places:
    """Training questions that the panel's calibration was not fitted on."""
    seen = work.corpus.question[draw(work)[:, 0]]
    return np.setdiff1d(np.flatnonzero(work.corpus.train), seen)


def certificates_of(source: Source) -> Iterable[CertifiedThreshold]:
    """The certificates that there are, bound by bound."""
    for wrong_max in WRONG_MAX:
        for confidence in CONFIDENCE:
            found = certify(source.played.support, source.played.right, wrong_max=wrong_max, confidence=confidence)
            if found is not None:
                yield CertifiedThreshold(
                    policy_kind=source.policy_kind,
                    source=source.name,
                    calibration=source.calibration,
                    wrong_max=wrong_max,
                    confidence=confidence,
                    threshold=found.threshold,
                    questions=found.questions,
                    accepted=found.accepted,
                    wrong=found.wrong,
                )


def measure(sources: Sequence[Source], tell: Callable[[str], None]) -> dict[str, JsonValue]:
    """Of each source what every bound comes to: where it was certified, on dev, and over resplits of dev."""
    found: dict[str, JsonValue] = {}
    for source in sources:
        certified = {(entry.wrong_max, entry.confidence): entry for entry in certificates_of(source)}
        for wrong_max in WRONG_MAX:
            for confidence in CONFIDENCE:
                entry = _measured(source, certified.get((wrong_max, confidence)), wrong_max, confidence)
                name = f"{source.name}, {source.policy_kind}, {wrong_max:g} with {confidence:g}"
                found[name] = entry
                tell(f"{name}: {entry}")
    return found


def _measured(source: Source, entry: CertifiedThreshold | None, wrong_max: float, confidence: float) -> dict[str, JsonValue]:
    """Shares. ``violated`` counts the resplits of ``resplit`` in which the other half broke the bound, ``refused`` those without any."""
    test = source.dev or source.played
    broken, refused, accepted = violations(
        test.support,
        test.right,
        wrong_max=wrong_max,
        confidence=confidence,
        resplits=RESPLITS,
        rng=np.random.default_rng(SEED),
    )
    figures: dict[str, JsonValue] = {
        "questions": len(source.played.right),
        "threshold": None if entry is None else entry.threshold,
        "resplit": "these" if source.dev is None else "dev",
        "violated": round(broken, 4),
        "refused": round(refused, 4),
        "accepted_in_resplits": round(accepted, 4),
    }
    if entry is not None:
        figures |= {"accepted": round(entry.accepted / entry.questions, 4), "wrong": round(entry.wrong / entry.accepted, 4)}
        if source.dev is not None:
            taken, wrong = accepted_at(source.dev.support, source.dev.right, entry.threshold)
            figures |= {"dev_questions": len(source.dev.right), "dev_accepted": round(taken / len(source.dev.right), 4)}
            figures["dev_wrong"] = round(wrong / max(taken, 1), 4)
    return figures


def publish(
    folder: Path, certificates: Sequence[CertifiedThreshold], metrics: Mapping[str, JsonValue], *, data: Path, artifacts: Path
) -> None:
    """Writes the certificates and their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(format_certificates(certificates), encoding="utf-8")
    write_manifest(
        folder,
        name="risk",
        files=[FILE_NAME],
        created_by="training.risk",
        command="python -m training.risk --data DIR",
        licence="Apache-2.0",
        data={
            "recorded": "answers and labels of ZeroEval, MMLU-Pro and reasoning-gym-eval (all Apache-2.0)",
            "responses_sha256": sha256_of(data / "responses.parquet"),
            "split": "certified on train questions that the calibration was not fitted on, measured on dev",
            "local_answers_sha256": sha256_of(ROWS_PATH),
            **{name: _version(artifacts / name) for name in ("calibration", "calibration-recorded", "value", "verifier")},
        },
        metrics=metrics,
        parameters={
            "grid": list(GRID),
            "attempts_max": ATTEMPTS,
            "pool_models": POOL_MODELS,
            "prices": list(PRICES),
            "resplits": RESPLITS,
        },
    )


def _version(folder: Path) -> str:
    manifest = load_manifest(folder)
    return f"{manifest.version}-{manifest.fingerprint}"


if __name__ == "__main__":
    main()
