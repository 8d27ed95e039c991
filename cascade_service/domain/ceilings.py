"""Hard limits of one request, checked before each attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cascade_service.domain.events import Ceiling
from cascade_service.domain.pricing import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """Limits of one request: nano-USD over attempts and judges, attempts, output tokens over all attempts.

    ``cost_named`` is what the limit on cost is called: a ceiling of its own, or what is left of the day's budget.
    """

    cost_max_nano_usd: int
    attempts_max: int
    output_tokens_max: int
    cost_named: Ceiling = Ceiling.COST

    def lowered_to(self, *, cost_nano_usd: int | None, attempts: int | None, output_tokens: int | None) -> Ceilings:
        """These ceilings, each lowered to what a caller asks for. A caller can't raise them."""
        return replace(
            self,
            cost_max_nano_usd=_lower(self.cost_max_nano_usd, cost_nano_usd),
            attempts_max=_lower(self.attempts_max, attempts),
            output_tokens_max=_lower(self.output_tokens_max, output_tokens),
        )

    def within_budget(self, left_nano_usd: int) -> Ceilings:
        """These ceilings, that on cost lowered to what is left of a budget."""
        if left_nano_usd >= self.cost_max_nano_usd:
            return self
        return replace(self, cost_max_nano_usd=left_nano_usd, cost_named=Ceiling.BUDGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """Time limits in seconds: one attempt, the least worth starting, and what is kept back for the answer's way home."""

    attempt_s: float
    attempt_min_s: float
    margin_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a request has used up so far."""

    cost_nano_usd: int = 0
    attempts: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the next attempt may need at worst, before the ceiling on output tokens shortens it."""

    input_tokens: int
    output_tokens: int
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The attempt may start, with so many output tokens and so many seconds.

    ``may_hedge`` when a second call for the same answer would still fit under every ceiling, both at their worst.
    """

    max_output_tokens: int
    timeout_s: float
    may_hedge: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The attempt may not start. ``detail`` has the figures."""

    ceiling: Ceiling
    detail: str


def check(ceilings: Ceilings, times: TimeLimits, *, spent: Spent, needs: Needs, time_left_s: float) -> Granted | Refused:
    """Whether one more attempt fits under every ceiling; if not, which one it would break."""
    if spent.attempts >= ceilings.attempts_max:
        return Refused(Ceiling.ATTEMPTS, f"{spent.attempts} of {ceilings.attempts_max} attempts are used")
    tokens_left = ceilings.output_tokens_max - spent.output_tokens
    if tokens_left < 1:
        return Refused(Ceiling.OUTPUT_TOKENS, f"{spent.output_tokens} of {ceilings.output_tokens_max} output tokens are used")
    output_tokens = min(needs.output_tokens, tokens_left)
    worst = needs.price.bound_nano_usd(input_tokens=needs.input_tokens, output_tokens=output_tokens)
    if spent.cost_nano_usd + worst > ceilings.cost_max_nano_usd:
        left = ceilings.cost_max_nano_usd - spent.cost_nano_usd
        return Refused(ceilings.cost_named, f"the attempt may cost {worst} nano-USD and {left} are left")
    usable_s = time_left_s - times.margin_s
    if usable_s < times.attempt_min_s:
        return Refused(Ceiling.TIME, f"{max(usable_s, 0.0):.3f} s are left and an attempt needs {times.attempt_min_s:.3f} s")
    twice = spent.cost_nano_usd + 2 * worst <= ceilings.cost_max_nano_usd and 2 * output_tokens <= tokens_left
    return Granted(max_output_tokens=output_tokens, timeout_s=min(times.attempt_s, usable_s), may_hedge=twice)


def _lower(bound: int, asked: int | None) -> int:
    return bound if asked is None else min(bound, asked)
