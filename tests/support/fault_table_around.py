"""Rows of the table of faults about what stands around the models: judge, router, deadline, caller."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support import upstream_faults as streams
from tests.support.cascade_served import FakeJudge, FakeRouter
from tests.support.contract_cases import BEGINNING
from tests.support.fault_rows import ALL_SHORT, Expected, Leaves, Mode, Row, Setup, Writes, accepted, passed_over

_TIMEOUT_MS = 100


def _judges() -> Iterator[Row]:
    """No verdict is no acceptance: the strongest model's answer is given, and says that nobody judged it."""
    answers = {"small": (Writes(pieces=("4", "1")),), "large": (Writes(pieces=("4", "2")),)}
    faults: Mapping[str, Mapping[str, Any]] = {
        "the judge is down": {"judge_up": False},
        "the judge is too slow": {"judge": lambda: FakeJudge(gate=asyncio.Event()), "cascade": {"judge_timeout_ms": _TIMEOUT_MS}},
        "the judge fails": {"judge": lambda: FakeJudge(error=RuntimeError("it broke"))},
        "a verdict on another answer": {"judge": lambda: FakeJudge(id_suffix="-other")},
        "a verdict that is no number": {"judge": lambda: FakeJudge(otherwise=math.nan)},
    }
    for name, world in faults.items():
        for mode in Mode:
            shown = mode is Mode.SPECULATIVE
            expected = Expected(
                events="R" + passed_over(mode, judged=False, shown=shown) + "AdC!",
                text="42",
                outcome="UNJUDGED",
                attempts=("UNJUDGED", "UNJUDGED"),
            )
            yield Row(moment="while judging", fault=name, mode=mode, setup=Setup(**answers, **world), expected=expected)
    for mode in Mode:
        setup = Setup(small=answers["small"], large=(), judge_up=False, cascade={"when_judge_down": "fail"})
        seen = "dX" if mode is Mode.SPECULATIVE else ""
        expected = Expected(
            events=f"RA{seen}", error="UNAVAILABLE JUDGE_UNAVAILABLE", record="FAILED", attempts=("UNJUDGED",), calls=(1, 0)
        )
        yield Row(moment="while judging", fault="the judge is down, unjudged is refused", mode=mode, setup=setup, expected=expected)


def _routers() -> Iterator[Row]:
    """Without a plan of the router the configuration's own is used, where there is one."""
    static = {"when_router_down": {"models": ["large"]}}
    faults: Mapping[str, Mapping[str, Any]] = {
        "the router is down": {"router_up": False, "cascade": static},
        "the router is too slow": {
            "router": lambda: FakeRouter(gate=asyncio.Event()),
            "cascade": {**static, "router_timeout_ms": _TIMEOUT_MS},
        },
        "the router fails": {"router": lambda: FakeRouter(error=RuntimeError("it broke")), "cascade": static},
        "an empty plan": {"router": FakeRouter, "cascade": static},
        "a plan of figures that are no numbers": {"router": lambda: FakeRouter(("small",), quality=math.nan), "cascade": static},
    }
    for name, world in faults.items():
        for mode in Mode:
            expected = Expected(events="R" + accepted(mode), text="42", outcome="ACCEPTED", attempts=("-",), calls=(0, 1))
            yield Row(moment="while routing", fault=name, mode=mode, setup=Setup(**world), expected=expected)
    for mode in Mode:
        expected = Expected(events="", error="UNAVAILABLE ROUTER_UNAVAILABLE", record="FAILED", calls=(0, 0))
        setup = Setup(large=(), router=lambda: FakeRouter(gate=asyncio.Event()), cascade={"router_timeout_ms": _TIMEOUT_MS})
        yield Row(moment="while routing", fault="the router is too slow, no static plan", mode=mode, setup=setup, expected=expected)


_HURRIED: Mapping[str, Any] = {"timeout_s": 4.0, "cascade": {"attempt_time_min_ms": 100, "deadline_margin_ms": 2_000}}


def _deadlines() -> Iterator[Row]:
    """The caller's deadline passes while a model writes."""
    for mode in Mode:
        shown = mode is Mode.SPECULATIVE
        setup = Setup(small=(Writes(pieces=("4",), finale=streams.stalls),), large=(), **_HURRIED, **ALL_SHORT)
        expected = Expected(
            events="RAdX" if shown else "RA",
            error="DEADLINE_EXCEEDED DEADLINE_EXCEEDED",
            record="FAILED",
            attempts=("TIMEOUT timeout",),
            calls=(1, 0),
        )
        yield Row(moment="after the first token", fault="the caller's deadline", mode=mode, setup=setup, expected=expected)
        setup = Setup(
            small=(Writes(pieces=("41",)),),
            large=(Writes(pieces=("4",), finale=streams.stalls),),
            judge=lambda: FakeJudge({"41": 0.2}, on_beginnings=0.5),
            **_HURRIED,
        )
        expected = Expected(
            events="R" + passed_over(mode, judged=True, shown=True) + ("AdXdC!" if shown else "AdC!"),
            text="41",
            outcome="BEST_SEEN",
            attempts=("LOW_CONFIDENCE", "TIMEOUT timeout"),
        )
        fault = "the caller's deadline, an earlier answer was not accepted"
        yield Row(moment="in the last tier", fault=fault, mode=mode, setup=setup, expected=expected)


def _callers_who_leave() -> Iterator[Row]:
    """The caller goes away: the provider, or the judge, sees the disconnect, and the record says so."""
    parts: Mapping[str, Writes] = {
        Leaves.ASKED.value: Writes(finale=streams.stalls),
        Leaves.WRITING.value: Writes(pieces=("4",), finale=streams.stalls),
        Leaves.JUDGING.value: Writes(pieces=("4", "2")),
    }
    for mode in Mode:
        for leaves in (Leaves.ASKED, Leaves.WRITING, Leaves.JUDGING):
            judge = (lambda: FakeJudge(gate=asyncio.Event())) if leaves is Leaves.JUDGING else FakeJudge
            setup = Setup(small=(parts[leaves.value],), large=(), judge=judge, leaves=leaves)
            seen = "d" if mode is Mode.SPECULATIVE and leaves is not Leaves.ASKED else ""
            yield _left(mode, setup, events=f"RA{seen}", attempt="-" if leaves is Leaves.JUDGING else "- cancelled")
    writes = Writes(pieces=(BEGINNING,), finale=streams.stalls)
    mode = Mode.PREFIX_COMMIT
    gated = Setup(small=(writes,), large=(), judge=lambda: FakeJudge(gate=asyncio.Event()), leaves=Leaves.JUDGING)
    yield _left(mode, gated, events="RA", attempt="- cancelled", final="the beginning is being judged")
    setup = Setup(small=(writes,), large=(), leaves=Leaves.FINAL)
    yield _left(mode, setup, events="RAdC", attempt="- cancelled", final="the beginning is final")


def _left(mode: Mode, setup: Setup, *, events: str, attempt: str, final: str = "") -> Row:
    expected = Expected(events=events, error="CANCELLED", record="CANCELLED", attempts=(attempt,), calls=(1, 0))
    return Row(moment=setup.leaves.value, fault="the caller leaves", mode=mode, setup=setup, expected=expected, final=final)


def rows_around() -> Iterator[Row]:
    """All of them."""
    for rows in (_judges, _routers, _deadlines, _callers_who_leave):
        yield from rows()
