"""Ridge regression on the features of questions, and how much the learned router shrinks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

SHARED_RIDGE = 3.0
OWN_RIDGE = 30.0
"""What sets a model apart is shrunk harder, because choosing the best of many noisy predictions rewards noise."""
ROUNDS = 3
"""Rounds in which abilities and difficulty are fitted in turns."""


@dataclass(frozen=True, slots=True)
class Ridge:
    """Ridge regression with a free intercept on the ``rows`` (True or False) of ``inputs``; factored once for many targets."""

    inputs: Floats
    rows: Marks
    centre: Floats
    inverse: Floats

    @staticmethod
    def on(inputs: Floats, rows: Marks, strength: float) -> Ridge:
        """The regression with that much shrinkage."""
        chosen = inputs[rows]
        centre = chosen.mean(axis=0)
        moved = chosen - centre
        return Ridge(inputs, rows, centre, np.linalg.inv(moved.T @ moved + strength * np.eye(inputs.shape[1])))

    def fit(self, values: Floats) -> tuple[Floats, float]:
        """Weights and intercept for ``values``, one per row of all ``inputs``; those outside ``rows`` don't count."""
        mean = float(values[self.rows].mean())
        moved = np.where(self.rows, values - mean, 0.0)
        weights = self.inverse @ (self.inputs.T @ moved - self.centre * moved.sum())
        return weights, mean - float(self.centre @ weights)
