"""What every model was predicted to bring for a request, in the plan or not: the numbers behind a plan, for those who ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router_service.domain.models import CandidateModel, Constraints
from router_service.domain.planning import Estimate, estimate_attempt
from router_service.domain.suitability import Suitability, SuitabilityTable, category_weights
from router_service.domain.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Weighed:
    """A model's prediction, and Φ as it was measured; the two differ where the learned router had a say."""

    estimate: Estimate
    measured: Suitability


def measured_suitability(table: SuitabilityTable, models: Sequence[CandidateModel], taxonomy: Taxonomy) -> dict[str, Suitability]:
    """Φ of every model: that of the request's category when it is clear, else the overall one."""
    if not taxonomy.clear:
        return {model.name: table.overall(model.name) for model in models}
    weights = category_weights(taxonomy)
    return {model.name: table.for_category(model.name, weights) for model in models}


def weigh(
    models: Sequence[CandidateModel],
    *,
    constraints: Constraints,
    predicted: Mapping[str, Suitability],
    measured: Mapping[str, Suitability],
    input_tokens: int,
) -> tuple[Weighed, ...]:
    """Every model in the given order; ``predicted`` is what the plan was made of."""
    return tuple(
        Weighed(
            estimate_attempt(model, predicted[model.name], constraints=constraints, input_tokens=input_tokens),
            measured[model.name],
        )
        for model in models
    )
