"""Trains everything that is learned from recorded answers: ``python -m training.build --data DIR``.

Runs the training commands one after the other, each with its own progress, then says of every artifact whether its files and its metrics
are what they were before. The encoder is not trained here: ``python -m training.encoder`` converts it from the published weights.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servicekit.artifacts import ArtifactError, Manifest, load_manifest


@dataclass(frozen=True, slots=True)
class Step:
    """A training command: its module, its arguments beyond the data directory, and the artifact that it writes.

    ``{artifacts}`` and ``{cache}`` in arguments stand for the folders; ``reads_data`` is False for a command without a data directory.
    """

    module: str
    artifact: str
    arguments: tuple[str, ...]
    reads_data: bool = True

    def command(self, *, data: Path, artifacts: Path, cache: Path) -> list[str]:
        """The command line after the interpreter."""
        given = [argument.format(artifacts=artifacts, cache=cache) for argument in self.arguments]
        return ["-m", self.module, *(["--data", str(data)] if self.reads_data else []), *given]


_OUT, _CACHE, _ENCODER = "--out", ("--cache", "{cache}"), ("--encoder", "{artifacts}/encoder")
STEPS: Final = (
    Step("training.taxonomy", "taxonomy", (_OUT, "{artifacts}/taxonomy", *_ENCODER, *_CACHE)),
    Step(
        "training.suitability",
        "suitability",
        (_OUT, "{artifacts}/suitability", "--taxonomy", "{artifacts}/taxonomy", *_ENCODER, *_CACHE),
    ),
    Step("training.learned_router", "learned", (_OUT, "{artifacts}/learned", *_ENCODER, *_CACHE)),
    Step("training.verifier", "verifier", ("--artifact", "{artifacts}/verifier", *_ENCODER, *_CACHE)),
    Step("training.panel", "calibration", ("fit", "--artifact", "{artifacts}/calibration"), reads_data=False),
    Step(
        "training.panel_recorded",
        "calibration-recorded",
        ("--artifact", "{artifacts}/calibration-recorded", "--verifier", "{artifacts}/verifier", *_CACHE),
    ),
    Step("training.value", "value", ("--artifact", "{artifacts}/value", "--verifier", "{artifacts}/verifier", *_CACHE)),
    Step("training.risk", "risk", ("--artifact", "{artifacts}/risk", "--artifacts", "{artifacts}", *_CACHE)),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.build", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the artifacts; needs the encoder in it")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings, and for what steps hand on")
    parser.add_argument("--only", action="append", choices=[step.artifact for step in STEPS], help="only this artifact; may be repeated")
    chosen = parser.parse_args(arguments)
    lines: list[str] = []
    for step in STEPS:
        if chosen.only and step.artifact not in chosen.only:
            continue
        before = _manifest(chosen.artifacts / step.artifact)
        print(f"== {step.artifact}: python -m {step.module}", flush=True)
        started = time.monotonic()
        subprocess.run(  # noqa: S603 - this interpreter, our own modules
            [sys.executable, *step.command(data=chosen.data, artifacts=chosen.artifacts, cache=chosen.cache)], check=True
        )
        after = load_manifest(chosen.artifacts / step.artifact)
        lines.append(f"{step.artifact:22} {time.monotonic() - started:6.0f} s  {difference(before, after)}")
    print("\n".join(lines))


def difference(before: Manifest | None, after: Manifest) -> str:
    """How an artifact differs from the one that stood there before."""
    if before is None:
        return "new"
    if before.fingerprint == after.fingerprint:
        return "the same files"
    moved = [name for name in sorted({*before.metrics, *after.metrics}) if before.metrics.get(name) != after.metrics.get(name)]
    return f"other files, metrics differ: {', '.join(moved)}" if moved else "other files, the same metrics"


def _manifest(folder: Path) -> Manifest | None:
    try:
        return load_manifest(folder)
    except ArtifactError:
        return None


if __name__ == "__main__":
    main()
