"""What a request is split into, and who splits it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a compound request. ``label`` is its number as the caller wrote it, or the one it gets.

    With ``needs_earlier`` it can only be understood, or answered, with the earlier parts and their answers before it.
    """

    text: str
    label: str
    needs_earlier: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Two or more ``parts`` in the order of the request; or none, and ``reason`` says why in words that never quote the request.

    ``cost_nano_usd`` and ``tokens``, input and output, are what finding that out has used, 0 or more.
    """

    parts: tuple[Part, ...] = ()
    reason: str = ""
    cost_nano_usd: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLimits:
    """What splitting one request may yield and use up: parts (2 or more), nano-USD and seconds."""

    parts_max: int
    cost_max_nano_usd: int
    timeout_s: float


class Splitter(Protocol):
    """Splits requests. In doubt it does not split, and what goes wrong is a reason not to split, never an error."""

    @property
    def name(self) -> str:
        """Which kind of splitter it is, for records and telemetry."""
        ...

    async def split(self, text: str, limits: SplitLimits) -> Split:
        """The parts of the caller's last turn, within ``limits``."""
        ...
