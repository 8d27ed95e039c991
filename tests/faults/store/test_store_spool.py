"""The spool file: what was confirmed is there after any crash, what was not is not, and damage is never silent."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_service.adapters.spool import Spool, left_over, open_spool
from cascade_service.domain.errors import StoreUnavailable

MIB = 1 << 20


async def opened(folder: Path, *, bytes_max: int = MIB) -> Spool:
    return await asyncio.to_thread(open_spool, folder, bytes_max=bytes_max)


async def all_of(spool: Spool) -> list[tuple[str, str]]:
    entries, end = await spool.batch(0)
    assert (await spool.batch(end))[0] == []
    return [(entry.decision_id, entry.text) for entry in entries]


async def test_entries_outlive_their_process_in_order(tmp_path: Path) -> None:
    spool = await opened(tmp_path / "below" / "spool")
    await asyncio.gather(*(spool.append(f"id-{number % 3}", f'{{"n": {number}, "é": "\\n"}}') for number in range(30)))
    await spool.aclose()
    again = await opened(tmp_path / "below" / "spool")
    assert await all_of(again) == [(f"id-{number % 3}", f'{{"n": {number}, "é": "\\n"}}') for number in range(30)]
    assert "id-1" in again
    assert await again.of("id-1") == [f'{{"n": {number}, "é": "\\n"}}' for number in range(1, 30, 3)]
    assert await again.of("nobody") == []
    await again.aclose()


async def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    spool = await opened(tmp_path / "spool")
    await spool.append("id", "text")
    modes = [(await asyncio.to_thread(path.stat)).st_mode & 0o777 for path in (tmp_path / "spool", tmp_path / "spool" / "decisions.spool")]
    assert modes == [0o700, 0o600]
    await spool.aclose()


@settings(max_examples=25)
@given(cut=st.integers(0, 200))
def test_a_write_that_was_cut_off_leaves_what_was_before(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("spool")

    async def crash() -> None:
        spool = await opened(folder)
        sizes = [0]
        for number in range(5):
            await spool.append(f"id-{number}", "x" * number)
            sizes.append(spool.size)
        await spool.aclose()
        end = min(cut, sizes[-1])
        await asyncio.to_thread(os.truncate, folder / "decisions.spool", end)
        again = await opened(folder)
        whole = sum(size <= end for size in sizes) - 1
        assert await all_of(again) == [(f"id-{number}", "x" * number) for number in range(whole)]
        await again.append("next", "y")
        assert (await all_of(again))[-1] == ("next", "y")
        await again.aclose()

    asyncio.run(crash())


async def test_a_damaged_line_is_set_aside_and_the_others_stay(tmp_path: Path) -> None:
    spool = await opened(tmp_path)
    for number in range(3):
        await spool.append(f"id-{number}", "text")
    await spool.aclose()
    path = tmp_path / "decisions.spool"
    lines = (await asyncio.to_thread(path.read_bytes)).splitlines(keepends=True)
    lines[1] = lines[1].replace(b"text", b"tExt")
    await asyncio.to_thread(path.write_bytes, b"".join(lines))
    again = await opened(tmp_path)
    assert await all_of(again) == [("id-0", "text"), ("id-2", "text")]
    assert b"tExt" in await asyncio.to_thread((tmp_path / "decisions.damaged").read_bytes)
    assert await again.clear((await again.batch(0))[1]), "damage does not keep the spool from being emptied"
    await again.aclose()


async def test_it_is_bounded_and_says_so_before_it_is_full(tmp_path: Path) -> None:
    spool = await opened(tmp_path, bytes_max=1_000)
    while spool.has_room:
        await spool.append("id", "x" * 60)
    assert spool.size <= 1_000
    with pytest.raises(StoreUnavailable, match="full"):
        await spool.append("id", "x" * 1_000)
    await spool.append("id", "y")
    assert spool.size <= 1_000
    await spool.aclose()


async def test_a_disk_that_is_full_loses_nothing_that_was_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = await opened(tmp_path)
    await spool.append("id-0", "text")
    real = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 40:
            return real(descriptor, data[:40], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", half)
        with pytest.raises(StoreUnavailable, match="can't be written"):
            await spool.append("id-1", "x" * 40)
    await spool.append("id-2", "text")
    assert await all_of(spool) == [("id-0", "text"), ("id-2", "text")]
    await spool.aclose()
    again = await opened(tmp_path)
    assert await all_of(again) == [("id-0", "text"), ("id-2", "text")]
    await again.aclose()


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    spool = await opened(tmp_path)
    with pytest.raises(StoreUnavailable, match="another process"):
        await opened(tmp_path)
    await spool.aclose()
    await (await opened(tmp_path)).aclose()


async def test_it_is_emptied_only_when_nothing_came_in_the_meantime(tmp_path: Path) -> None:
    spool = await opened(tmp_path)
    await spool.append("id-0", "text")
    _, end = await spool.batch(0)
    await spool.append("id-1", "text")
    assert not await spool.clear(end)
    assert await asyncio.to_thread(left_over, tmp_path)
    assert await spool.clear(spool.size)
    assert "id-0" not in spool
    assert not await asyncio.to_thread(left_over, tmp_path)
    await spool.aclose()


async def test_a_caller_who_leaves_does_not_stop_the_write(tmp_path: Path) -> None:
    spool = await opened(tmp_path)
    task = asyncio.create_task(spool.append("id", "text"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await spool.append("other", "text")
    assert [name for name, _ in await all_of(spool)] == ["id", "other"]
    await spool.aclose()


def test_a_folder_that_can_not_be_made_is_told(blocked_event_loop_is_an_error: BlockBuster) -> None:
    with pytest.raises(StoreUnavailable, match=r"cascade\.store\.spool_directory"):
        open_spool(Path("/proc/nowhere"), bytes_max=MIB)
