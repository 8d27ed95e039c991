"""The learned router: predicted quality of every model it was trained on, for this very request.

After EMAFusion (arXiv 2504.10681): multi-output regression on the sentence embedding. A model that the regression has not seen is
predicted from a few labelled answers or from its card, see ``newcomers``; one that only the taxonomy has measured keeps its Φ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from router_service.domain.models import CandidateModel
from router_service.domain.planning import order_models
from router_service.domain.ports import FastClassifier, QualityPredictor, Reading, SlowClassifier
from router_service.domain.routing import Plan, Query, RouteKind, RoutingPolicy, weighed
from router_service.domain.suitability import Suitability, SuitabilityTable
from router_service.domain.taxonomy import assess
from router_service.domain.weighing import measured_suitability


@dataclass(frozen=True, slots=True)
class Blend:
    """How predictions and Φ are mixed: ``weight·predicted + (1 − weight)·Φ``, with ``weight`` 0.0 to 1.0."""

    weight: float

    def mix(self, predicted: Suitability, measured: Suitability) -> Suitability:
        """The mixture's mean, its deviation as if both erred independently, and the prediction's tokens."""
        rest = 1.0 - self.weight
        deviation = sqrt((self.weight * predicted.stddev) ** 2 + (rest * measured.stddev) ** 2)
        mean = self.weight * predicted.mean + rest * measured.mean
        return Suitability(
            mean, deviation, predicted.output_tokens, predicted.observations, measured=predicted.measured or measured.measured
        )


class LearnedDecider:
    """Plans from predicted qualities where there are any, and from the taxonomy where there are none."""

    def __init__(
        self,
        *,
        models: Sequence[CandidateModel],
        predictor: QualityPredictor,
        blend: Blend,
        table: SuitabilityTable,
        policy: RoutingPolicy,
        fast: FastClassifier,
        slow: SlowClassifier | None,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds that never go back."""
        self._models = tuple(models)
        self._predictor = predictor
        self._blend = blend
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
        taxonomy = assess(fast, slow=slow, slow_weight=self._policy.slow_weight, rule=self._policy.clear_rule)
        predicted = await self._predictor.predict(reading.vector)
        measured = measured_suitability(self._table, self._models, taxonomy)
        suitability = self._blended(measured, predicted)
        known = sum(model.name in predicted for model in self._models)
        spent_s = self._clock() - started
        order = order_models(self._models, constraints=query.constraints, suitability=suitability, input_tokens=reading.input_tokens)
        return Plan(
            order=order,
            kind=RouteKind.LEARNED if known else RouteKind.TAXONOMY if taxonomy.clear else RouteKind.PRIOR,
            taxonomy=taxonomy,
            reasons=(*self._grounds(predicted), *order.reasons),
            input_tokens=reading.input_tokens,
            policy_hash=self._policy.policy_hash,
            queue_s=reading.queue_s,
            inference_s=reading.inference_s + spent_s,
            weighed=weighed(self._models, query, reading, predicted=suitability, measured=measured),
        )

    def _grounds(self, predicted: Mapping[str, Suitability]) -> tuple[str, ...]:
        """What the qualities rest on."""
        known = [model.name for model in self._models if model.name in predicted]
        guessed = sum(not predicted[name].measured for name in known)
        grounds = f"quality of {len(known)} of {len(self._models)} models was predicted for this request"
        return (f"{grounds}, of {guessed} from price, context, family and size alone" if guessed else grounds,)

    def _blended(self, measured: Mapping[str, Suitability], predicted: Mapping[str, Suitability]) -> dict[str, Suitability]:
        return {name: self._blend.mix(predicted[name], phi) if name in predicted else phi for name, phi in measured.items()}
