"""An event loop whose time jumps to the next timer instead of waiting for it: hours of streaming in seconds, without rounding."""

from __future__ import annotations

import asyncio
import selectors


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer, but keeps account of how long it would have."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # nothing but another thread can go on
            return super().select(None)
        self.now_s += max(timeout, 0.0)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Time starts at 0 and passes only while everybody sleeps. A thread that is awaited beside a timer may find time gone by."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s
