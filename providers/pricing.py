"""List prices as integers."""

from __future__ import annotations

from typing import Final

from providers.port import Price
from servicekit.settings.models import PriceSettings

NANO: Final = 1_000_000_000
"""Nano-USD in one USD."""


def to_price(settings: PriceSettings) -> Price:
    """Prices in nano-USD per million tokens, each rounded to the nearest integer (half to even)."""
    cached = settings.cached_input_usd_per_mtok
    return Price(
        input_nano_usd_per_mtok=nano_usd(settings.input_usd_per_mtok),
        output_nano_usd_per_mtok=nano_usd(settings.output_usd_per_mtok),
        cached_input_nano_usd_per_mtok=None if cached is None else nano_usd(cached),
    )


def nano_usd(usd: float) -> int:
    """``usd`` in nano-USD, the nearest integer. Up to 100,000 USD the float product is off by less than a fiftieth of one."""
    return round(usd * NANO)
