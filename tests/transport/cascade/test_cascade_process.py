"""The service as a process: it starts, says where it serves, and ends in good order; or says why it does not start."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

CONFIGURATION = """
models:
  - {name: small, provider: openai_compatible, endpoint: "http://127.0.0.1:1/v1"}
cascade:
  store: {url: "sqlite+aiosqlite:///decisions.sqlite3"}
  when_router_down: {models: [small]}
services:
  cascade: {listen: "127.0.0.1:0", target: "dns:///127.0.0.1:50053"}
"""


async def start(configuration: str, folder: Path) -> asyncio.subprocess.Process:
    path = folder / "emafusion.yaml"
    await asyncio.to_thread(path.write_text, configuration)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cascade_service", "--config", str(path), stderr=asyncio.subprocess.PIPE
    )


async def test_it_serves_until_sigterm(tmp_path: Path) -> None:
    process = await start(CONFIGURATION, tmp_path)
    assert process.stderr is not None
    seen: list[str] = []
    async for line in process.stderr:
        entry = json.loads(line)
        seen.append(entry["event"])
        if entry["event"] == "serving":
            assert entry["address"].startswith("127.0.0.1:")
            break
    assert seen[:2] == ["peer_not_ready", "peer_not_ready"], "router and judge being down is told and does not matter"
    process.terminate()
    rest = await process.stderr.read()
    assert await process.wait() == 0, rest.decode()
    assert await asyncio.to_thread((tmp_path / "decisions.sqlite3").exists)


async def test_a_wrong_configuration_is_told_in_full(tmp_path: Path) -> None:
    process = await start(CONFIGURATION.replace("[small]", "[smal]"), tmp_path)
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert b"cascade.when_router_down.models" in stderr


async def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    process = await start(CONFIGURATION.replace("127.0.0.1:0", f"127.0.0.1:{port}"), tmp_path)
    _, stderr = await process.communicate()
    taken.close()
    assert process.returncode == 1
    assert json.loads(stderr.splitlines()[-1])["event"] == "not_started"
