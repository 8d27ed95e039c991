"""A file that keeps entries while the store is away: appended, checksummed line by line, on the disk before anybody is told so."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import structlog

from cascade_service.domain.errors import StoreUnavailable

_log = structlog.get_logger(__name__)

_FILE = "decisions.spool"
_DAMAGED = "decisions.damaged"
_DIGEST_BYTES = 8
_ROOM_BYTES = 1 << 20
_BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Spooled:
    """An entry: the decision that it is about, and its text in one line."""

    decision_id: str
    text: str


class Spool:
    """One file, held by one process. ``open_spool`` makes it.

    A line is a checksum, the decision's id and a text, parted by blanks. A line that its checksum does not fit is the end of a write
    that was never confirmed, or damage; what is damaged is set aside in a file of its own and never lost silently.
    """

    def __init__(self, descriptor: int, folder: Path, *, bytes_max: int) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._bytes_max = bytes_max
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.size = self._scan()

    def __contains__(self, decision_id: str) -> bool:
        return decision_id in self._places

    @property
    def has_room(self) -> bool:
        """False when only what requests under way may still need is left."""
        return self.size + min(_ROOM_BYTES, self._bytes_max // 10) <= self._bytes_max

    async def append(self, decision_id: str, text: str) -> None:
        """Returns when the entry is on the disk. Raises ``StoreUnavailable`` when there is no room. Goes on if its caller is cancelled."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((decision_id, _line(decision_id, text), written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_waiting(), name="spool")
        await asyncio.shield(written)

    async def of(self, decision_id: str) -> list[str]:
        """Texts of all entries about a decision, oldest first."""
        async with self._turn:
            return await asyncio.to_thread(self._read_places, tuple(self._places.get(decision_id, ())))

    async def batch(self, start: int) -> tuple[list[Spooled], int]:
        """The next entries from ``start`` on, a few MiB of them, and where they end; ``start`` itself at the end of the file."""
        async with self._turn:
            return await asyncio.to_thread(self._read_batch, start)

    async def clear(self, through: int) -> bool:
        """Empties the file and returns True, unless entries were added behind ``through``."""
        async with self._turn:
            if self._waiting or self.size != through:
                return False
            await asyncio.to_thread(self._cut, 0)
            self.size = 0
            self._places.clear()
            return True

    def set_aside(self, entry: Spooled) -> None:
        """Keeps an entry that can't be replayed in a file of its own. Blocks."""
        self._put_aside(_line(entry.decision_id, entry.text))

    async def aclose(self) -> None:
        """Closes the file, so that another process may open it; entries stay."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await asyncio.to_thread(os.close, self._descriptor)

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                async with self._turn:
                    await self._write(batch)
        finally:
            self._writing = None

    async def _write(self, batch: list[tuple[str, bytes, asyncio.Future[None]]]) -> None:
        fitting, size = list[tuple[str, bytes, asyncio.Future[None]]](), self.size
        for entry in batch:
            if size + len(entry[1]) > self._bytes_max:
                entry[2].set_exception(StoreUnavailable("the decision store can't be reached and the spool is full"))
            else:
                fitting.append(entry)
                size += len(entry[1])
        try:
            await asyncio.to_thread(self._append, b"".join(line for _, line, _ in fitting))
        except OSError as error:
            _log.error("spool_failed", cause=error.strerror)
            for *_, written in fitting:
                written.set_exception(StoreUnavailable("the decision store can't be reached and the spool can't be written"))
            return
        for decision_id, line, written in fitting:
            self._places[decision_id].append((self.size, len(line)))
            self.size += len(line)
            written.set_result(None)

    def _append(self, data: bytes) -> None:
        if not data:
            return
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self.size + written)
            os.fsync(self._descriptor)
        except OSError:
            self._cut(self.size)
            raise

    def _cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)

    def _read_places(self, places: tuple[tuple[int, int], ...]) -> list[str]:
        texts: list[str] = []
        for start, length in places:
            if (entry := _entry(os.pread(self._descriptor, length, start))) is not None:
                texts.append(entry[1])
        return texts

    def _read_batch(self, start: int) -> tuple[list[Spooled], int]:
        found: list[Spooled] = []
        with (self._folder / _FILE).open("rb") as file:
            file.seek(start)
            for line in file.readlines(_BATCH_BYTES):
                start += len(line)
                if (entry := _entry(line)) is not None:
                    found.append(Spooled(*entry))
        return found, start

    def _scan(self) -> int:
        """Finds the entries that a process before left; the size up to the last whole one."""
        damaged, end = list[bytes](), 0
        with (self._folder / _FILE).open("rb") as file:
            for line in file:
                if (entry := _entry(line)) is not None:
                    self._places[entry[0]].append((end, len(line)))
                elif line.endswith(b"\n"):
                    damaged.append(line)
                else:
                    break  # the end of a write that was never confirmed
                end += len(line)
        for line in damaged:
            self._put_aside(line)
        self._cut(end)
        if end:
            _log.warning("spool_left", bytes=end, decisions=len(self._places), damaged=len(damaged))
        return end

    def _put_aside(self, line: bytes) -> None:
        descriptor = os.open(self._folder / _DAMAGED, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def open_spool(folder: Path, *, bytes_max: int) -> Spool:
    """The spool in ``folder``, which is made if need be. Blocks.

    Raises ``StoreUnavailable`` when it can't be used or another process holds it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"`cascade.store.spool_directory`: {folder} can't be used ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(folder)
        return Spool(descriptor, folder, bytes_max=bytes_max)
    except OSError as error:
        os.close(descriptor)
        raise StoreUnavailable(f"`cascade.store.spool_directory`: another process uses {folder}, or it can't be written") from error


def left_over(folder: Path) -> bool:
    """True when an earlier process left entries. Blocks."""
    path = folder / _FILE
    return path.exists() and path.stat().st_size > 0


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(decision_id: str, text: str) -> bytes:
    body = f"{decision_id} {text}".encode()
    return b"%s %s\n" % (_digest(body), body)


def _entry(line: bytes) -> tuple[str, str] | None:
    digest, _, body = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or digest != _digest(body):
        return None
    decision_id, _, text = body.decode().partition(" ")
    return decision_id, text


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest().encode()
