"""What all models share is found again in answers that were made from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from router_service.domain.descriptors import Descriptors, all_features
from router_service.domain.newcomers import LabelledAnswers, newcomer
from training.bases_fit import BasesFitter, arena_steps, fit_common
from training.ridge import Ridge

Floats = npt.NDArray[np.float64]
MODELS = 24
QUESTIONS = 600


def card(price: float) -> Descriptors:
    return Descriptors(
        name="m", upstream_name="m", input_usd_per_mtok=price, output_usd_per_mtok=price, context_tokens=8_192, reasoning=False
    )


@dataclass(frozen=True)
class World:
    """Dearer models are better; half of the models are better where the second feature is large, the others where it is small."""

    inputs: Floats
    cards: tuple[Descriptors, ...]
    quality: Floats

    @property
    def right(self) -> Floats:
        drawn = np.random.default_rng(1).uniform(size=self.quality.shape)
        return (drawn < self.quality).astype(np.float64)


@pytest.fixture(scope="module")
def world() -> World:
    inputs = np.random.default_rng(0).normal(size=(QUESTIONS, 6))
    strength = np.linspace(0.0, 1.0, MODELS)
    cards = tuple(card(10.0 ** (2.0 * value - 1.0)) for value in strength)
    leaning = np.where(np.arange(MODELS) % 2, 1.0, -1.0)
    quality = 0.25 + 0.5 * strength + 0.08 * inputs[:, :1] + 0.12 * inputs[:, 1:2] * leaning
    return World(inputs, cards, np.clip(quality, 0.02, 0.98))


def test_a_model_that_was_left_out_is_known_roughly_by_price_and_better_by_answers(world: World) -> None:
    right, left_out = world.right, 18
    tokens = np.full(right.shape, 100.0)
    fitter = BasesFitter.on(world.inputs, right, all_features(world.cards))
    common = fit_common(fitter, np.log1p(tokens), [model for model in range(MODELS) if model != left_out])
    bases, lengths = common.quality(world.inputs), common.log_tokens(world.inputs)

    def error(labels: int) -> float:
        answers = LabelledAnswers(bases[:labels], lengths[:labels], right[:labels, left_out], tokens[:labels, left_out])
        found, _ = newcomer(common.prior, world.cards[left_out], answers).qualities(bases[300:])
        return float(np.abs(found - world.quality[300:, left_out]).mean())

    assert error(0) < np.abs(0.5 - world.quality[300:, left_out]).mean()
    assert error(250) < 0.6 * error(0)


def test_a_step_between_arenas_without_a_common_model_is_told_from_ability(world: World) -> None:
    answered = np.zeros((QUESTIONS, MODELS), dtype=bool)
    answered[:300, ::2], answered[300:, 1::2] = True, True
    ability = 0.5 * np.linspace(0.0, 1.0, MODELS) + np.where(np.arange(MODELS) % 2, 0.3, 0.0)
    steps = arena_steps(answered, ability, all_features(world.cards))
    assert steps[::2] == pytest.approx(0.0)
    assert steps[1::2] == pytest.approx(0.3, abs=0.05)


def test_one_arena_has_no_step(world: World) -> None:
    answered = np.ones((QUESTIONS, MODELS), dtype=bool)
    assert arena_steps(answered, np.linspace(0.0, 1.0, MODELS), all_features(world.cards)) == pytest.approx(np.zeros(MODELS))


def test_ridge_looks_at_its_rows_only() -> None:
    rng = np.random.default_rng(3)
    inputs, weights = rng.normal(size=(50, 3)), np.array([1.0, -2.0, 0.5])
    values = inputs @ weights + 4.0
    rows = np.arange(50) < 40
    found, intercept = Ridge.on(inputs, rows, 1e-9).fit(np.where(rows, values, np.nan))
    assert found == pytest.approx(weights)
    assert intercept == pytest.approx(4.0)
