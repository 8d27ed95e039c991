"""The same table of cases against the domain, the services in one process, and the services as three processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest
from blockbuster import BlockBuster
from emafusion_client import EmafusionClient, EmafusionError, Question
from emafusion_client import events as wire
from emafusion_client.requests import Ceilings
from emafusion_client.vocabulary import Delivery

from cascade_service.domain.chat import FinishReason
from cascade_service.domain.errors import CascadeError, ModelFailed
from cascade_service.domain.events import Completed, DeliveryMode, Escalated
from cascade_service.domain.model import TextChunk
from cascade_service.domain.pricing import Price
from cascade_service.domain.verdict import Defect, Verdict
from tests.support.cascade import ScriptedJudge, ScriptedLlm, Stage, Step, answer, ask, collect_until_error, verdict
from tests.support.contract_cases import CASES, MODELS, REFUSAL, Case, Expected, Fate, Turn
from tests.support.suite import SuiteAddresses, process_environ, run_suite, serve_suite, write_config
from tests.support.upstream import Behaviour, FakeUpstream, answers, ends_after, fails, resets_after

MODES = ("buffered", "speculative")
QUESTION = "What is 6 times 7?"


@dataclass(frozen=True)
class Seen:
    """What came of a case, in the words of the table."""

    events: tuple[str, ...]
    text: str
    outcome: str
    ceiling: str
    reasons: tuple[str, ...]
    error_reason: str


class Face(Protocol):
    """A way to reach the cascade."""

    async def see(self, case: Case, mode: str) -> Seen: ...


def wanted(expected: Expected, mode: str) -> Seen:
    return Seen(
        events=expected.buffered if mode == "buffered" else expected.speculative,
        text=expected.text,
        outcome=expected.outcome or "UNSPECIFIED",
        ceiling=expected.ceiling,
        reasons=expected.reasons,
        error_reason=expected.error_reason,
    )


def kinds(events: Sequence[object]) -> tuple[str, ...]:
    names = [type(event).__name__ for event in events]
    return tuple(name for index, name in enumerate(names) if name != "Delta" or names[index - 1] != "Delta")


class DomainFace:
    """The state machine alone, with doubles at its ports."""

    async def see(self, case: Case, mode: str) -> Seen:
        turns = dict(zip(case.plan, case.turns, strict=False))
        models = [ScriptedLlm(name, _steps(turns.get(name)), price=Price(output_nano_usd_per_mtok=10**6)) for name in case.plan]
        stage = Stage(models, ScriptedJudge({name: _verdict(turns[name]) for name in case.plan if name in turns}))
        request = ask(
            delivery=DeliveryMode(mode), threshold=case.threshold, attempts_max=case.attempts_max, cost_max=case.cost_max_nano_usd
        )
        events, error = await collect_until_error(stage.cascade().answer(request))
        completion = next((event.completion for event in events if isinstance(event, Completed)), None)
        assert error is None or isinstance(error, CascadeError), f"not an error of the cascade: {error!r}"
        return Seen(
            events=kinds(events),
            text=completion.text if completion else "",
            outcome=completion.outcome.name if completion else "UNSPECIFIED",
            ceiling=completion.ceiling.name if completion and completion.ceiling else "UNSPECIFIED",
            reasons=tuple(event.reason.name for event in events if isinstance(event, Escalated)),
            error_reason=error.reason if error else "",
        )


def _steps(turn: Turn | None) -> list[Step]:
    if turn is None:
        return []
    written = [TextChunk(piece) for piece in turn.pieces]
    match turn.fate:
        case Fate.ANSWERS:
            return answer(*turn.pieces)
        case Fate.IS_CUT_OFF:
            return answer(*turn.pieces, finish=FinishReason.LENGTH)
        case Fate.FAILS:
            return [ModelFailed("HTTP 500", kind="server_error")]
        case Fate.BREAKS | Fate.ENDS_OPEN:
            return [*written, ModelFailed("broken", kind="connection_broken")]


def _verdict(turn: Turn) -> Verdict:
    defects: dict[bool, tuple[Defect, ...]] = {
        turn.fate is Fate.IS_CUT_OFF: (Defect.TRUNCATED,),
        turn.pieces == (REFUSAL,): (Defect.REFUSED,),
        turn.fate is Fate.ANSWERS and not turn.pieces: (Defect.EMPTY,),
    }
    return verdict(0.6, defects=defects.get(True, ()))


class WireFace:
    """Real services behind a client; each model's provider is an upstream on the loopback interface."""

    def __init__(self, addresses: SuiteAddresses, upstreams: dict[str, FakeUpstream]) -> None:
        self._addresses = addresses
        self._upstreams = upstreams

    async def see(self, case: Case, mode: str) -> Seen:
        for name, turn in zip(case.plan, case.turns, strict=False):
            self._upstreams[name].will(_behaviour(turn))
        question = replace(
            Question.of(QUESTION),
            fixed_plan=case.plan,
            accept_threshold=case.threshold,
            ceilings=Ceilings(cost_max_nano_usd=case.cost_max_nano_usd, attempts_max=case.attempts_max),
        )
        events: list[wire.Event] = []
        error_reason = ""
        async with EmafusionClient(cascade=self._addresses.cascade) as client:
            try:
                async with aclosing(client.stream(question, delivery=Delivery[mode.upper()], timeout_s=60)) as stream:
                    async for event in stream:
                        events.append(event)  # noqa: PERF401 - what came before an error is kept
            except EmafusionError as error:
                error_reason = error.reason
        completion = next((event.completion for event in events if isinstance(event, wire.Completed)), None)
        return Seen(
            events=kinds(events),
            text=completion.text if completion else "",
            outcome=completion.outcome.name if completion else "UNSPECIFIED",
            ceiling=completion.ceiling.name if completion else "UNSPECIFIED",
            reasons=tuple(event.reason.name for event in events if isinstance(event, wire.Escalated)),
            error_reason=error_reason,
        )


