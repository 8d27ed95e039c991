"""The table of faults: each row is a test, and ``docs/robustness.md`` is written from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.support import upstream_faults as streams
from tests.support.cascade_served import FakeJudge
from tests.support.fault_rows import ALL_SHORT, Breaks, Expected, Fault, Mode, Row, Setup, Writes, accepted, passed_over
from tests.support.fault_table_around import rows_around
from tests.support.upstream import fails, hangs, resets_after, sends_raw

_NO_FIRST: Mapping[str, Any] = {"limits": {"first_chunk_timeout_ms": 150}}
_IDLE: Mapping[str, Any] = {"limits": {"idle_timeout_ms": 250}}
_TWICE: Mapping[str, Any] = {"retry": {"attempts_max": 2, "backoff_initial_ms": 1, "backoff_max_ms": 1_000}}
_BEFORE, _END = "before the first token", "at the end of the answer"
_LOW = "LOW_CONFIDENCE"

_BEFORE_THE_FIRST_TOKEN = (
    Fault(moment=_BEFORE, name="connection refused", small=(), ended="PROVIDER_ERROR connection_broken", refused=True),
    Fault(moment=_BEFORE, name="connection reset", small=(resets_after(),), ended="PROVIDER_ERROR connection_broken"),
    Fault(
        moment=_BEFORE,
        name="429, Retry-After longer than we wait",
        small=(fails(429, retry_after="60"),),
        ended="PROVIDER_ERROR rate_limited",
        settings=_TWICE,
    ),
    Fault(
        moment=_BEFORE,
        name="429 without Retry-After, asked twice",
        small=(fails(429), fails(429)),
        ended="PROVIDER_ERROR rate_limited",
        settings=_TWICE,
    ),
    Fault(moment=_BEFORE, name="500, asked twice", small=(fails(500), fails(500)), ended="PROVIDER_ERROR server_error", settings=_TWICE),
    Fault(moment=_BEFORE, name="503, asked twice", small=(fails(503), fails(503)), ended="PROVIDER_ERROR overloaded", settings=_TWICE),
    Fault(moment=_BEFORE, name="no head of an answer in time", small=(hangs(),), ended="TIMEOUT timeout", settings=_NO_FIRST),
    Fault(
        moment=_BEFORE, name="no first token in time", small=(Writes(finale=streams.stalls),), ended="TIMEOUT timeout", settings=_NO_FIRST
    ),
    Fault(
        moment=_BEFORE,
        name="keep-alive comments and no first token in time",
        small=(Writes(finale=streams.pings),),
        ended="TIMEOUT timeout",
        settings=_NO_FIRST,
    ),
    Fault(moment=_BEFORE, name="no stream of events", small=(sends_raw(b"<html>hi</html>"),), ended="PROVIDER_ERROR malformed_response"),
    Fault(moment=_BEFORE, name="an error in the stream", small=(Writes(finale=streams.sends_error),), ended="PROVIDER_ERROR server_error"),
)

_AFTER_THE_FIRST_TOKEN = (
    Breaks(name="stall, idle timeout", finale=streams.stalls, ended="TIMEOUT timeout", settings=_IDLE),
    Breaks(name="keep-alive comments only, idle timeout", finale=streams.pings, ended="TIMEOUT timeout", settings=_IDLE),
    Breaks(name="connection reset", finale=streams.resets, ended="PROVIDER_ERROR connection_broken"),
    Breaks(name="connection closed in the middle of the body", finale=streams.closes, ended="PROVIDER_ERROR connection_broken"),
    Breaks(name="garbage bytes", finale=streams.sends_garbage, ended="PROVIDER_ERROR malformed_response"),
    Breaks(name="an event that is not JSON", finale=streams.sends_no_json, ended="PROVIDER_ERROR malformed_response"),
    Breaks(name="half an event", finale=streams.sends_half_json, ended="PROVIDER_ERROR malformed_response"),
    Breaks(name="text that is not UTF-8", finale=streams.sends_no_utf8, ended="PROVIDER_ERROR malformed_response"),
    Breaks(name="half a surrogate pair", finale=streams.sends_half_surrogate, ended="PROVIDER_ERROR malformed_response"),
    Breaks(name="an error in the stream", finale=streams.sends_error, ended="PROVIDER_ERROR server_error"),
    Breaks(name="an end without a finish reason", finale=streams.ends_open, ended="PROVIDER_ERROR malformed_response"),
    Breaks(
        name="an answer without end", finale=streams.never_ends, ended="PROVIDER_ERROR answer_too_long", limits={"candidate_chars_max": 300}
    ),
    Breaks(name="finish_reason=length", finale=streams.ends("length"), ended="TRUNCATED", judged=True),
    Breaks(name="finish_reason=content_filter", finale=streams.ends("content_filter"), ended="REFUSED", judged=True),
)

_EMPTY = (
    Fault(moment=_END, name="an empty answer", small=(Writes(),), ended="MALFORMED", judged=True),
    Fault(moment=_END, name="nothing but white space", small=(Writes(pieces=("\n ",)),), ended="MALFORMED", judged=True, shown=True),
)


def _first_answers(moment: str, fault: str, setup: Setup, *, calls: int = 1, estimated: bool = False) -> Iterator[Row]:
    """What does no harm: the first model's answer is given, whole."""
    for mode in Mode:
        expected = Expected(
            events="R" + accepted(mode), text="42", outcome="ACCEPTED", attempts=("-",), calls=(calls, 0), estimated=estimated
        )
        yield Row(moment=moment, fault=fault, mode=mode, setup=setup, expected=expected)


