"""What a rival of a slow call means for an attempt's books, and that no ceiling is broken by it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_service.domain.attempt import Attempt, spent
from cascade_service.domain.ceilings import Spent
from cascade_service.domain.chat import FinishReason, Usage
from cascade_service.domain.errors import CascadeError, ModelFailed
from cascade_service.domain.events import Hedge
from cascade_service.domain.model import AnswerEnd, EndpointUse, ModelCall, ModelEvent
from cascade_service.domain.pricing import Price
from tests.support.cascade import ScriptedJudge, ScriptedLlm, Stage, answer, ask, collect_until_error, verdict

PRICE = Price(input_nano_usd_per_mtok=1_000_000, output_nano_usd_per_mtok=2_000_000)
BOUND = 40 + 2 * 100
RIVAL = EndpointUse(endpoint=1, hedged=True, skipped=(2,))


def attempt() -> Attempt:
    return Attempt(number=0, tier=0, model="m", started_at_s=0.0, input_tokens_bound=40, max_output_tokens=100, price=PRICE)


def end(cost: int = 14, tokens: int = 2) -> AnswerEnd:
    usage = Usage(input_tokens=10, output_tokens=tokens)
    return AnswerEnd(finish_reason=FinishReason.STOP, usage=usage, cost_nano_usd=cost)


def test_without_a_rival_nothing_is_added() -> None:
    plain = attempt()
    plain.use_endpoint(EndpointUse(endpoint=1))
    plain.finish(end(), at_s=1.0)
    assert plain.charged == Spent(cost_nano_usd=14, output_tokens=2)
    assert plain.summary(chosen=True).hedge == Hedge(endpoint=1)
    assert attempt().summary(chosen=True).hedge is None


def test_the_loser_costs_an_estimate_in_the_record_and_its_worst_case_under_the_ceilings() -> None:
    hedged = attempt()
    hedged.use_endpoint(RIVAL)
    assert hedged.worst_case == Spent(cost_nano_usd=2 * BOUND, output_tokens=200)
    hedged.finish(end(), at_s=1.0)
    summary = hedged.summary(chosen=True)
    assert summary.hedge == Hedge(endpoint=1, hedged=True, wasted_cost_nano_usd=10, skipped_endpoints=(2,))
    assert summary.cost_nano_usd == 14 + 10
    assert hedged.charged == Spent(cost_nano_usd=14 + BOUND, output_tokens=2 + 100)
    assert spent([hedged]) == Spent(cost_nano_usd=14 + BOUND, attempts=1, output_tokens=102)


@pytest.mark.parametrize("hedged", [False, True])
def test_a_failure_without_text_is_free_unless_there_was_a_rival(hedged: bool) -> None:
    failed = attempt()
    if hedged:
        failed.use_endpoint(RIVAL)
    failed.fail(ModelFailed("down", kind="server_error"), at_s=1.0)
    assert failed.charged == (Spent(cost_nano_usd=2 * BOUND, output_tokens=200) if hedged else Spent())


@dataclass
class HedgingLlm(ScriptedLlm):
    """Starts a rival whenever it may, and remembers for which calls."""

    rivals: list[ModelCall] = field(default_factory=list[ModelCall])

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        if call.may_hedge:
            call.on_endpoint(RIVAL)
            self.rivals.append(call)
        async for event in super().stream(call):
            yield event


@given(
    costs=st.lists(st.integers(0, 1_000), min_size=1, max_size=4),
    cost_max=st.integers(0, 12_000),
    tokens_max=st.integers(1, 4_000),
    fails=st.sets(st.integers(0, 3)),
)
async def test_hedging_breaks_no_ceiling_even_if_every_call_is_billed_in_full(
    costs: list[int], cost_max: int, tokens_max: int, fails: set[int]
) -> None:
    names = [f"m{index}" for index in range(len(costs))]
    broken = ModelFailed("down", kind="server_error")
    models = [
        HedgingLlm(name, [broken] if index in fails else answer("x", cost=cost, tokens=5), max_output_tokens=500, price=PRICE)
        for index, (name, cost) in enumerate(zip(names, costs, strict=True))
    ]
    stage = Stage(models, ScriptedJudge({name: verdict(0.1) for name in names}))
    _, error = await collect_until_error(stage.cascade().answer(ask(cost_max=cost_max, output_tokens_max=tokens_max)))
    billed, written = 0, 0
    for index, (model, cost) in enumerate(zip(models, costs, strict=True)):
        for call in model.calls:
            bound = PRICE.bound_nano_usd(input_tokens=len(b"What is 6 times 7?") + 16, output_tokens=call.max_output_tokens)
            billed += 0 if index in fails else min(cost, bound)
            written += 0 if index in fails else min(5, call.max_output_tokens)
        for call in model.rivals:
            billed += PRICE.bound_nano_usd(input_tokens=len(b"What is 6 times 7?") + 16, output_tokens=call.max_output_tokens)
            written += call.max_output_tokens
    assert error is None or isinstance(error, CascadeError)
    assert billed <= cost_max
    assert written <= tokens_max
