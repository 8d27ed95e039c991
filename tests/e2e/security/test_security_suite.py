"""Three processes that trust nobody without a certificate, and the command line that has one."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from tests.support.certificates import CASCADE, Authority
from tests.support.suite import overrides, process_environ, run_suite, write_config
from tests.support.upstream import FakeUpstream, answers

ANSWER = ("Par", "is.")


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int | None
    out: str
    err: str


async def command(*arguments: str | Path, environ: dict[str, str]) -> Said:
    """Runs `emafusion` as a process."""
    pipe = asyncio.subprocess.PIPE
    words = (sys.executable, "-m", "emafusion_cli", *map(str, arguments))
    process = await asyncio.create_subprocess_exec(*words, env=environ, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return Said(process.returncode, out.decode(), err.decode())


@pytest.fixture
def mutual(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> dict[str, Any]:
    """Sections of a configuration whose services share one certificate and let in nobody else."""
    authority = Authority(tmp_path / "certs", blocked_event_loop_is_an_error)
    authority.issue("server", "127.0.0.1", "cascade.test")
    authority.issue("operator", "operator.test")
    authority.issue("visitor", "visitor.test")
    pair = {"certificate": "certs/server.pem", "private_key": "certs/server.key"}
    peers = {"allowed_callers": ["cascade.test", CASCADE]}
    free = {"listen": "127.0.0.1:1", "target": "dns:///127.0.0.1:1"}  # replaced by a free port each
    return {
        "server": {"tls": {**pair, "client_roots": "certs/roots.pem"}},
        "services": {
            "tls": {**pair, "roots": "certs/roots.pem"},
            "router": {**free, **peers},
            "judge": {**free, **peers},
            "cascade": {**free, "allowed_callers": ["operator.test"]},
        },
    }


async def test_mutual_tls_between_processes_and_from_the_command_line(tmp_path: Path, mutual: dict[str, Any]) -> None:
    async with FakeUpstream(default=answers(*ANSWER, logprob=-0.1)) as upstream:
        config = await asyncio.to_thread(write_config, tmp_path, models={"small": upstream.base_url}, **mutual)
        environ = process_environ()
        async with run_suite(config, environ=environ) as addresses:
            environ |= overrides(services__cascade__target=addresses.cascade)
            certs = tmp_path / "certs"

            async def ask(name: str) -> Said:
                own = ("--cert", certs / f"{name}.pem", "--key", certs / f"{name}.key")
                return await command(*own, "ask", "Capital of France?", "--json", "--config", config, environ=environ)

            operator, visitor = await ask("operator"), await ask("visitor")
            plain = await command("ask", "Capital?", "--target", addresses.cascade, "--timeout", "20", environ=process_environ())
    assert operator.code == 0, operator.err
    events = [json.loads(line) for line in operator.out.splitlines()]
    assert "Paris." in json.dumps(events[-1])
    # The plan came from the router and the verdict from the judge, not from what stands in for them when they can't be reached.
    assert '"kind": "taxonomy"' in json.dumps(events[0]), events[0]
    assert "judged" in {event["event"] for event in events}
    assert (visitor.code, "CALLER_NOT_ALLOWED" in visitor.err) == (1, True), visitor.err
    assert plain.code == 3, plain.err