def _harmless() -> Iterator[Row]:
    answer = Writes(pieces=("4", "2"))
    yield from _first_answers(
        _BEFORE,
        "429 with a short Retry-After",
        Setup(small=(fails(429, retry_after="0.01"), answer), large=(), settings=_TWICE),
        calls=2,
    )
    yield from _first_answers(_BEFORE, "a late first token", Setup(small=(streams.late(0.05, "4", "2"),), large=()))
    yield from _first_answers("after the first token", "all chunks with the same id", Setup(small=(streams.with_ids("4", "2"),), large=()))
    reports: Mapping[str, streams.Finale] = {
        "no usage": streams.ends_without_usage,
        "usage of no tokens at all": streams.ends(usage={"prompt_tokens": 0, "completion_tokens": 0}),
        "usage of negative counts": streams.ends(usage={"prompt_tokens": -5, "completion_tokens": -1}),
        "usage of more tokens than there can be": streams.ends(usage={"prompt_tokens": 10**12, "completion_tokens": 10**12}),
        "usage that is no number": streams.ends(usage={"prompt_tokens": "many", "completion_tokens": [1]}),
    }
    for report, finale in reports.items():
        setup = Setup(small=(Writes(pieces=("4", "2"), finale=finale),), large=())
        yield from _first_answers(_END, report, setup, estimated=True)


def _refusals() -> Iterator[Row]:
    """Errors that no other model can mend end the request at once."""
    faults = {
        "401": (fails(401), "FAILED_PRECONDITION PROVIDER_AUTHENTICATION", "authentication_failed"),
        "400": (fails(400), "INVALID_ARGUMENT PROVIDER_REJECTED", "request_rejected"),
        "400, forbidden prompt": (
            fails(400, error={"message": "no", "code": "content_policy_violation"}),
            "INVALID_ARGUMENT CONTENT_POLICY",
            "content_policy",
        ),
    }
    for name, (behaviour, error, kind) in faults.items():
        for mode in Mode:
            expected = Expected(events="RA", error=error, record="FAILED", attempts=(f"PROVIDER_ERROR {kind}",), calls=(1, 0))
            yield Row(moment=_BEFORE, fault=name, mode=mode, setup=Setup(small=(behaviour,), large=()), expected=expected)


def _last_tier() -> Iterator[Row]:
    """The last model fails: the best answer seen, or an error that names every model's cause."""
    for mode in Mode:
        broken = Writes(pieces=("4",), finale=streams.stalls)
        shown = "dX" if mode is Mode.SPECULATIVE else ""
        for name, part, kind in (
            ("500", fails(500), "PROVIDER_ERROR server_error"),
            ("reset after the first token", Writes(pieces=("4",), finale=streams.resets), "PROVIDER_ERROR connection_broken"),
        ):
            seen = shown if isinstance(part, Writes) else ""
            setup = Setup(small=(Writes(pieces=("41",)),), large=(part,), judge=lambda: FakeJudge({"41": 0.2}, on_beginnings=0.5))
            expected = Expected(
                events=f"R{passed_over(mode, judged=True, shown=True)}A{seen}dC!", text="41", outcome="BEST_SEEN", attempts=(_LOW, kind)
            )
            fault = f"{name}, an earlier answer was not accepted"
            yield Row(moment="in the last tier", fault=fault, mode=mode, setup=setup, expected=expected)
        setup = Setup(small=(broken,), large=(Writes(pieces=("4",), finale=streams.resets),), settings=_IDLE, **ALL_SHORT)
        expected = Expected(
            events=f"R{passed_over(mode, judged=False, shown=True)}A{shown}",
            error="UNAVAILABLE ALL_ATTEMPTS_FAILED",
            record="FAILED",
            attempts=("TIMEOUT timeout", "PROVIDER_ERROR connection_broken"),
        )
        yield Row(moment="in the last tier", fault="all models fail", mode=mode, setup=setup, expected=expected)


def _rows() -> Iterator[Row]:
    for fault in (*_BEFORE_THE_FIRST_TOKEN, *_AFTER_THE_FIRST_TOKEN, *_EMPTY):
        yield from fault.rows()
    for rows in (_harmless, _refusals, _last_tier, rows_around):
        yield from rows()


ROWS = tuple(_rows())
