"""Calibrates the panel of judges on recorded answers.

A recording comes from ``emafusion record``. ``judge`` asks the configuration's `llm` judge about each of its answers, ``fit`` writes a
calibration and says how good it is. Without ``--data``, ``fit`` makes the committed calibration from the committed rows; those come from a
recording of our own short questions: ``questions`` writes them as a file for `emafusion record`, ``grade`` is its verifier command, and
``rows`` turns the recording into rows.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from judge_service.adapters.calibration_file import FILE_NAME, format_calibration
from judge_service.domain.candidates import Ending
from providers.build import build_models
from servicekit.artifacts import sha256_of, write_manifest
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
from training.panel_grading import is_right
from training.panel_judge import judge_recording, llm_settings
from training.panel_questions import panel_questions
from training.panel_recording import cheapest_first, read_recording
from training.panel_rows import LADDER, ROWS_PATH, AnswerRow, read_rows, write_rows
from training.panel_scores import scored_rows

ARTIFACT = Path(__file__).parent.parent / "artifacts" / "calibration"
NANO_PER_USD = 1_000_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    chosen = _parser().parse_args(arguments)
    match chosen.command:
        case "questions":
            print("\n".join(json.dumps(question, ensure_ascii=False) for question in own_questions()))
        case "grade":
            print(int(grade(sys.stdin.read())))
        case "judge":
            asyncio.run(_judge(chosen.config, chosen.data, round(chosen.cost_max_usd * NANO_PER_USD)))
        case "rows":
            write_own_rows(chosen.data, chosen.rows)
        case _:
            fit(chosen.rows, chosen.artifact, data=chosen.data, splits=frozenset(chosen.split or ()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.panel", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    judging = commands.add_parser("judge", help="ask the llm judge about the answers of a recording")
    judging.add_argument("--config", type=Path, default=None, help="configuration with the judge; default ./emafusion.yaml")
    judging.add_argument("--cost-max-usd", type=float, default=1.0, help="most that this run may cost in USD (1)")
    judging.add_argument("--data", type=Path, required=True, help="folder of the recording")
    fitting = commands.add_parser("fit", help="fit and measure a calibration")
    fitting.add_argument("--data", type=Path, default=None, help="folder of a recording; default: the rows")
    fitting.add_argument("--split", action="append", help="with --data: use the questions of this split, may be repeated (default: all)")
    fitting.add_argument("--rows", type=Path, default=ROWS_PATH, help="file of rows, without --data")
    fitting.add_argument("--artifact", type=Path, default=ARTIFACT, help="folder to write")
    commands.add_parser("questions", help="print our own questions as a file for `emafusion record`")
    commands.add_parser("grade", help="verifier command for our own questions: JSON on standard input, 1 or 0 on standard output")
    writing = commands.add_parser("rows", help="write the rows of a recording of our own questions")
    writing.add_argument("--data", type=Path, required=True, help="folder of the recording")
    writing.add_argument("--rows", type=Path, default=ROWS_PATH, help="file to write")
    return parser


def own_questions() -> list[dict[str, JsonValue]]:
    """Our own questions as the lines of a file for `emafusion record`."""
    return [
        {
            "question_id": question.id,
            "question": question.text,
            "reference": list(question.accepted),
            "domain": question.domain,
            "dataset": question.id.rsplit("-", 1)[0],
        }
        for question in panel_questions()
    ]


def write_own_rows(folder: Path, path: Path) -> None:
    """Writes the rows of a recording of our own questions. Ends the program when other models than the ladder's answered."""
    rows = [found.row for found in read_recording(folder, ())]
    if others := sorted({row.model for row in rows} - set(LADDER)):
        raise SystemExit(f"{folder} has answers of {', '.join(others)}; rows are kept of {', '.join(LADDER)} only")
    write_rows(path, scored_rows(rows))


def grade(verified: str) -> bool:
    """Is the answer to one of our own questions right? ``verified`` is what `emafusion record` hands to a verifier command."""
    given: dict[str, Any] = json.loads(verified)
    question = next(question for question in panel_questions() if question.id == given["question_id"])
    return is_right(question, given["answer"], cut_off=given["finish_reason"] == Ending.LENGTH.value)


async def _judge(config: Path | None, folder: Path, cost_max_nano_usd: int) -> None:
    loaded = await asyncio.to_thread(load_settings, config, process_environment())
    judge = llm_settings(loaded.settings)
    telemetry = Telemetry.off()
    only = tuple(model for model in loaded.settings.models if model.name == judge.model)
    settings = loaded.settings.model_copy(update={"models": only})
    models = build_models(settings, secrets=loaded.secrets, tracer=telemetry.tracer, meter=telemetry.meter)
    if judge.model not in models:
        raise SystemExit(f"the judge's model {judge.model} can't be asked: it is switched off, or its key is missing")
    rows = await asyncio.to_thread(read_recording, folder, ())
    try:
        await judge_recording(folder, rows, judge=judge, model=models[judge.model], cost_max_nano_usd=cost_max_nano_usd, tell=print)
    finally:
        await models[judge.model].aclose()


def fit(path: Path, folder: Path, *, data: Path | None = None, splits: frozenset[str] = frozenset()) -> None:
    """Fits the calibration on the rows at ``path``, or on a recording, measures it, and writes the artifact to ``folder``.

    Ends the program when there are no right and wrong answers to tell apart.
    """
    if data is None:
        models, rows, digest = LADDER, scored_rows(read_rows(path)), hashlib.sha256(path.read_bytes()).hexdigest()
        source, command = "own questions, answers recorded from the local models", "python -m training.panel fit"
    else:
        recorded = read_recording(data, splits)
        models = cheapest_first(recorded)
        rows, digest = scored_rows([found.row for found in recorded], models), sha256_of(data / "responses.parquet")
        source, command = "answers recorded by emafusion record", "python -m training.panel fit --data DIR"
    if len({row.correct for row in rows}) < 2:  # noqa: PLR2004 right and wrong
        raise SystemExit(f"{len(rows)} labelled answers, all right or all wrong: there is nothing to calibrate on")
    samples = samples_of(rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(format_calibration(fit_calibration(samples, version="new")), encoding="utf-8")
    measured = measure(samples)
    _show(models, samples, measured)
    manifest = write_manifest(
        folder,
        name="calibration",
        files=[FILE_NAME],
        created_by="training.panel",
        command=command,
        licence="Apache-2.0",
        data=_described(rows, models, digest, source),
        metrics={name: {**asdict(figures)} for name, figures in measured.items()},
        parameters={"epsilon": EPSILON, "penalty": PENALTY, "folds": FOLDS},
    )
    print(f"{folder}: version {manifest.version}-{manifest.fingerprint}")


def _described(rows: Sequence[AnswerRow], models: Sequence[str], digest: str, source: str) -> dict[str, JsonValue]:
    """What the manifest says of the data."""
    questions = len({row.question_id for row in rows})
    return {"rows": len(rows), "questions": questions, "models": list(models), "sha256": digest, "source": source}


def _show(models: Sequence[str], samples: Sequence[Sample], measured: dict[str, Measured]) -> None:
    for model in models:
        right = [sample.correct for sample in samples if sample.model == model]
        print(f"{model:24} {sum(right):4} of {len(right):4} right ({sum(right) / max(len(right), 1):.1%})")
    if not measured:
        print("too few answers to measure or to weigh sets of judges apart: one common weighting was fitted")
        return
    show(measured)


if __name__ == "__main__":
    main()
