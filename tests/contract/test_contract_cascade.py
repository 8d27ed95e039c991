"""The same table of cases against the domain, the services in one process, and the services as three processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from blockbuster import BlockBuster
from emafusion_client import EmafusionClient, EmafusionError, Question
from emafusion_client import events as wire
from emafusion_client.requests import Ceilings, Decompose, PrefixCommit
from emafusion_client.vocabulary import Delivery

from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.chat import FinishReason, Message, Role
from cascade_service.domain.errors import CascadeError, ModelFailed
from cascade_service.domain.events import Committed, Completed, DeliveryMode, Escalated
from cascade_service.domain.model import TextChunk
from cascade_service.domain.policy import Policy
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.pricing import Price
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.value import NextAnswerGain, ValuePolicy
from cascade_service.domain.verdict import Defect, Verdict
from servicekit.artifacts import load_manifest
from tests.support.cascade import Await, Hang, ScriptedJudge, ScriptedLlm, Stage, Step, answer, ask, collect_until_error, verdict
from tests.support.contract_cases import (
    BOUNDED,
    CASES,
    CONTINUES,
    DIAL,
    HOLD_TOKENS,
    MODELS,
    REFUSAL,
    WRONG_MAX,
    Case,
    Expected,
    Fate,
    Turn,
)
from tests.support.gain_graph import write_gain_model
from tests.support.suite import REPOSITORY, SuiteAddresses, process_environ, run_suite, serve_suite, write_config
from tests.support.upstream import Behaviour, FakeUpstream, answers, answers_in_two, ends_after, fails, resets_after, stalls_after
from tests.unit.cascade.test_cascade_risk import artifact, replace_entry

CHECKPOINT_TOKENS = 1_000
PREFIX = PrefixCommit(hold_tokens=HOLD_TOKENS, checkpoint_tokens=CHECKPOINT_TOKENS)
CONFIDENCES = dict(zip(BOUNDED, (0.9, 0.95), strict=True))


@dataclass(frozen=True)
class Seen:
    """What came of a case, in the words of the table."""

    events: tuple[str, ...]
    text: str
    outcome: str
    ceiling: str
    reasons: tuple[str, ...]
    error_reason: str
    incomplete: bool
    wrong_max: float


class Face(Protocol):
    """A way to reach the cascade."""

    async def see(self, case: Case, mode: str) -> Seen: ...


def wanted(expected: Expected, mode: str) -> Seen:
    return Seen(
        events=_events(expected, mode),
        text=expected.text,
        outcome=expected.outcome or "UNSPECIFIED",
        ceiling=expected.ceiling,
        reasons=expected.reasons,
        error_reason=expected.error_reason,
        incomplete=expected.incomplete,
        wrong_max=expected.wrong_max,
    )


def _events(expected: Expected, mode: str) -> tuple[str, ...]:
    match mode:
        case "speculative":
            return expected.speculative
        case "prefix_commit":
            return expected.prefix_commit or expected.buffered
        case _:
            return expected.buffered


def kinds(events: Sequence[object]) -> tuple[str, ...]:
    names = [type(event).__name__ for event in events]
    return tuple(name for index, name in enumerate(names) if name != "Delta" or names[index - 1] != "Delta")


class DomainFace:
    """The state machine alone, with doubles at its ports."""

    async def see(self, case: Case, mode: str) -> Seen:
        turns = dict(zip(case.plan, case.turns, strict=False))
        committed = asyncio.Event()
        price = Price(output_nano_usd_per_mtok=10**6)
        models = [ScriptedLlm(name, _steps(turns.get(name), committed), price=price, prefill=name == CONTINUES) for name in case.plan]
        judge = ScriptedJudge(
            {name: _verdict(turn) for name, turn in turns.items()},
            {name: verdict(0.6, defects=(Defect.REFUSED,) if turn.fate is Fate.STALLS else ()) for name, turn in turns.items()},
        )
        stage = Stage(models, judge, gain_model=NextAnswerGain())
        request = ask(
            delivery=DeliveryMode(mode),
            threshold=case.threshold,
            attempts_max=case.attempts_max,
            cost_max=case.cost_max_nano_usd,
            prefix=PrefixRules(hold_tokens=HOLD_TOKENS, checkpoint_tokens=CHECKPOINT_TOKENS),
            policy=_policy(case),
            fixed_plan=() if case.worth_nano_usd is None else case.plan,
            messages=(Message(Role.USER, case.question),),
            parts_max=8 if case.parts else None,
        )
        events, error = await collect_until_error(stage.cascade().answer(request), tell=lambda event: _tell(event, committed))
        completion = next((event.completion for event in events if isinstance(event, Completed)), None)
        assert error is None or isinstance(error, CascadeError), f"not an error of the cascade: {error!r}"
        return Seen(
            events=kinds(events),
            text=completion.text if completion else "",
            outcome=completion.outcome.name if completion else "UNSPECIFIED",
            ceiling=completion.ceiling.name if completion and completion.ceiling else "UNSPECIFIED",
            reasons=tuple(event.reason.name for event in events if isinstance(event, Escalated)),
            error_reason=error.reason if error else "",
            incomplete=completion is not None and completion.incomplete,
            wrong_max=completion.risk.wrong_max if completion and completion.risk else 0.0,
        )


def _policy(case: Case) -> Policy | None:
    """The policy of the case; None for the usual one at the threshold of the case."""
    if case.worth_nano_usd is not None:
        return ValuePolicy(name=DIAL, answer_worth_nano_usd=case.worth_nano_usd)
    if case.certified is None:
        return None
    certificate = RiskCertificate(wrong_max=WRONG_MAX, confidence=0.9, threshold=case.certified, calibration="cal-1", questions=500)
    return ThresholdPolicy(name=BOUNDED[case.certified], threshold=case.certified, certificate=certificate)


def _tell(event: object, committed: asyncio.Event) -> None:
    if isinstance(event, Committed | wire.Committed):
        committed.set()


def _steps(turn: Turn | None, committed: asyncio.Event) -> list[Step]:
    if turn is None:
        return []
    written: list[Step] = [TextChunk(piece) for piece in turn.pieces]
    if turn.later:
        written += [Await(committed), *(TextChunk(piece) for piece in turn.later)]
    match turn.fate:
        case Fate.ANSWERS:
            return [*written, *answer()]
        case Fate.IS_CUT_OFF:
            return [*written, *answer(finish=FinishReason.LENGTH)]
        case Fate.FAILS:
            return [ModelFailed("HTTP 500", kind="server_error")]
        case Fate.BREAKS | Fate.ENDS_OPEN:
            return [*written, ModelFailed("broken", kind="connection_broken")]
        case Fate.STALLS:
            return [*written, Hang()]


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
        committed = asyncio.Event()
        for name, turn in zip(case.plan, case.turns, strict=False):
            self._upstreams[name].will(*[_behaviour(turn, committed)] * max(1, case.parts))
        question = replace(
            Question.of(case.question),
            decompose=Decompose() if case.parts else None,
            fixed_plan=case.plan,
            accept_threshold=case.threshold if case.certified is None else None,
            policy=DIAL if case.worth_nano_usd is not None else BOUNDED.get(case.certified, "") if case.certified is not None else "",
            answer_worth_nano_usd=case.worth_nano_usd,
            ceilings=Ceilings(cost_max_nano_usd=case.cost_max_nano_usd, attempts_max=case.attempts_max),
        )
        events: list[wire.Event] = []
        error_reason = ""
        async with EmafusionClient(cascade=self._addresses.cascade) as client:
            try:
                stream = client.stream(question, delivery=Delivery[mode.upper()], prefix=PREFIX, timeout_s=60)
                async with aclosing(stream):
                    async for event in stream:
                        events.append(event)
                        _tell(event, committed)
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
            incomplete=completion is not None and completion.incomplete,
            wrong_max=completion.risk.wrong_max if completion and completion.risk else 0.0,
        )


def _behaviour(turn: Turn, committed: asyncio.Event) -> Behaviour:
    if turn.later:
        ends = {Fate.ANSWERS: "stop", Fate.IS_CUT_OFF: "length", Fate.ENDS_OPEN: None}
        return answers_in_two(committed, turn.pieces, turn.later, finish_reason=ends[turn.fate])
    match turn.fate:
        case Fate.ANSWERS:
            return answers(*turn.pieces)
        case Fate.IS_CUT_OFF:
            return answers(*turn.pieces, finish_reason="length")
        case Fate.FAILS:
            return fails(500)
        case Fate.BREAKS | Fate.ENDS_OPEN | Fate.STALLS:
            breaks = {Fate.BREAKS: resets_after, Fate.ENDS_OPEN: ends_after, Fate.STALLS: stalls_after}
            return breaks[turn.fate](*turn.pieces)


@pytest.fixture
def gain_model(tmp_path: Path) -> Path:
    """Folder of a gain model, written before the event loop runs."""
    return write_gain_model(tmp_path / "value")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Folder of certificates for the committed calibration, one per threshold; what tells them apart is their confidence."""
    manifest = load_manifest(REPOSITORY / "artifacts" / "calibration")
    calibration = f"{manifest.version}-{manifest.fingerprint}"
    entries = [
        replace_entry(calibration=calibration, threshold=threshold, wrong_max=WRONG_MAX, confidence=confidence)
        for threshold, confidence in CONFIDENCES.items()
    ]
    return artifact(tmp_path / "risk", *entries)


