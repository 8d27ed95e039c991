"""The words of the table of faults: what is set up, what must come of it, and how rows follow from a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from tests.support.cascade_served import FakeJudge, FakeRouter
from tests.support.contract_cases import BEGINNING
from tests.support.upstream import Behaviour
from tests.support.upstream_faults import Finale, ends


class Mode(Enum):
    """A delivery mode."""

    BUFFERED = "BUFFERED"
    SPECULATIVE = "SPECULATIVE"
    PREFIX_COMMIT = "PREFIX_COMMIT"


class Leaves(Enum):
    """When the caller goes away."""

    NEVER = "never"
    ASKED = "when the model has been asked"
    WRITING = "when the model writes"
    FINAL = "when the beginning is final"
    JUDGING = "when the judges have been asked"


@dataclass(frozen=True, kw_only=True)
class Writes:
    """A model that writes ``pieces``, then ``later`` once the caller has seen a commit (if there is any), then plays ``finale``."""

    pieces: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    finale: Finale = field(default_factory=ends)


Part = Behaviour | Writes


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything around one request: each model's part in each of its calls, and what differs from a sane world.

    ``refused`` models have an endpoint where nobody listens. ``settings`` are those of the model ``small``.
    """

    small: tuple[Part, ...] = ()
    large: tuple[Part, ...] = (Writes(pieces=("4", "2")),)
    refused: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    large_prefill: bool = False
    cascade: Mapping[str, Any] = field(default_factory=dict[str, Any])
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    judge: Callable[[], FakeJudge] = FakeJudge
    judge_up: bool = True
    router: Callable[[], FakeRouter] = lambda: FakeRouter(("small", "large"))
    router_up: bool = True
    threshold: float = 0.7
    timeout_s: float = 20.0
    leaves: Leaves = Leaves.NEVER


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must come of a row.

    ``events`` has a letter per event, runs of deltas as one: R routed, A attempt started, d delta, J judged, C committed, X retracted,
    E escalated, ! completed. Without ``!`` the stream ends with ``error``, a status and a reason. ``attempts`` are as the record tells
    them: reason to escalate and class of the failure, ``-`` for neither. ``record`` is the status of the record and ``calls`` the
    number of HTTP calls to each model.
    """

    events: str
    text: str = ""
    outcome: str = ""
    ceiling: str = ""
    incomplete: bool = False
    error: str = ""
    record: str = "COMPLETED"
    attempts: tuple[str, ...] = ()
    calls: tuple[int, int] = (1, 1)
    estimated: bool = False
    """Whether the usage is an estimate of ours although the answer is whole."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table: a fault at a moment, under a delivery mode, and what must come of it."""

    moment: str
    fault: str
    mode: Mode
    setup: Setup
    expected: Expected
    final: str = ""
    """With PREFIX_COMMIT, what was final when it went wrong, and who can continue it."""

    @property
    def name(self) -> str:
        """Unique among the rows."""
        return ", ".join(filter(None, (self.moment, self.fault, self.mode.value, self.final)))


def accepted(mode: Mode) -> str:
    """Events of a short answer that is accepted."""
    return "AdJC!" if mode is Mode.SPECULATIVE else "AJdC!"


def passed_over(mode: Mode, *, judged: bool, shown: bool) -> str:
    """Events of a short attempt after which the next model is asked."""
    seen = shown and mode is Mode.SPECULATIVE
    return "A" + "d" * seen + "J" * judged + "X" * seen + "E"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with the first model, for which the next one is asked.

    ``ended`` is how the record tells the attempt. ``judged`` when the answer is whole, so that the panel sees it; ``shown`` when text
    had come by then.
    """

    moment: str
    name: str
    small: tuple[Part, ...]
    ended: str
    judged: bool = False
    shown: bool = False
    refused: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def rows(self) -> Iterator[Row]:
        """One row per mode."""
        for mode in Mode:
            setup = Setup(
                small=self.small, settings=self.settings, refused=frozenset({"small"}) if self.refused else frozenset(), **ALL_SHORT
            )
            events = "R" + passed_over(mode, judged=self.judged, shown=self.shown) + accepted(mode)
            calls = (0 if self.refused else len(self.small), 1)
            expected = Expected(events=events, text="42", outcome="ACCEPTED", attempts=(self.ended, "-"), calls=calls)
            yield Row(moment=self.moment, fault=self.name, mode=mode, setup=setup, expected=expected)


ALL_SHORT: Mapping[str, Any] = {"judge": lambda: FakeJudge(on_beginnings=0.5)}
"""No beginning passes, so that with PREFIX_COMMIT nothing is final before the end."""


@dataclass(frozen=True, kw_only=True)
class Breaks:
    """A stream that goes wrong after text: in every mode before anything is final, and with PREFIX_COMMIT after that too."""

    name: str
    finale: Finale
    ended: str
    judged: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def rows(self) -> Iterator[Row]:
        """Three rows before anything is final; one that another model continues; one that nobody can continue."""
        short = Fault(
            moment="after the first token",
            name=self.name,
            small=(Writes(pieces=("4",), finale=self.finale),),
            ended=self.ended,
            judged=self.judged,
            shown=True,
            settings=self.settings,
        )
        for row in short.rows():
            yield replace(row, setup=replace(row.setup, limits=self.limits))
        yield self._continued()
        yield self._left()

    def _continued(self) -> Row:
        judged = "J" * self.judged
        expected = Expected(
            events=f"RAdCd{judged}XEAJdC!", text=f"{BEGINNING} is 42.", outcome="ACCEPTED", attempts=(self.ended, "-"), calls=(1, 1)
        )
        return self._after_commit("the beginning is final, the next model continues it", expected, large_prefill=True)

    def _left(self) -> Row:
        """A whole answer is given with its low confidence; of a broken one the part that is final."""
        events, text = ("RAdCdJC!", f"{BEGINNING} is") if self.judged else ("RAdCdX!", BEGINNING)
        expected = Expected(events=events, text=text, outcome="BEST_SEEN", incomplete=not self.judged, attempts=(self.ended,), calls=(1, 0))
        return self._after_commit("the beginning is final, no model can continue it", expected, large_prefill=False)

    def _after_commit(self, final: str, expected: Expected, *, large_prefill: bool) -> Row:
        setup = Setup(
            small=(Writes(pieces=(BEGINNING,), later=(" is",), finale=self.finale),),
            large=(Writes(pieces=(" is", " 42.")),) if large_prefill else (),
            settings=self.settings,
            limits=self.limits,
            large_prefill=large_prefill,
        )
        return Row(moment="after the first token", fault=self.name, mode=Mode.PREFIX_COMMIT, setup=setup, expected=expected, final=final)
