"""What judging may cost before the router alone is the better choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.decision_quality.measure import Row

JUDGED, ALONE = "combined", "learned only"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """The price of judging one answer at which judging and escalating nets as much as one call chosen by the learned router.

    At ``setting`` a right answer is worth ``worth_usd``. Below zero judging does not pay even for nothing. ``share_of_best_call`` is the
    price relative to a call of the best single model.
    """

    pool: str
    split: str
    setting: str
    worth_usd: float
    usd_per_judged_answer: float
    share_of_best_call: float


def break_evens(rows: Sequence[Row]) -> list[BreakEven]:
    """One entry for every setting λ that both were measured at."""
    found: list[BreakEven] = []
    for pool in dict.fromkeys(row.pool for row in rows):
        own = {(row.method, row.setting): row for row in rows if row.pool == pool}
        for (method, setting), judged in own.items():
            alone = own.get((ALONE, setting))
            if method == JUDGED and alone is not None:
                found.append(_break_even(judged, alone))
    return found


def _break_even(judged: Row, alone: Row) -> BreakEven:
    best_call_usd = judged.usd_per_1k / 1_000.0 / judged.cost_ratio_to_best_single
    worth = best_call_usd / float(judged.setting.removeprefix("λ "))
    gain = (judged.accuracy - alone.accuracy) * worth - (judged.usd_per_1k - alone.usd_per_1k) / 1_000.0
    answers = sum(count * share for count, share in enumerate(judged.attempts, start=1))
    return BreakEven(
        pool=judged.pool,
        split=judged.split,
        setting=judged.setting,
        worth_usd=worth,
        usd_per_judged_answer=gain / answers,
        share_of_best_call=gain / answers / best_call_usd,
    )
