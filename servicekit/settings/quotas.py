"""Configuration of what callers may use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from servicekit.settings.base import PositiveMs, Section


class QuotaSettings(Section):
    """What may be used. A limit that is left out does not exist."""

    requests_per_minute: int | None = Field(default=None, ge=0, le=200_000)
    """Most requests per minute, as a rate: they may come at once, and come back one by one. Default: no limit."""
    tokens_per_minute: int | None = Field(default=None, ge=0, le=1_000_000_000)
    """Most tokens per minute, input and output of all attempts, counted as they are streamed. Default: no limit."""
    cost_max_nano_usd_per_day: int | None = Field(default=None, ge=0, le=10**15)
    """Most nano-USD per day of UTC, attempts and judges together. What is left lowers a request's ceiling on cost. Default: no limit."""
    concurrent_requests: int | None = Field(default=None, ge=0, le=100_000)
    """Most requests at a time. Default: no limit."""


class CallerLimitSettings(Section):
    """What callers may use, counted in the decision store over all replicas."""

    every_key: QuotaSettings = QuotaSettings()
    """What each API key may use that has no `quota` of its own."""
    keyless: QuotaSettings = QuotaSettings()
    """What all callers without a key may use together."""
    service: QuotaSettings = QuotaSettings()
    """What everybody may use together."""
    when_store_down: Literal["refuse", "allow"] = "refuse"
    """What to do with a request that can't be counted: `refuse` ends it with UNAVAILABLE, `allow` lets it through and counts it later."""
    output_tokens_held: int = Field(default=512, ge=1, le=1_048_576)
    """Output tokens that a request without `max_output_tokens` holds at first, towards `tokens_per_minute`."""
    count_every_ms: PositiveMs = 1_000
    """How often requests under way are looked at: tokens beyond those held are counted then."""
    hold_ms: PositiveMs = 30_000
    """What a request holds is given back after this time without a sign of life from its process."""
