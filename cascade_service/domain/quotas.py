"""What a caller may use: limits, accounts that count against them, and who is refused.

Rates are kept after the generic cell rate algorithm (GCRA, ITU-T I.371; RFC 2697 is kin to it): one moment per rate, up to which it is
used up. All functions here are pure; a store runs them under a lock on the accounts. Moments are nanoseconds since 1970 in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from cascade_service.domain.errors import CascadeError

_S = 1_000_000_000
WINDOW_NS = 60 * _S
_SOON_S = 1.0


class Limit(Enum):
    """A limit on what a caller may use; the values are the keys of the configuration."""

    REQUESTS = "requests_per_minute"
    TOKENS = "tokens_per_minute"
    COST = "cost_max_nano_usd_per_day"
    CONCURRENT = "concurrent_requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one scope, each 0 or more; None is no limit. Days are those of UTC."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    cost_max_nano_usd_per_day: int | None = None
    concurrent_requests: int | None = None

    @property
    def any(self) -> bool:
        """True when there is a limit at all."""
        rates = (self.requests_per_minute, self.tokens_per_minute, self.cost_max_nano_usd_per_day, self.concurrent_requests)
        return any(limit is not None for limit in rates)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose use is counted together: `key:ID`, `keyless` or `service`."""

    name: str
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a request needs, holds or has used: tokens, input and output, and nano-USD, attempts and judges."""

    tokens: int = 0
    cost_nano_usd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What an admitted request holds in a scope until it is settled. ``at_ns`` is when it was admitted."""

    use: Use = field(default_factory=Use)
    at_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a scope has used up. ``…_until_ns`` is the moment up to which a rate is used up, in the past when it is idle."""

    scope: str
    limits: Limits = NO_LIMITS
    requests_until_ns: int = 0
    tokens_until_ns: int = 0
    running: int = 0
    cost_held_nano_usd: int = 0
    day: str = ""
    requests_today: int = 0
    tokens_today: int = 0
    cost_today_nano_usd: int = 0

    def requests_used(self, now_ns: int) -> int:
        """Requests that count against the limit now."""
        return _level(self.requests_until_ns, self.limits.requests_per_minute, now_ns)

    def tokens_used(self, now_ns: int) -> int:
        """Tokens that count against the limit now; above it after more was used than was held."""
        return _level(self.tokens_until_ns, self.limits.tokens_per_minute, now_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A limit that a request would break, with the figures. ``retry_after_s`` is when the request would pass, in seconds."""

    scope: str
    limit: Limit
    value: int
    used: int
    retry_after_s: float


class LimitReached(CascadeError):
    """A limit of the caller, or of the service, is reached. Nothing was done and nothing is owed."""

    def __init__(self, exceeded: Exceeded) -> None:
        used = f"{exceeded.used} of {exceeded.value} are used"
        super().__init__(f"the limit `{exceeded.limit.value}` of `{exceeded.scope}` is reached: {used}")
        self.reason = "BUDGET_EXHAUSTED" if exceeded.limit is Limit.COST else "RATE_LIMITED"
        self.exceeded = exceeded


def admit(account: Account, limits: Limits, need: Use, *, now_ns: int) -> tuple[Account, Hold]:
    """The account with ``need`` held in it. Raises ``LimitReached``.

    Of tokens no more than a whole window's is asked of the account; the rest becomes debt that later requests wait for. Of the budget
    all of ``need`` must be left: see ``affordable``.
    """
    account = replace(_on_day(account, now_ns), limits=limits)
    requests_until_ns, tokens_until_ns = account.requests_until_ns, account.tokens_until_ns
    if limits.concurrent_requests is not None and account.running >= limits.concurrent_requests:
        raise LimitReached(_exceeded(account, Limit.CONCURRENT, limits.concurrent_requests, account.running, _SOON_S))
    if limits.requests_per_minute is not None:
        requests_until_ns = _advance(account, Limit.REQUESTS, limits.requests_per_minute, 1, now_ns=now_ns)
    if limits.tokens_per_minute is not None:
        tokens_until_ns = _advance(account, Limit.TOKENS, limits.tokens_per_minute, need.tokens, now_ns=now_ns)
    held = 0
    if limits.cost_max_nano_usd_per_day is not None:
        held = need.cost_nano_usd
        if held > _left(account, limits.cost_max_nano_usd_per_day):
            raise LimitReached(_over_budget(account, limits.cost_max_nano_usd_per_day, now_ns=now_ns))
    admitted = replace(
        account,
        requests_until_ns=requests_until_ns,
        tokens_until_ns=tokens_until_ns,
        running=account.running + 1,
        cost_held_nano_usd=account.cost_held_nano_usd + held,
    )
    return admitted, Hold(use=Use(tokens=need.tokens, cost_nano_usd=held), at_ns=now_ns)


