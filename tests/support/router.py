"""What tests of the router share: models, beliefs, taxonomies and a batcher's surroundings, all in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from router_service.domain.models import CandidateModel, Constraints
from router_service.domain.suitability import BetaBelief, CellRecord, ModelRecord, Suitability
from router_service.domain.taxonomy import Axis, ClearRule, Taxonomy, assess, distribution

CERTAIN: Mapping[Axis, Mapping[str, float]] = {
    Axis.TASK_TYPE: {"knowledge": 1.0},
    Axis.DOMAIN: {"math": 1.0},
    Axis.REASONING_COMPLEXITY: {"low": 1.0},
    Axis.OUTPUT_FORMAT: {"number": 1.0},
}
RULE = ClearRule((Axis.DOMAIN, Axis.REASONING_COMPLEXITY), 0.5)


def model(
    name: str, *, price: float = 1.0, context_tokens: int = 8_192, capabilities: Sequence[str] = (), disabled: str = ""
) -> CandidateModel:
    """A model whose input and output cost ``price`` USD per million tokens."""
    nano = round(price * 1e9)
    return CandidateModel(
        name=name,
        provider="openai_compatible",
        input_nano_usd_per_mtok=nano,
        output_nano_usd_per_mtok=nano,
        context_tokens=context_tokens,
        max_output_tokens=1_024,
        capabilities=frozenset(capabilities),
        disabled_reason=disabled,
    )


def suitability(mean: float, *, output_tokens: float = 100.0, measured: bool = True) -> Suitability:
    return Suitability(mean, 0.1, output_tokens, 50 if measured else 0, measured=measured)


def constraints(
    *,
    models_max: int = 4,
    suitability_min: float = 0.0,
    cost_max: int | None = None,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    capabilities: Sequence[str] = (),
    output_tokens_max: int | None = None,
) -> Constraints:
    return Constraints(
        models_max=models_max,
        suitability_min=suitability_min,
        attempt_cost_max_nano_usd=cost_max,
        allow=frozenset(allow),
        deny=frozenset(deny),
        required_capabilities=frozenset(capabilities),
        output_tokens_max=output_tokens_max,
    )


def taxonomy(probabilities: Mapping[Axis, Mapping[str, float]] | None = None, *, rule: ClearRule = RULE) -> Taxonomy:
    """A taxonomy with the given probabilities; axes that are not given are certain."""
    merged = {**CERTAIN, **(probabilities or {})}
    return assess([distribution(axis, merged[axis]) for axis in Axis], slow=None, slow_weight=0.0, rule=rule)


def record(overall: float, cells: Mapping[tuple[str, str], float] | None = None, *, observations: int = 50) -> ModelRecord:
    """A model with mean success rates, each weighing ten answers."""
    return ModelRecord(_cell(overall, observations), {key: _cell(mean, observations) for key, mean in (cells or {}).items()})


def _cell(mean: float, observations: int) -> CellRecord:
    return CellRecord(BetaBelief.around(mean, strength=10.0), observations, 100.0)


@dataclass
class FakeTimer:
    """A timer that goes off when the test says so."""

    delay_s: float
    action: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True

    def go_off(self) -> None:
        assert not self.cancelled
        self.action()


@dataclass
class FakeWorker:
    """Takes batches and finishes them when the test says so. Also the clock, in seconds."""

    now_s: float = 0.0
    batches: list[Sequence[str]] = field(default_factory=list[Sequence[str]])
    futures: list[asyncio.Future[Sequence[str]]] = field(default_factory=list["asyncio.Future[Sequence[str]]"])
    timers: list[FakeTimer] = field(default_factory=list[FakeTimer])

    def run(self, batch: Sequence[str]) -> asyncio.Future[Sequence[str]]:
        self.batches.append(list(batch))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def set_timer(self, delay_s: float, action: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(delay_s, action))
        return self.timers[-1]

    def clock(self) -> float:
        return self.now_s

    def finish(self, index: int) -> None:
        """Finishes a batch: each result is its item in capitals."""
        self.futures[index].set_result([item.upper() for item in self.batches[index]])

    def fail(self, index: int, error: Exception) -> None:
        self.futures[index].set_exception(error)
