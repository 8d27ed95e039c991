"""Plans a request: reads it, classifies it, weighs the models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from router_service.domain.errors import RoutingError
from router_service.domain.models import CandidateModel, Constraints
from router_service.domain.planning import ModelOrder, order_models
from router_service.domain.ports import ConversationReader, FastClassifier, Reading, SlowClassifier
from router_service.domain.suitability import Suitability, SuitabilityTable
from router_service.domain.taxonomy import ClearRule, Taxonomy, assess
from router_service.domain.weighing import Weighed, measured_suitability, weigh


class RouteKind(Enum):
    """Which evidence a plan rests on."""

    TAXONOMY = "taxonomy"
    LEARNED = "learned"
    PRIOR = "prior"


@dataclass(frozen=True, slots=True)
class Query:
    """A request to plan: the texts of its conversation, last one last, and what the plan must respect.

    With ``explain`` the plan tells what was predicted of every model.
    """

    messages: tuple[str, ...]
    constraints: Constraints
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The models to try and everything the choice rests on. Times are in seconds; ``weighed`` is empty unless it was asked for."""

    order: ModelOrder
    kind: RouteKind
    taxonomy: Taxonomy
    reasons: tuple[str, ...]
    input_tokens: int
    policy_hash: str
    queue_s: float
    inference_s: float
    weighed: tuple[Weighed, ...] = ()


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """What decides besides the models: when a category is clear, λ, and the fingerprint of all of it."""

    clear_rule: ClearRule
    slow_weight: float
    policy_hash: str


class Decider(Protocol):
    """Makes a plan of what was read."""

    async def decide(self, query: Query, reading: Reading) -> Plan:
        """The plan for ``query``. Raises ``EmptyPlan``."""
        ...


class Router:
    """Plans requests: reads the conversation, then decides."""

    def __init__(self, reader: ConversationReader, decider: Decider) -> None:
        self._reader = reader
        self._decider = decider

    async def plan(self, query: Query) -> Plan:
        """The plan for ``query``. Raises ``EmptyPlan`` or ``EncoderOverloaded``."""
        return await self._decider.decide(query, await self._reader.read(query.messages))

    async def plan_all(self, queries: Sequence[Query]) -> list[Plan | RoutingError]:
        """A plan or the reason for having none, for each query in order. They share the encoder's batches."""
        return list(await asyncio.gather(*(self._plan_or_error(query) for query in queries)))

    async def _plan_or_error(self, query: Query) -> Plan | RoutingError:
        try:
            return await self.plan(query)
        except RoutingError as error:
            return error


class TaxonomyDecider:
    """The taxonomy router: measured success rates of the category, or overall ones when the category is not clear."""

    def __init__(
        self,
        *,
        models: Sequence[CandidateModel],
        table: SuitabilityTable,
        policy: RoutingPolicy,
        fast: FastClassifier,
        slow: SlowClassifier | None,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds that never go back."""
        self._models = tuple(models)
        self._table = table
        self._policy = policy
        self._fast = fast
        self._slow = slow
        self._clock = clock

    async def decide(self, query: Query, reading: Reading) -> Plan:
        """The plan for ``query``. Raises ``EmptyPlan``."""
        started = self._clock()
        fast = await self._fast.classify(reading.vector)
        slow = await self._slow.classify(query.messages[-1]) if self._slow else None
        classify_s = self._clock() - started
        taxonomy = assess(fast, slow=slow, slow_weight=self._policy.slow_weight, rule=self._policy.clear_rule)
        measured = measured_suitability(self._table, self._models, taxonomy)
        order = order_models(self._models, constraints=query.constraints, suitability=measured, input_tokens=reading.input_tokens)
        return Plan(
            order=order,
            kind=RouteKind.TAXONOMY if taxonomy.clear else RouteKind.PRIOR,
            taxonomy=taxonomy,
            reasons=(*_category_reasons(taxonomy, self._policy.clear_rule), *order.reasons),
            input_tokens=reading.input_tokens,
            policy_hash=self._policy.policy_hash,
            queue_s=reading.queue_s,
            inference_s=reading.inference_s + classify_s,
            weighed=weighed(self._models, query, reading, predicted=measured, measured=measured),
        )


def weighed(
    models: Sequence[CandidateModel],
    query: Query,
    reading: Reading,
    *,
    predicted: Mapping[str, Suitability],
    measured: Mapping[str, Suitability],
) -> tuple[Weighed, ...]:
    """What was predicted of every model, if the query asks for it."""
    if not query.explain:
        return ()
    return weigh(models, constraints=query.constraints, predicted=predicted, measured=measured, input_tokens=reading.input_tokens)


def _category_reasons(taxonomy: Taxonomy, rule: ClearRule) -> tuple[str, ...]:
    rested_on = [taxonomy.on(axis) for axis in rule.axes]
    named = ", ".join(f"{found.axis} {found.best.label} ({found.best.probability:.2f})" for found in rested_on)
    if taxonomy.clear:
        return (f"the category is clear: {named}; success rates of that category were used",)
    doubtful = ", ".join(found.axis for found in taxonomy.unclear_axes(rule))
    return (f"the category is not clear on {doubtful} ({named}; {rule.probability_min:.2f} needed); overall success rates were used",)