def affordable(account: Account, limits: Limits, cost_nano_usd: int, *, now_ns: int) -> int:
    """As much of ``cost_nano_usd`` as the day's budget leaves. Raises ``LimitReached`` when it leaves nothing of something."""
    budget = limits.cost_max_nano_usd_per_day
    if budget is None:
        return cost_nano_usd
    account = _on_day(account, now_ns)
    left = min(cost_nano_usd, _left(account, budget))
    if left <= 0 < cost_nano_usd:
        raise LimitReached(_over_budget(account, budget, now_ns=now_ns))
    return left


def progress(account: Account, hold: Hold, use: Use, *, now_ns: int) -> tuple[Account, Hold]:
    """The account of a request under way that has used more tokens than it holds; it holds them from now on."""
    more = use.tokens - hold.use.tokens
    if more <= 0:
        return account, hold
    account = replace(account, tokens_until_ns=_later(account.tokens_until_ns, account.limits.tokens_per_minute, more, now_ns))
    return account, replace(hold, use=replace(hold.use, tokens=use.tokens))


def settle(account: Account, hold: Hold | None, use: Use, *, now_ns: int) -> Account:
    """The account after a request that used ``use``; without a ``hold``, of one that was not admitted under limits."""
    account = _on_day(account, now_ns)
    if hold is not None:
        rate = account.limits.tokens_per_minute
        account, hold = progress(account, hold, use, now_ns=now_ns)
        # What the time that went by has let drain is gone already, whoever's it was: giving it back would let too much through later.
        drained_ns = max(now_ns - hold.at_ns, 0)
        unused_ns = 0 if rate is None else max(_span(hold.use.tokens, rate) - max(_span(use.tokens, rate), drained_ns), 0)
        account = replace(
            account,
            tokens_until_ns=account.tokens_until_ns - unused_ns,
            running=max(account.running - 1, 0),
            cost_held_nano_usd=max(account.cost_held_nano_usd - hold.use.cost_nano_usd, 0),
        )
    return replace(
        account,
        requests_today=account.requests_today + 1,
        tokens_today=account.tokens_today + use.tokens,
        cost_today_nano_usd=account.cost_today_nano_usd + use.cost_nano_usd,
    )


def until_next_day_s(now_ns: int) -> float:
    """Seconds until the next UTC day, more than 0."""
    now = datetime.fromtimestamp(now_ns // _S, tz=UTC)
    return ((now + timedelta(days=1)).replace(hour=0, minute=0, second=0) - now).total_seconds()


def nanoseconds(time: datetime) -> int:
    """The moment in nanoseconds since 1970, to the microsecond."""
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def _on_day(account: Account, now_ns: int) -> Account:
    """The account with the day's figures at 0 when a new day has begun. A replica whose clock is behind does not turn it back."""
    day = datetime.fromtimestamp(now_ns // _S, tz=UTC).date().isoformat()
    if day <= account.day:
        return account
    return replace(account, day=day, requests_today=0, tokens_today=0, cost_today_nano_usd=0)


def _advance(account: Account, limit: Limit, rate: int, units: int, *, now_ns: int) -> int:
    """Until when the rate is used up after ``units`` more. Raises ``LimitReached``."""
    until_ns = account.requests_until_ns if limit is Limit.REQUESTS else account.tokens_until_ns
    asked_ns = max(until_ns, now_ns) + (_span(min(units, rate), rate) if rate else WINDOW_NS + 1)
    if asked_ns - now_ns > WINDOW_NS:
        wait_s = (asked_ns - now_ns - WINDOW_NS) / _S if rate else WINDOW_NS / _S
        raise LimitReached(_exceeded(account, limit, rate, _level(until_ns, rate, now_ns), wait_s))
    return _later(until_ns, rate, units, now_ns)


def _later(until_ns: int, rate: int | None, units: int, now_ns: int) -> int:
    return until_ns if not rate else max(until_ns, now_ns) + _span(units, rate)


def _span(units: int, rate: int) -> int:
    """How long ``units`` take at ``rate`` per window, in nanoseconds, rounded down: ``rate`` units must fit into one window.

    One more does not fit as long as there are fewer than 240,000 steps in a window.
    """
    return units * WINDOW_NS // rate if rate else 0


def _level(until_ns: int, rate: int | None, now_ns: int) -> int:
    """Units that count now, rounded up: a part of a unit that has not drained yet is in the way of the next."""
    return 0 if not rate else -(-max(until_ns - now_ns, 0) * rate // WINDOW_NS)


def _left(account: Account, budget: int) -> int:
    return budget - account.cost_today_nano_usd - account.cost_held_nano_usd


def _over_budget(account: Account, budget: int, *, now_ns: int) -> Exceeded:
    """Held by others, it may be given back soon; spent, it comes back on the next day."""
    used = account.cost_today_nano_usd + account.cost_held_nano_usd
    wait_s = until_next_day_s(now_ns) if account.cost_today_nano_usd >= budget else _SOON_S
    return _exceeded(account, Limit.COST, budget, used, wait_s)


def _exceeded(account: Account, limit: Limit, value: int, used: int, retry_after_s: float) -> Exceeded:
    return Exceeded(scope=account.scope, limit=limit, value=value, used=used, retry_after_s=retry_after_s)
