"""Accounts of what callers use: whatever comes in whatever order, no limit lets more through than it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_service.domain.quotas import (
    WINDOW_NS,
    Account,
    Hold,
    Limit,
    LimitReached,
    Limits,
    Use,
    admit,
    affordable,
    progress,
    settle,
)

NOON_NS = 1_763_812_800 * 10**9
S = 10**9
RATES = st.integers(1, 1_000)
STEPS = st.lists(
    st.tuples(st.integers(0, 40 * S), st.integers(1, 600), st.integers(0, 900), st.integers(0, 90 * S)), min_size=1, max_size=40
)


def refusal(account: Account, limits: Limits, now_ns: int, *, cost: int = 0) -> LimitReached | None:
    try:
        affordable(account, limits, cost, now_ns=now_ns)
        admit(account, limits, Use(), now_ns=now_ns)
    except LimitReached as refused:
        return refused
    return None


@given(rate=RATES, waits=st.lists(st.integers(0, 20 * S), min_size=1, max_size=60))
def test_requests_never_exceed_their_rate(rate: int, waits: list[int]) -> None:
    limits, account, now_ns = Limits(requests_per_minute=rate), Account(scope="service"), NOON_NS
    let_in: list[int] = []
    for wait in waits:
        now_ns += wait
        refused = refusal(account, limits, now_ns)
        if refused is None:
            account, _ = admit(account, limits, Use(), now_ns=now_ns)
            let_in.append(now_ns)
            continue
        assert refused.exceeded.used <= rate
        # It says when it would pass: then it does, and a moment earlier it does not.
        at_ns = now_ns + round(refused.exceeded.retry_after_s * S)
        assert refusal(account, limits, at_ns + 100) is None
        assert refusal(account, limits, at_ns - 100) is not None
    for index, start in enumerate(let_in):
        for count, end in enumerate(let_in[index:], start=1):
            assert count <= rate + (end - start) * rate // WINDOW_NS + 1


@given(rate=RATES)
def test_a_whole_window_may_come_at_once_and_not_one_more(rate: int) -> None:
    limits, account = Limits(requests_per_minute=rate), Account(scope="service")
    for _ in range(rate):
        account, _hold = admit(account, limits, Use(), now_ns=NOON_NS)
    with pytest.raises(LimitReached) as caught:
        admit(account, limits, Use(), now_ns=NOON_NS)
    assert (caught.value.exceeded.used, caught.value.exceeded.value) == (rate, rate)
    assert caught.value.reason == "RATE_LIMITED"


@given(rate=st.integers(50, 1_000), steps=STEPS)
def test_tokens_that_were_used_never_exceed_their_rate_by_more_than_was_not_foreseen(
    rate: int, steps: list[tuple[int, int, int, int]]
) -> None:
    """Each step: a wait, the tokens held, the tokens used in the end, and how long the request takes."""
    limits, account, now_ns = Limits(tokens_per_minute=rate), Account(scope="service"), NOON_NS
    running: list[tuple[int, Hold, int]] = []
    admitted: list[tuple[int, int]] = []
    unforeseen = 0
    for wait, held, used, takes in steps:
        now_ns += wait
        for end, hold, spent in [entry for entry in running if entry[0] <= now_ns]:
            account = settle(account, hold, Use(tokens=spent), now_ns=max(end, now_ns))
        running = [entry for entry in running if entry[0] > now_ns]
        try:
            account, hold = admit(account, limits, Use(tokens=held), now_ns=now_ns)
        except LimitReached:
            continue
        admitted.append((now_ns, used))
        unforeseen += max(used - min(held, rate), 0) + max(held - rate, 0)
        running.append((now_ns + takes, hold, used))
    first = admitted[0][0] if admitted else NOON_NS
    # Nanoseconds are rounded down once per step.
    assert sum(used for _, used in admitted) <= rate + (now_ns - first) * rate // WINDOW_NS + unforeseen + len(steps)


@given(budget=st.integers(0, 1_000), ceilings=st.lists(st.integers(1, 400), max_size=30), shares=st.lists(st.floats(0, 1), min_size=30))
def test_a_budget_is_never_overspent(budget: int, ceilings: list[int], shares: list[float]) -> None:
    limits, account = Limits(cost_max_nano_usd_per_day=budget), Account(scope="key:k")
    running: list[tuple[Hold, int]] = []
    for ceiling, share in zip(ceilings, shares, strict=False):
        if share < 0.5 and running:
            hold, spent = running.pop()
            account = settle(account, hold, Use(cost_nano_usd=spent), now_ns=NOON_NS)
        refused = refusal(account, limits, NOON_NS, cost=ceiling)
        if refused is not None:
            assert account.cost_today_nano_usd + account.cost_held_nano_usd == budget
            assert refused.reason == "BUDGET_EXHAUSTED"
            assert refused.exceeded.retry_after_s == (12 * 3600.0 if account.cost_today_nano_usd >= budget else 1.0)
            continue
        left = affordable(account, limits, ceiling, now_ns=NOON_NS)
        account, hold = admit(account, limits, Use(cost_nano_usd=left), now_ns=NOON_NS)
        running.append((hold, int(left * share)))
        assert account.cost_today_nano_usd + account.cost_held_nano_usd <= budget
    for hold, spent in running:
        account = settle(account, hold, Use(cost_nano_usd=spent), now_ns=NOON_NS)
    assert account.cost_held_nano_usd == account.running == 0
    assert account.cost_today_nano_usd <= budget


def test_a_new_day_brings_a_new_budget_and_a_clock_behind_does_not_turn_it_back() -> None:
    limits = Limits(cost_max_nano_usd_per_day=10)
    account, hold = admit(Account(scope="key:k"), limits, Use(cost_nano_usd=10), now_ns=NOON_NS)
    account = settle(account, hold, Use(cost_nano_usd=10), now_ns=NOON_NS)
    tomorrow = NOON_NS + 12 * 3600 * S
    assert affordable(account, limits, 10, now_ns=tomorrow) == 10
    account, hold = admit(account, limits, Use(cost_nano_usd=4), now_ns=tomorrow)
    late = settle(account, hold, Use(cost_nano_usd=4), now_ns=tomorrow - S)
    assert (late.day, late.cost_today_nano_usd, late.requests_today) == ("2025-11-23", 4, 1)


def test_what_a_request_runs_into_another_day_with_counts_where_it_ends() -> None:
    limits = Limits(cost_max_nano_usd_per_day=10)
    account, hold = admit(Account(scope="key:k"), limits, Use(cost_nano_usd=10), now_ns=NOON_NS)
    tomorrow = NOON_NS + 12 * 3600 * S
    with pytest.raises(LimitReached):
        affordable(account, limits, 1, now_ns=tomorrow)
    account = settle(account, hold, Use(cost_nano_usd=3), now_ns=tomorrow)
    assert affordable(account, limits, 10, now_ns=tomorrow) == 7


def test_tokens_are_counted_as_they_come_and_a_large_request_leaves_debt() -> None:
    limits = Limits(tokens_per_minute=600)
    account, hold = admit(Account(scope="key:k"), limits, Use(tokens=100), now_ns=NOON_NS)
    account, hold = progress(account, hold, Use(tokens=550), now_ns=NOON_NS)
    assert (account.tokens_used(NOON_NS), hold.use.tokens) == (550, 550)
    with pytest.raises(LimitReached) as caught:
        admit(account, limits, Use(tokens=100), now_ns=NOON_NS)
    assert caught.value.exceeded.retry_after_s == 5.0
    account = settle(account, hold, Use(tokens=1_200), now_ns=NOON_NS)
    assert account.tokens_used(NOON_NS) == 1_200
    assert account.tokens_used(NOON_NS + 120 * S) == 0
    # More than a whole window's is let in when nothing else counts, and leaves debt.
    account, _ = admit(replace(account), limits, Use(tokens=6_000), now_ns=NOON_NS + 120 * S)
    assert account.tokens_used(NOON_NS + 120 * S) == 6_000


def test_unused_tokens_are_given_back_but_not_those_that_time_has_given_back() -> None:
    limits = Limits(tokens_per_minute=600)
    account, hold = admit(Account(scope="key:k"), limits, Use(tokens=600), now_ns=NOON_NS)
    assert settle(account, hold, Use(tokens=100), now_ns=NOON_NS).tokens_used(NOON_NS) == 100
    half = NOON_NS + 30 * S
    account, _ = admit(account, limits, Use(tokens=300), now_ns=half)
    assert settle(account, hold, Use(tokens=0), now_ns=half).tokens_used(half) == 300


def test_requests_at_a_time() -> None:
    limits = Limits(concurrent_requests=1)
    account, hold = admit(Account(scope="keyless"), limits, Use(), now_ns=NOON_NS)
    with pytest.raises(LimitReached) as caught:
        admit(account, limits, Use(), now_ns=NOON_NS)
    assert (caught.value.exceeded.limit, caught.value.exceeded.retry_after_s) == (Limit.CONCURRENT, 1.0)
    admit(settle(account, hold, Use(), now_ns=NOON_NS), limits, Use(), now_ns=NOON_NS)


@pytest.mark.parametrize("limits", [Limits(requests_per_minute=0), Limits(tokens_per_minute=0), Limits(concurrent_requests=0)])
def test_a_limit_of_nothing_lets_nothing_through(limits: Limits) -> None:
    with pytest.raises(LimitReached) as caught:
        admit(Account(scope="keyless"), limits, Use(tokens=1), now_ns=NOON_NS)
    assert caught.value.exceeded.retry_after_s > 0
