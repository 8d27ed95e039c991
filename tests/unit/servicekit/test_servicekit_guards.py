"""The rules that `tests/conftest.py` lays on every test do hold."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError


async def test_blocking_the_event_loop_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BlockingError):
        time.sleep(0.001)  # noqa: TID251, ASYNC251 - this is what must fail
    with pytest.raises(BlockingError):
        (tmp_path / "x").write_bytes(b"x")
    await asyncio.to_thread((tmp_path / "x").write_bytes, b"x")


async def test_leaving_the_machine_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="tests reach no network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(RuntimeError, match="tests reach no network"):
        await asyncio.open_connection("example.com", 80)


async def test_this_machine_is_reachable() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
