"""The machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Time as the machine tells it."""

    def monotonic_s(self) -> float:
        """Seconds that never go back; the scale of the event loop's timeouts and of gRPC's deadlines as the server sees them."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(UTC)
