"""What callers may use and have used, as the cascade counts it."""

from __future__ import annotations

from dataclasses import dataclass

from emafusion.cascade.v1 import quota_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One scope of limits: `key:ID`, `keyless` or `service`. A limit that is None does not exist; days are those of UTC."""

    scope: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    cost_max_nano_usd_per_day: int | None
    concurrent_requests: int | None
    requests_used: int
    tokens_used: int
    requests_running: int
    day: str
    requests_today: int
    tokens_today: int
    cost_nano_usd_today: int
    cost_nano_usd_held: int


def quota(message: quota_pb2.Quota) -> Quota:
    """The quota in a message."""
    return Quota(
        scope=message.scope,
        requests_per_minute=message.requests_per_minute if message.HasField("requests_per_minute") else None,
        tokens_per_minute=message.tokens_per_minute if message.HasField("tokens_per_minute") else None,
        cost_max_nano_usd_per_day=message.cost_max_nano_usd_per_day if message.HasField("cost_max_nano_usd_per_day") else None,
        concurrent_requests=message.concurrent_requests if message.HasField("concurrent_requests") else None,
        requests_used=message.requests_used,
        tokens_used=message.tokens_used,
        requests_running=message.requests_running,
        day=message.day,
        requests_today=message.requests_today,
        tokens_today=message.tokens_today,
        cost_nano_usd_today=message.cost_nano_usd_today,
        cost_nano_usd_held=message.cost_nano_usd_held,
    )
