"""The table of faults, row by row: no hang, nothing twice, nothing cut off in silence, and a record with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from servicekit.settings.cascade import CeilingSettings
from tests.support.cascade import GRAMMAR, PREFIX_GRAMMAR
from tests.support.fault_rows import Mode, Row
from tests.support.fault_stage import play
from tests.support.fault_table import ROWS

COST_MAX_NANO_USD = CeilingSettings().cost_max_nano_usd


@pytest.mark.timeout(30)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_what_comes_of_a_fault(row: Row, tmp_path: Path) -> None:
    seen, expected = await play(row, tmp_path), row.expected
    assert (seen.events, seen.error) == (expected.events, expected.error)
    assert (seen.text, seen.outcome, seen.incomplete) == (expected.text, expected.outcome, expected.incomplete)
    assert seen.calls == expected.calls, "HTTP calls to each model"
    assert (seen.record, seen.recorded) == (expected.record, expected.attempts)
    if expected.error:
        assert seen.letters.count("!") == 0, "an answer and an error"
        assert seen.recorded_error == expected.error.split(" ")[-1]
    else:
        assert re.fullmatch(PREFIX_GRAMMAR if row.mode is Mode.PREFIX_COMMIT else GRAMMAR, seen.letters)
        assert seen.final == seen.text, "what is final, joined, is the answer"
        assert seen.summaries == seen.recorded
        assert seen.cost_nano_usd <= COST_MAX_NANO_USD, "the ceiling on cost holds"
        if expected.attempts == ("-",):
            assert seen.estimated == expected.estimated


def test_the_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
