"""How long a first chunk is waited for before a rival is started, and how often that may happen."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

SAMPLES_KEPT: Final = 256
"""Times to a first chunk that the estimate rests on: the latest ones."""
CREDIT_MAX: Final = 10.0
"""Rivals that a quiet time can save up for a burst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """When a rival is started.

    After ``after_s`` seconds where that is set; otherwise after the ``quantile`` of the latest times to a first chunk, never below
    ``floor_s``, and after ``initial_s`` as long as fewer than ``samples_min`` times are known. For ``share_max`` of the requests at
    most, 0.0 to 1.0.
    """

    after_s: float | None = None
    quantile: float = 0.95
    samples_min: int = 20
    initial_s: float = 5.0
    floor_s: float = 0.1
    share_max: float = 0.05


class FirstChunkTimes:
    """The latest times to a first chunk, and the wait that follows from them."""

    def __init__(self, policy: HedgePolicy) -> None:
        self._policy = policy
        self._times: deque[float] = deque(maxlen=SAMPLES_KEPT)

    def add(self, seconds: float) -> None:
        """Takes in one time to a first chunk."""
        self._times.append(seconds)

    def wait_s(self) -> float:
        """Seconds to wait for a first chunk before a rival is started."""
        policy = self._policy
        if policy.after_s is not None:
            return policy.after_s
        if len(self._times) < policy.samples_min:
            return max(policy.initial_s, policy.floor_s)
        rank = math.ceil(policy.quantile * len(self._times))
        return max(policy.floor_s, sorted(self._times)[max(rank, 1) - 1])


class HedgeShare:
    """Keeps rivals at a share of the requests: each request earns that share of a rival.

    At no time have there been more rivals than ``share_max`` of the requests so far, nor more at once than ``CREDIT_MAX`` saved up.
    """

    def __init__(self, share_max: float) -> None:
        self._share_max = share_max
        self._credit = 0.0

    def count_request(self) -> None:
        """A request has come."""
        self._credit = min(self._credit + self._share_max, CREDIT_MAX)

    def take(self) -> bool:
        """Takes leave for one rival; False when there is none to be had."""
        if self._credit < 1.0 - 1e-9:  # twenty times 0.05 may be less than 1
            return False
        self._credit -= 1.0
        return True
