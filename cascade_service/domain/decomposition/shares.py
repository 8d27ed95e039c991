"""How the parts of a request share its ceilings, so that the sum never exceeds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cascade_service.domain.ceilings import Ceilings, Spent
from cascade_service.domain.decomposition.splitting import Part


class Shares:
    """Equal shares; what a part leaves over goes in equal parts to those that have not ended. A share never shrinks before its part ends.

    ``total`` must allow at least one attempt and one output token per part.
    """

    def __init__(self, total: Ceilings, parts: int) -> None:
        costs, attempts, tokens = (
            _equal(amount, parts) for amount in (total.cost_max_nano_usd, total.attempts_max, total.output_tokens_max)
        )
        self._shares = [
            replace(total, cost_max_nano_usd=c, attempts_max=a, output_tokens_max=t)
            for c, a, t in zip(costs, attempts, tokens, strict=True)
        ]
        self._open = list(range(parts))

    def of(self, part: int) -> Ceilings:
        """The share of a part as it is now."""
        return self._shares[part]

    def settle(self, part: int, used: Spent) -> Sequence[int]:
        """Takes note that ``part`` has ended and has used up that much; returns the parts whose shares have grown."""
        self._open.remove(part)
        if not self._open:
            return ()
        share, heirs = self._shares[part], len(self._open)
        costs = _equal(max(0, share.cost_max_nano_usd - used.cost_nano_usd), heirs)
        attempts = _equal(max(0, share.attempts_max - used.attempts), heirs)
        tokens = _equal(max(0, share.output_tokens_max - used.output_tokens), heirs)
        for heir, cost, more, token in zip(self._open, costs, attempts, tokens, strict=True):
            own = self._shares[heir]
            self._shares[heir] = replace(
                own,
                cost_max_nano_usd=own.cost_max_nano_usd + cost,
                attempts_max=own.attempts_max + more,
                output_tokens_max=own.output_tokens_max + token,
            )
        return tuple(self._open)


def rounds(parts: Sequence[Part], *, parallel_max: int) -> list[int]:
    """In which round each part is answered, from 0: at most ``parallel_max`` in one, and one that needs the earlier begins a new one."""
    placed: list[int] = []
    current, size = 0, 0
    for part in parts:
        if placed and (part.needs_earlier or size == parallel_max):
            current, size = current + 1, 0
        placed.append(current)
        size += 1
    return placed


def part_deadline_s(*, now_s: float, deadline_at_s: float, rounds_left: int) -> float:
    """When a part must have ended so that the ``rounds_left`` (its own included, 1 or more) share the time that is left equally."""
    return deadline_at_s if rounds_left == 1 else now_s + (deadline_at_s - now_s) / rounds_left


def _equal(amount: int, parts: int) -> list[int]:
    """``amount`` in whole parts that differ by at most one, the greater first."""
    each, rest = divmod(amount, parts)
    return [each + (index < rest) for index in range(parts)]