def policies(gain_model: Path, certificates: Path) -> dict[str, Any]:
    """Policies of each kind."""
    bounded = [
        {"name": BOUNDED[threshold], "risk": {"wrong_max": WRONG_MAX, "confidence": confidence}}
        for threshold, confidence in CONFIDENCES.items()
    ]
    return {
        "policies": [{"name": "balanced"}, {"name": DIAL, "kind": "value"}, *bounded],
        "gain_model": str(gain_model),
        "risk_certificates": str(certificates),
    }


@asynccontextmanager
async def providers() -> AsyncGenerator[dict[str, FakeUpstream]]:
    async with FakeUpstream() as small, FakeUpstream() as medium, FakeUpstream() as large:
        yield dict(zip(MODELS, (small, medium, large), strict=True))


@pytest.mark.parametrize(("case", "mode"), [pytest.param(case, mode, id=f"{case.name}-{mode}") for case in CASES for mode in case.modes])
async def test_the_domain_keeps_the_contract(case: Case, mode: str) -> None:
    assert await DomainFace().see(case, mode) == wanted(case.expected, mode)


async def test_services_in_one_process_keep_the_contract(
    tmp_path: Path, gain_model: Path, certificates: Path, blocked_event_loop_is_an_error: BlockBuster
) -> None:
    async with providers() as upstreams:
        urls = {name: upstream.base_url for name, upstream in upstreams.items()}
        config = await asyncio.to_thread(
            write_config, tmp_path, models=urls, prefill=(CONTINUES,), cascade=policies(gain_model, certificates)
        )
        async with serve_suite(config, buster=blocked_event_loop_is_an_error) as addresses:
            assert await differences(WireFace(addresses, upstreams)) == []


async def test_services_as_processes_keep_the_contract(tmp_path: Path, gain_model: Path, certificates: Path) -> None:
    async with providers() as upstreams:
        urls = {name: upstream.base_url for name, upstream in upstreams.items()}
        config = await asyncio.to_thread(
            write_config, tmp_path, models=urls, prefill=(CONTINUES,), cascade=policies(gain_model, certificates)
        )
        async with run_suite(config, environ=process_environ()) as addresses:
            assert await differences(WireFace(addresses, upstreams)) == []


async def differences(face: Face) -> list[str]:
    """Every row that the face does not keep, with what was seen and what was wanted."""
    found: list[str] = []
    for case in CASES:
        for mode in case.modes:
            seen, expected = await face.see(case, mode), wanted(case.expected, mode)
            if seen != expected:
                found.append(f"{case.name} ({mode})\n  seen   {seen}\n  wanted {expected}")
    return found
