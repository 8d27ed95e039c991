"""A real cascade process on recorded answers that is killed again and again under load, and what its clients were told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import sys
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc, decision_pb2
from emafusion_cli.ports import free_ports

from tests.support.cascade_served import FakeJudge, question
from tests.support.servers import serve
from tests.support.suite import process_environ

if TYPE_CHECKING:
    from emafusion.cascade.v1.cascade_service_pb2_grpc import CascadeServiceAsyncStub

QUESTIONS = 8
CLIENTS = 12
_START_S = 60


@dataclass
class Victim:
    """The service's configuration, and the process while it runs. ``told`` maps decisions whose `Completed` a client read to its text."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None
    told: dict[str, str] = field(default_factory=dict[str, str])
    begun: int = 0
    reading: asyncio.Task[str] | None = None

    @property
    def database(self) -> Path:
        return self.folder / "decisions.sqlite3"

    @property
    def spool(self) -> Path:
        return self.folder / "spool" / "decisions.spool"

    async def start(self) -> None:
        """Starts the process and returns when it serves."""
        command = (sys.executable, "-m", "cascade_service", "--config", str(self.folder / "emafusion.yaml"))
        self.process = await asyncio.create_subprocess_exec(*command, env=process_environ(), stderr=asyncio.subprocess.PIPE)
        assert self.process.stderr is not None
        serving = asyncio.Event()
        # Read to the end: a service whose log nobody reads stands still in the end.
        self.reading = asyncio.create_task(_read_log(self.process.stderr, serving))
        async with asyncio.timeout(_START_S):
            await asyncio.wait({self.reading, asyncio.ensure_future(serving.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert serving.is_set(), f"the service did not start again: {await self.reading}"

    async def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    @asynccontextmanager
    async def stub(self) -> AsyncGenerator[CascadeServiceAsyncStub]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub: CascadeServiceAsyncStub = cascade_service_pb2_grpc.CascadeServiceStub(channel)
            yield stub

    async def kill_under_load(self, random: Random) -> None:
        """Lets clients stream, and kills the process at a moment that ``random`` chooses; clients note what they were told."""
        async with self.stub() as stub:
            enough = asyncio.Event()
            events_left = [random.randint(1, 40 * CLIENTS)]
            clients = [asyncio.create_task(self._client(stub, random.randrange(QUESTIONS), events_left, enough)) for _ in range(CLIENTS)]
            await enough.wait()
            await asyncio.sleep(random.random() * 0.02)
            await self.kill()
            await asyncio.gather(*clients)

    async def _client(self, stub: CascadeServiceAsyncStub, first: int, events_left: list[int], enough: asyncio.Event) -> None:
        number = first
        while True:
            number = (number + 1) % QUESTIONS
            request = question(f"Question {number}?", mode="DELIVERY_MODE_SPECULATIVE", fixed_plan=["recorded"])
            self.begun += 1
            try:
                async for response in stub.StreamComplete(request, timeout=_START_S):
                    events_left[0] -= 1
                    if events_left[0] <= 0:
                        enough.set()
                    if response.WhichOneof("event") == "completed":
                        completion = response.completed.completion
                        self.told[completion.decision_id] = completion.text
            except grpc.aio.AioRpcError as error:
                if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                    raise
                enough.set()  # a service that refuses everything is found out by the checks that follow
                return

    async def check_told(self, ids: Sequence[str]) -> None:
        """Asks the service for the records of decisions that it told of; each must be there, whole."""
        async with self.stub() as stub:
            for decision_id in ids:
                request = cascade_service_pb2.GetDecisionRequest(decision_id=decision_id)
                record = (await stub.GetDecision(request, timeout=_START_S)).decision
                assert record.status == decision_pb2.DECISION_STATUS_COMPLETED
                assert record.attempts[0].text_sha256 == hashlib.sha256(self.told[decision_id].encode()).hexdigest()
                assert record.completion.decision_id == decision_id

    async def wait_until_idle(self) -> None:
        """Returns when no request of a killed process holds anything any more."""
        async with self.stub() as stub, asyncio.timeout(_START_S):
            while True:
                quotas = (await stub.ListQuotas(cascade_service_pb2.ListQuotasRequest(), timeout=_START_S)).quotas
                if quotas and not any(quota.requests_running for quota in quotas):
                    return
                await asyncio.sleep(0.1)

    def recorded_twice_or_broken(self) -> list[str]:
        """What is wrong with the database. Blocks."""
        connection = sqlite3.connect(self.database)
        try:
            wrong = [row[0] for row in connection.execute("pragma integrity_check") if row[0] != "ok"]
            wrong += [row[0] for row in connection.execute("select decision_id from decisions group by 1 having count(*) > 1")]
            return wrong
        finally:
            connection.close()

    def ids_recorded(self) -> set[str]:
        """Ids of all completed decisions in the database. Blocks."""
        connection = sqlite3.connect(self.database)
        try:
            return {row[0] for row in connection.execute("select decision_id from decisions where status = 'completed'")}
        finally:
            connection.close()


@asynccontextmanager
async def victim(folder: Path, *, when_down: str) -> AsyncGenerator[Victim]:
    """A configured service that does not run yet; whatever runs at the end is killed."""
    async with serve(FakeJudge().add_to) as judge:
        service = Victim(folder, free_ports(1)[0])
        await asyncio.to_thread(_write_recording, folder)
        await asyncio.to_thread(_write_config, service, judge.target, when_down)
        try:
            yield service
        finally:
            if service.process is not None and service.process.returncode is None:
                await service.kill()


async def _read_log(log: asyncio.StreamReader, serving: asyncio.Event) -> str:
    """The last lines of a log, when it ends."""
    lines: deque[bytes] = deque(maxlen=20)
    async for line in log:
        lines.append(line)
        if not serving.is_set() and json.loads(line)["event"] == "serving":
            serving.set()
    return b"".join(lines).decode()


def _write_config(service: Victim, judge_target: str, when_down: str) -> None:
    content: dict[str, Any] = {
        "models": [
            {
                "name": "recorded",
                "provider": "recorded",
                "upstream_model": "big",
                "recording": "responses.parquet",
                "recorded_tokens_per_second": 1_000,
            }
        ],
        "cascade": {
            "store": {
                "url": "sqlite+aiosqlite:///decisions.sqlite3",
                "when_down": when_down,
                "spool_directory": "spool",
                "write_timeout_ms": 20_000 if when_down == "refuse" else 1_000,
            },
            "caller_limits": {
                "service": {"concurrent_requests": 1_000},
                "hold_ms": 1_000,
                "count_every_ms": 200,
                "when_store_down": "allow",
            },
            "readiness": {"look_every_ms": 200},
        },
        # Only the judge is asked; the router must merely be there, so that the start does not wait for it.
        "services": {
            "router": {"listen": "127.0.0.1:0", "target": judge_target},
            "judge": {"listen": "127.0.0.1:0", "target": judge_target},
            "cascade": {"listen": f"127.0.0.1:{service.port}", "target": f"dns:///127.0.0.1:{service.port}"},
        },
    }
    (service.folder / "emafusion.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def _write_recording(folder: Path) -> None:
    pa: Any = pytest.importorskip("pyarrow", reason="needs the extra `recorded`")
    pq: Any = pytest.importorskip("pyarrow.parquet")
    questions = [
        {"question_id": f"q{number}", "question": f"Question {number}?", "prompt": f"Question {number}?"} for number in range(QUESTIONS)
    ]
    answers = [
        {
            "question_id": f"q{number}",
            "model": "big",
            "response": f"answer {number} " * 20 * (number + 1),
            "prompt_tokens": 9,
            "completion_tokens": 40 * (number + 1),
            "reasoning_tokens_est": 0,
            "truncated": False,
        }
        for number in range(QUESTIONS)
    ]
    pq.write_table(pa.Table.from_pylist(answers), folder / "responses.parquet")
    pq.write_table(pa.Table.from_pylist(questions), folder / "questions.parquet")
