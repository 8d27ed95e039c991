"""Figures as people read them."""

from __future__ import annotations

_NANO_PER_USD = 1_000_000_000
_MS = 1_000
_SECOND_NS = 1_000_000_000
_CENT = 10_000_000


def usd(nano_usd: int) -> str:
    """Money, with as many digits as it takes to see it."""
    value = nano_usd / _NANO_PER_USD
    if nano_usd == 0:
        return "$0"
    return f"${value:.4f}" if abs(nano_usd) >= _CENT else f"${value:.9f}".rstrip("0")


def probability(value: float | None) -> str:
    """A probability, or a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"


def seconds(value: float) -> str:
    """A duration given in seconds."""
    return f"{value * _MS:.0f} ms" if value < 1 else f"{value:.1f} s"


def nanoseconds(value: int) -> str:
    """A duration given in nanoseconds."""
    return f"{value / 1_000_000:.1f} ms" if value < _SECOND_NS else f"{value / _SECOND_NS:.2f} s"
