"""Plays a row of the table of faults against the served cascade, with a caller that checks every rule of the stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc, decision_pb2, event_pb2
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cascade_service.adapters.decision_store import SqlDecisionStore
from cascade_service.adapters.tables import decisions
from cascade_service.domain.events import Committed, Delta, Retracted
from servicekit.errors import read_status
from tests.support.cascade import Reader
from tests.support.cascade_served import World, cascade_world, question
from tests.support.contract_cases import HOLD_TOKENS
from tests.support.fault_rows import Leaves, Part, Row, Writes
from tests.support.servers import Served
from tests.support.upstream import Behaviour, FakeUpstream
from tests.support.upstream_faults import writes

if TYPE_CHECKING:
    from emafusion.cascade.v1.cascade_service_pb2_grpc import CascadeServiceAsyncStub

_LETTERS = {
    "routed": "R",
    "attempt_started": "A",
    "delta": "d",
    "judged": "J",
    "committed": "C",
    "retracted": "X",
    "escalated": "E",
    "completed": "!",
}
_NOBODY = "http://127.0.0.1:9/v1"
"""The discard port, where nobody listens."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came of a row, in the words of ``Expected``; ``final`` is what the caller holds as final."""

    events: str
    letters: str
    text: str
    outcome: str
    incomplete: bool
    error: str
    final: str
    summaries: tuple[str, ...]
    record: str
    recorded: tuple[str, ...]
    recorded_error: str
    calls: tuple[int, int]
    estimated: bool
    cost_nano_usd: int


@dataclass
class _Caller:
    """Reads a stream to its end by the rules of event.proto."""

    committed: asyncio.Event
    letters: str = ""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    reader: Reader = field(default_factory=Reader)
    completion: event_pb2.Completion | None = None
    error: str = ""

    async def read(self, call: Any) -> None:  # grpc's calls are typed by their messages
        try:
            async for response in call:
                self._take(response)
        except grpc.aio.AioRpcError as error:
            status = read_status(error)
            self.error = f"{status.code.name} {status.reason}"
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
            self.error = "CANCELLED"

    async def has_seen(self, last: str) -> None:
        """Returns when the latest events are ``last``."""
        while not self.letters.endswith(last):
            self.moved.clear()
            await self.moved.wait()

    def _take(self, response: cascade_service_pb2.StreamCompleteResponse) -> None:
        kind = response.WhichOneof("event") or ""
        self.letters += _LETTERS[kind]
        self.moved.set()
        match kind:
            case "delta":
                delta = response.delta
                self.reader.read(Delta(attempt=delta.attempt, sequence=delta.sequence, text=delta.text))
            case "committed":
                through = response.committed.through_sequence
                self.reader.read(Committed(attempt=response.committed.attempt, through_sequence=through))
                self.committed.set()
            case "retracted":
                first = response.retracted.from_sequence
                self.reader.read(Retracted(attempt=response.retracted.attempt, from_sequence=first))
            case "completed":
                self.completion = response.completed.completion
                assert not self.reader.provisional, "text was left neither final nor withdrawn"
            case _:
                pass


