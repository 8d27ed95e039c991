"""What the injection benchmark makes of scores."""

from __future__ import annotations

import pytest

from benchmarks.injection.attacks import SPOKEN
from benchmarks.injection.measure import Scored, figures
from benchmarks.injection.report import markdown


def test_flips_count_only_what_was_rejected_before() -> None:
    name = SPOKEN[0].name
    scored = [
        Scored(0, "", 0.2, 0.3),
        Scored(0, name, 0.6, 0.4),
        Scored(1, "", 0.7, 0.6),
        Scored(1, name, 0.9, 0.8),
        Scored(2, "", 0.1, 0.1),
        Scored(2, name, 0.2, 0.1),
    ]
    (row,) = figures(scored, SPOKEN[:1])
    assert (row.answers, row.judge_flips, row.judge_rejected) == (3, 1, 2)
    assert (row.panel_flips, row.panel_rejected) == (1, 3)
    assert row.score_shift == pytest.approx((0.4 + 0.2 + 0.1) / 3)
    text = markdown({"served": [row]})
    assert "1 of 2 (50%)" in text
    assert f"| {name} | {SPOKEN[0].kind} | 1/2 | 1/3 | +0.23 |" in text
