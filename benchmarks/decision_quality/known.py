"""What is known of a pool's endpoints before the measured questions: from the training split, or else from the artifacts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.decision_quality.pools import Floats, Pool
from router_service.domain.suitability import SuitabilityTable

CHEAP_SHARE_MAX = 0.2
"""A cheap endpoint costs at most this share of the best one."""


@dataclass(frozen=True, slots=True)
class Known:
    """Success rate and mean cost in USD of every endpoint, and where they come from: `train` or `artifacts`."""

    accuracy: Floats
    cost_usd: Floats
    source: str

    @property
    def best(self) -> int:
        """The most accurate endpoint, the cheaper one on a tie."""
        return min(range(len(self.accuracy)), key=lambda index: (-self.accuracy[index], self.cost_usd[index]))

    @property
    def cost_ratio(self) -> Floats:
        """Mean cost relative to the best endpoint's."""
        return self.cost_usd / self.cost_usd[self.best]

    def cheap(self, count: int, providers: tuple[str, ...]) -> tuple[int, ...]:
        """Up to ``count`` cheap endpoints, the most accurate first, no two of one provider."""
        ranked = sorted(range(len(self.accuracy)), key=lambda index: -self.accuracy[index])
        found: list[int] = []
        for index in ranked:
            fresh = providers[index] not in {providers[other] for other in found}
            if fresh and index != self.best and self.cost_ratio[index] <= CHEAP_SHARE_MAX:
                found.append(index)
        return tuple(sorted(found[:count], key=lambda index: self.cost_usd[index]))


def known_from(train: Pool, measured: Pool, table: SuitabilityTable) -> Known:
    """What is known: from ``train``, or from the suitability table and list prices when there are no training questions."""
    if train.questions:
        return Known(train.right.mean(axis=0), train.cost.mean(axis=0), "train")
    names = [answer.model for answer in measured.answers[0]]
    suitability = [table.overall(name) for name in names]
    prices = [measured.facts[name] for name in names]
    tokens_in = float(np.mean([question.prompt_tokens for question in measured.questions]))
    cost = [
        (tokens_in * price.input_nano_usd_per_mtok + found.output_tokens * price.output_nano_usd_per_mtok) / 1e15
        for found, price in zip(suitability, prices, strict=True)
    ]
    return Known(np.array([found.mean for found in suitability]), np.array(cost), "artifacts")