def _behaviour(turn: Turn) -> Behaviour:
    match turn.fate:
        case Fate.ANSWERS:
            return answers(*turn.pieces)
        case Fate.IS_CUT_OFF:
            return answers(*turn.pieces, finish_reason="length")
        case Fate.FAILS:
            return fails(500)
        case Fate.BREAKS:
            return resets_after(*turn.pieces)
        case Fate.ENDS_OPEN:
            return ends_after(*turn.pieces)


@asynccontextmanager
async def providers() -> AsyncGenerator[dict[str, FakeUpstream]]:
    async with FakeUpstream() as small, FakeUpstream() as medium, FakeUpstream() as large:
        yield dict(zip(MODELS, (small, medium, large), strict=True))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_domain_keeps_the_contract(case: Case, mode: str) -> None:
    assert await DomainFace().see(case, mode) == wanted(case.expected, mode)


async def test_services_in_one_process_keep_the_contract(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    async with providers() as upstreams:
        urls = {name: upstream.base_url for name, upstream in upstreams.items()}
        config = await asyncio.to_thread(write_config, tmp_path, models=urls)
        async with serve_suite(config, buster=blocked_event_loop_is_an_error) as addresses:
            assert await differences(WireFace(addresses, upstreams)) == []


async def test_services_as_processes_keep_the_contract(tmp_path: Path) -> None:
    async with providers() as upstreams:
        urls = {name: upstream.base_url for name, upstream in upstreams.items()}
        config = await asyncio.to_thread(write_config, tmp_path, models=urls)
        async with run_suite(config, environ=process_environ()) as addresses:
            assert await differences(WireFace(addresses, upstreams)) == []


async def differences(face: Face) -> list[str]:
    """Every row that the face does not keep, with what was seen and what was wanted."""
    found: list[str] = []
    for case in CASES:
        for mode in MODES:
            seen, expected = await face.see(case, mode), wanted(case.expected, mode)
            if seen != expected:
                found.append(f"{case.name} ({mode})\n  seen   {seen}\n  wanted {expected}")
    return found
