"""What tokens cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Prices in nano-USD per million tokens; cached input defaults to the input price."""

    input_nano_usd_per_mtok: int = 0
    output_nano_usd_per_mtok: int = 0
    cached_input_nano_usd_per_mtok: int | None = None

    def bound_nano_usd(self, *, input_tokens: int, output_tokens: int) -> int:
        """Most that so many tokens can cost in nano-USD, rounded up; cached or not, whatever is dearer."""
        dearest = max(self.input_nano_usd_per_mtok, self.cached_input_nano_usd_per_mtok or 0)
        return -(-(input_tokens * dearest + output_tokens * self.output_nano_usd_per_mtok) // 1_000_000)

    def estimate_nano_usd(self, *, input_tokens: int, output_tokens: int) -> int:
        """Cost of so many tokens without any from a cache, in nano-USD, rounded up."""
        return -(-(input_tokens * self.input_nano_usd_per_mtok + output_tokens * self.output_nano_usd_per_mtok) // 1_000_000)
