"""Records what the local models answer, and calibrates the panel of judges on it.

``python -m training.panel record`` asks the local models of a configuration; ``emafusion up`` serves them. It can be interrupted and
goes on where it stopped. ``python -m training.panel fit`` writes ``artifacts/calibration`` from what is recorded and says how good it is.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import JsonValue

from judge_service.adapters.calibration_file import FILE_NAME, format_calibration
from providers.build import build_models
from servicekit.artifacts import write_manifest
from servicekit.settings.load import load_settings
from servicekit.settings.process import process_environment
from servicekit.telemetry import Telemetry
from training.panel_fit import (
    EPSILON,
    FOLDS,
    PENALTY,
    Measured,
    Sample,
    fit_calibration,
    measure,
    samples_of,
    show,
)
from training.panel_questions import panel_questions
from training.panel_record import record
from training.panel_rows import LADDER, ROWS_PATH, read_rows, write_rows
from training.panel_scores import scored_rows

ARTIFACT = Path(__file__).parent.parent / "artifacts" / "calibration"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.panel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="ask the local models and the llm judge")
    recording.add_argument("--config", type=Path, default=None, help="configuration with the local models; default ./emafusion.yaml")
    recording.add_argument("--rows", type=Path, default=ROWS_PATH, help="file of the recorded answers")
    fitting = commands.add_parser("fit", help="fit and measure the calibration")
    fitting.add_argument("--rows", type=Path, default=ROWS_PATH, help="file of the recorded answers")
    fitting.add_argument("--artifact", type=Path, default=ARTIFACT, help="folder to write")
    chosen = parser.parse_args(arguments)
    if chosen.command == "record":
        asyncio.run(_record(chosen.config, chosen.rows))
    else:
        fit(chosen.rows, chosen.artifact)


async def _record(config: Path | None, path: Path) -> None:
    loaded = load_settings(config, process_environment())
    telemetry = Telemetry.off()
    models = build_models(loaded.settings, secrets=loaded.secrets, tracer=telemetry.tracer, meter=telemetry.meter)
    try:
        await record({name: models[name] for name in LADDER}, panel_questions(), path=path, tell=print)
    finally:
        for model in models.values():
            await model.aclose()
    write_rows(path, scored_rows(read_rows(path)))


def fit(path: Path, folder: Path) -> None:
    """Fits the calibration on the rows at ``path``, measures it, and writes the artifact to ``folder``."""
    rows = scored_rows(read_rows(path))
    samples = samples_of(rows)
    calibration = fit_calibration(samples, version="new")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(format_calibration(calibration), encoding="utf-8")
    measured = measure(samples)
    _show(samples, measured)
    metrics: dict[str, JsonValue] = {name: {**asdict(figures)} for name, figures in measured.items()}
    data: dict[str, JsonValue] = {
        "rows": len(rows),
        "questions": len({row.question_id for row in rows}),
        "models": list(LADDER),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "source": "own questions, answers recorded from the local models",
    }
    manifest = write_manifest(
        folder,
        name="calibration",
        files=[FILE_NAME],
        created_by="training.panel",
        command="python -m training.panel fit",
        licence="Apache-2.0",
        data=data,
        metrics=metrics,
        parameters={"epsilon": EPSILON, "penalty": PENALTY, "folds": FOLDS},
    )
    print(f"{folder}: version {manifest.version}-{manifest.fingerprint}")


def _show(samples: Sequence[Sample], measured: dict[str, Measured]) -> None:
    for model in LADDER:
        right = [sample.correct for sample in samples if sample.model == model]
        print(f"{model:24} {sum(right):4} of {len(right):4} right ({sum(right) / max(len(right), 1):.1%})")
    show(measured)


if __name__ == "__main__":
    main()
