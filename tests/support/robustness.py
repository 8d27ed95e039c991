"""Writes `docs/robustness.md` from the table of faults: `python -m tests.support.robustness [--check]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.support.fault_rows import Expected, Row
from tests.support.fault_table import ROWS

TARGET: Final = Path(__file__).parents[2] / "docs" / "robustness.md"
_COMMAND: Final = "python -m tests.support.robustness"
_INTRO: Final = """\
<!-- Written by `{command}`; change the table in `tests/support/fault_table*.py`, not this file. -->

# What goes wrong, and what comes of it

{count} rows, each a test: the cascade as served, on real sockets, between a provider, a judge and a router that misbehave as the row says.
`pytest tests/faults/cascade/test_cascade_fault_table.py -k EXPRESSION` plays some. In every row

- the stream ends: with exactly one `Completed`, or with an error status and no `Completed`;
- the events follow the grammar of `event.proto`, no sequence number comes twice, and what is final, joined, is the answer;
- no model is called more often than the row says, and after the stream no call to a provider is open: it has ended, or we closed it;
- the ceiling on cost holds, whatever a provider reports;
- one decision record is written, with the attempts, reasons and causes of the row.

The plan is a small model, then a large one. Events have a letter each, runs of deltas as one: R `Routed`, A `AttemptStarted`, d `Delta`,
J `Judged`, C `Committed`, X `Retracted`, E `Escalated`, ! `Completed`. The last column has for each attempt the reason to escalate and the
class of the failure, – for neither. With PREFIX_COMMIT nothing is final when it goes wrong unless the row says so. A crash of a process, a
store that is down and too much load are tested elsewhere.
"""


def render(rows: Sequence[Row] = ROWS) -> str:
    """The whole page."""
    return _INTRO.format(command=_COMMAND, count=len(rows)) + "".join(_sections(rows))


def _sections(rows: Sequence[Row]) -> Iterator[str]:
    moments = list(dict.fromkeys(row.moment for row in rows))
    for moment in moments:
        yield f"\n## {moment[:1].upper()}{moment[1:]}\n\n"
        yield "| fault | mode | the caller gets | events | attempts in the record |\n| --- | --- | --- | --- | --- |\n"
        for fault, same in groupby((row for row in rows if row.moment == moment), key=lambda row: row.fault):
            yield from (_line(fault if index == 0 else "", row) for index, row in enumerate(same))


def _line(fault: str, row: Row) -> str:
    attempts = "; ".join(attempt.replace("- ", "– ") if attempt != "-" else "–" for attempt in row.expected.attempts)
    cells = (fault, f"{row.mode.value}{f'; {row.final}' if row.final else ''}", gets(row), f"`{row.expected.events}`", attempts)
    return "| " + " | ".join(cells) + " |\n"


def gets(row: Row) -> str:
    """What the caller gets, in words."""
    expected = row.expected
    if expected.error == "CANCELLED":
        return "its call to the provider, or to the judges, is closed; the record says `CANCELLED`"
    if expected.error:
        code, reason = expected.error.split(" ")
        return f"{code}, `{reason}`" + _taken_back(expected)
    return _answer(row) + (", with its usage estimated" if expected.estimated else "") + _taken_back(expected)


def _answer(row: Row) -> str:
    expected = row.expected
    match expected.outcome:
        case "ACCEPTED" if len(expected.attempts) == 1:
            return "the answer"
        case "ACCEPTED":
            return "what is final, continued by the next model" if row.final else "the next model's answer"
        case "UNJUDGED":
            return "the strongest model's answer, marked `UNJUDGED`"
        case _:
            return "what is final, marked `incomplete`" if expected.incomplete else "the best answer seen, marked `BEST_SEEN`"


def _taken_back(expected: Expected) -> str:
    return "; what was shown and is not final is retracted" if "X" in expected.events else ""


def main(arguments: list[str]) -> int:
    """Writes the page, or with `--check` says whether it is up to date."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is out of date")
    check: bool = parser.parse_args(arguments).check
    page = render()
    if not check:
        TARGET.write_text(page, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page:
        return 0
    sys.stderr.write(f"{TARGET} is out of date; run `{_COMMAND}`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
