"""The value policy: asks another model while the right answers that it is expected to bring are worth more than it costs.

Optimal stopping over routing and escalation together, after Dekoninck et al. (arXiv 2410.10347): at every step the best next model of all
that the ceilings admit, not only the next of a fixed list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from cascade_service.domain.events import PolicyKind
from cascade_service.domain.gain import GAIN_FEATURES, Floats, GainModel, Option, Rows, Seen, gain_rows
from cascade_service.domain.risk import RiskCertificate

UNKNOWN_QUALITY: Final = 0.5
"""Predicted quality of a model of which nothing was predicted: as likely right as wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePolicy:
    """Weighs expected gains against prices at ``answer_worth_nano_usd``, what a right answer is worth, 1 or more.

    Below ``threshold`` it does not stop by itself while another model may be asked. The beginning of an answer becomes final at a
    confidence of ``prefix_threshold`` or more and is hopeless below ``prefix_hopeless_below``. All 0.0 to 1.0.

    ``certificate`` and ``uncalibrated_allowed`` as with ``ThresholdPolicy``.
    """

    kind: ClassVar[PolicyKind] = PolicyKind.VALUE

    name: str
    answer_worth_nano_usd: int
    threshold: float = 0.0
    prefix_threshold: float = 1.0
    prefix_hopeless_below: float = 0.0
    certificate: RiskCertificate | None = None
    uncalibrated_allowed: bool = False

    @property
    def disagreement_max(self) -> float:
        """Disagreement is in the confidence already: nothing is refused for it."""
        return 1.0

    @property
    def commits_prefix_at(self) -> float:
        """Confidence at which the beginning of an answer becomes final."""
        return self.prefix_threshold


@dataclass(frozen=True, slots=True)
class Pick:
    """The best of the options, by its place; ``gain`` before its own ``price``, both in right answers."""

    place: int
    gain: float
    price: float

    @property
    def pays(self) -> bool:
        """True when the gain exceeds the price."""
        return self.gain > self.price

    def in_words(self, model: str) -> str:
        """The figures of a step to ``model``."""
        verb = "exceeds" if self.pays else "does not exceed"
        return f"gain {self.gain:.3f} of asking {model} {verb} its price {self.price:.3f}"


def best_option(model: GainModel, standing: Sequence[Seen], options: Sequence[Option], answer_worth_nano_usd: int) -> Pick:
    """The option of greatest net gain, the first of equals. ``options`` is not empty. A gain that is no number never pays."""
    net = np.nan_to_num(model.net_gain(gain_rows(standing, options, answer_worth_nano_usd)), nan=-1.0, posinf=1.0, neginf=-1.0)
    place = int(net.argmax())
    price = options[place].cost_nano_usd / answer_worth_nano_usd
    return Pick(place, float(net[place]) + price, price)


@dataclass(frozen=True, slots=True)
class NextAnswerGain:
    """A gain model that looks one answer ahead and needs no training: ``q·(1 - p_top) - price``.

    That is at most what one more answer can bring when it is right independently of those before. For plans without predictions, which
    the published model was never fitted on.
    """

    def net_gain(self, rows: Rows) -> Floats:
        """The net gain of each row, (rows,)."""
        column = {name: rows[:, place].astype(np.float64) for place, name in enumerate(GAIN_FEATURES)}
        return column["q"] * (1.0 - np.nan_to_num(column["p_top"], nan=0.0)) - column["price"]
