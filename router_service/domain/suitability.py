"""Φ(model, category): how often a model was right in a category, and how sure we are of it.

Each success rate is a Beta posterior: prior pseudo-counts plus successes and failures that were counted. Cells are one domain at one
reasoning complexity. A request's Φ is the mean over cells, weighted with the probability that the request belongs there; its spread
follows from the law of total variance, so an uncertain category widens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, sqrt

from router_service.domain.taxonomy import Axis, Taxonomy

CellKey = tuple[str, str]
"""Domain and reasoning complexity."""
CELL_PROBABILITY_MIN = 1e-4
"""Less probable cells are left out of the mean; together they hold well under 1 % of the probability."""


@dataclass(frozen=True, slots=True)
class BetaBelief:
    """A success rate as Beta(α, β), both above 0."""

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        """Refuses parameters that are no Beta distribution."""
        if not (self.alpha > 0.0 and self.beta > 0.0):
            raise ValueError(f"a Beta distribution needs α > 0 and β > 0, not {self.alpha} and {self.beta}")

    @staticmethod
    def around(mean: float, *, strength: float) -> BetaBelief:
        """The belief with ``mean`` (above 0 and below 1) that weighs as much as ``strength`` observations."""
        return BetaBelief(mean * strength, (1.0 - mean) * strength)

    @property
    def mean(self) -> float:
        """α / (α + β)."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def variance(self) -> float:
        """αβ / ((α + β)² (α + β + 1))."""
        total = self.alpha + self.beta
        return self.alpha * self.beta / (total * total * (total + 1.0))

    def after(self, *, successes: float, failures: float) -> BetaBelief:
        """The posterior after that many successes and failures."""
        return BetaBelief(self.alpha + successes, self.beta + failures)


@dataclass(frozen=True, slots=True)
class CellRecord:
    """A model in one cell: its success rate, from how many answers, and the mean tokens of its answers."""

    belief: BetaBelief
    observations: int
    output_tokens: float


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """All that was measured of a model: over everything, and by cell."""

    overall: CellRecord
    cells: Mapping[CellKey, CellRecord]

    @property
    def measured(self) -> bool:
        """False when all of it is prior."""
        return self.overall.observations > 0


@dataclass(frozen=True, slots=True)
class Suitability:
    """Φ for one request: mean 0.0 to 1.0, standard deviation 0.0 to 0.5, and predicted output tokens.

    ``observations`` are the answers that were counted in the cell; ``measured`` is false when the model has none at all.
    """

    mean: float
    stddev: float
    output_tokens: float
    observations: int
    measured: bool


@dataclass(frozen=True, slots=True)
class SuitabilityTable:
    """The measured models; ``unknown`` stands for every other one."""

    models: Mapping[str, ModelRecord]
    unknown: ModelRecord

    def overall(self, model: str) -> Suitability:
        """Φ without regard to the category."""
        record = self.models.get(model, self.unknown)
        belief = record.overall.belief
        return Suitability(
            belief.mean, sqrt(belief.variance), record.overall.output_tokens, record.overall.observations, measured=record.measured
        )

    def for_category(self, model: str, weights: Mapping[CellKey, float]) -> Suitability:
        """Φ for a request that belongs to each cell with the given probability; see ``category_weights``.

        A label without a cell of its own counts as the model overall. ``observations`` are those of the most probable cell.
        """
        record = self.models.get(model, self.unknown)
        weighted = [(weight, record.cells.get(key, record.overall)) for key, weight in weights.items()]
        mean = fsum(weight * cell.belief.mean for weight, cell in weighted)
        second_moment = fsum(weight * (cell.belief.variance + cell.belief.mean**2) for weight, cell in weighted)
        tokens = fsum(weight * cell.output_tokens for weight, cell in weighted)
        _, likeliest = max(weighted, key=lambda entry: entry[0])
        return Suitability(mean, sqrt(max(0.0, second_moment - mean * mean)), tokens, likeliest.observations, measured=record.measured)


def category_weights(taxonomy: Taxonomy) -> dict[CellKey, float]:
    """The probability of every cell that matters for a request, adding up to 1."""
    weights = {
        (domain.label, complexity.label): domain.probability * complexity.probability
        for domain in taxonomy.on(Axis.DOMAIN).labels
        for complexity in taxonomy.on(Axis.REASONING_COMPLEXITY).labels
    }
    kept = {key: weight for key, weight in weights.items() if weight >= CELL_PROBABILITY_MIN}
    total = fsum(kept.values())
    return {key: weight / total for key, weight in kept.items()}