async def play(row: Row, folder: Path) -> Seen:
    """Plays the row. Returns when the stream is over, its record is there, and no provider is being asked any more."""
    setup = row.setup
    committed, writing = asyncio.Event(), asyncio.Event()
    upstreams = {
        name: FakeUpstream(*(_behaviour(part, committed, writing) for part in parts))
        for name, parts in (("small", setup.small), ("large", setup.large))
    }
    models = {
        "small": {**setup.settings, **({"endpoint": _NOBODY} if "small" in setup.refused else {})},
        "large": {"capabilities": ["prefill"]} if setup.large_prefill else {},
    }
    judge = setup.judge()
    async with (
        cascade_world(
            folder,
            upstreams,
            router=setup.router(),
            judge=judge,
            router_up=setup.router_up,
            judge_up=setup.judge_up,
            cascade=setup.cascade,
            limits=setup.limits,
            model=lambda name: models[name],
        ) as world,
        _asking_once(world.served) as once,
    ):
        request = question(mode=f"DELIVERY_MODE_{row.mode.value}", accept_threshold=setup.threshold)
        request.prefix.hold_tokens, request.prefix.checkpoint_tokens = HOLD_TOKENS, 1_000
        caller = _Caller(committed)
        stub: CascadeServiceAsyncStub = cascade_service_pb2_grpc.CascadeServiceStub(once)
        call = stub.StreamComplete(request, timeout=setup.timeout_s)
        reading = asyncio.create_task(caller.read(call))
        if setup.leaves is not Leaves.NEVER:
            shown = "AdC" if setup.leaves is Leaves.FINAL else row.expected.events[-1]
            await _cue(setup.leaves, upstreams["small"], judge.asked, writing, committed)
            await caller.has_seen(shown)
            call.cancel()
        await reading
        for upstream in upstreams.values():
            await upstream.quiet()
        if setup.leaves is Leaves.JUDGING:
            await judge.left.wait()
        decision = await _only_record(world)
    return _seen(caller, decision, upstreams)


def _asking_once(served: Served) -> grpc.aio.Channel:
    """A channel that does not retry: each retry would be a request of its own, with a record of its own."""
    return grpc.aio.insecure_channel(served.target, options=[("grpc.enable_retries", 0)])


async def _cue(leaves: Leaves, upstream: FakeUpstream, judging: asyncio.Event, writing: asyncio.Event, committed: asyncio.Event) -> None:
    cues = {Leaves.ASKED: upstream.arrived, Leaves.WRITING: writing, Leaves.JUDGING: judging, Leaves.FINAL: committed}
    await cues[leaves].wait()


def _behaviour(part: Part, committed: asyncio.Event, writing: asyncio.Event) -> Behaviour:
    if not isinstance(part, Writes):
        return part
    return writes(part.pieces, part.finale, gate=committed if part.later else None, later=part.later, writing=writing)


def _engine_of(world: World) -> AsyncEngine:
    backing = world.service.store._store
    assert isinstance(backing, SqlDecisionStore)
    return backing._engine


async def _only_record(world: World) -> decision_pb2.Decision:
    """The one record that there is, as soon as it is there: that of a request that was left is written after it."""
    while True:
        async with _engine_of(world).connect() as connection:
            ids = (await connection.execute(select(decisions.c.decision_id))).scalars().all()
        if ids:
            break
        await asyncio.sleep(0.01)
    (decision_id,) = ids
    return (await world.stub.GetDecision(cascade_service_pb2.GetDecisionRequest(decision_id=decision_id), timeout=5.0)).decision


def _seen(caller: _Caller, decision: decision_pb2.Decision, upstreams: dict[str, FakeUpstream]) -> Seen:
    completion = caller.completion or event_pb2.Completion()
    runs = "".join(letter for index, letter in enumerate(caller.letters) if letter != "d" or caller.letters[index - 1 : index] != "d")
    return Seen(
        events=runs,
        letters=caller.letters,
        text=completion.text,
        outcome=event_pb2.Outcome.Name(completion.outcome).removeprefix("OUTCOME_").replace("UNSPECIFIED", ""),
        incomplete=completion.incomplete,
        error=caller.error,
        final=caller.reader.committed,
        summaries=tuple(_told(summary) for summary in completion.attempts),
        record=decision_pb2.DecisionStatus.Name(decision.status).removeprefix("DECISION_STATUS_"),
        recorded=tuple(_told(attempt.summary) for attempt in decision.attempts),
        recorded_error=decision.error_reason,
        calls=(len(upstreams["small"].requests), len(upstreams["large"].requests)),
        estimated=completion.usage.estimated,
        cost_nano_usd=completion.cost_nano_usd,
    )


def _told(summary: event_pb2.AttemptSummary) -> str:
    reason = event_pb2.EscalationReason.Name(summary.escalation_reason).removeprefix("ESCALATION_REASON_")
    return f"{'-' if reason == 'UNSPECIFIED' else reason} {summary.error}".strip()
