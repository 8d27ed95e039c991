"""The learned router: predictions where there are any, the taxonomy where there are none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from router_service.adapters.onnx_quality import OnnxQuality, open_quality
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.learned import Blend, LearnedDecider
from router_service.domain.ports import Reading
from router_service.domain.routing import Query, RouteKind, RoutingPolicy
from router_service.domain.suitability import Suitability, SuitabilityTable
from router_service.domain.taxonomy import AxisDistribution
from servicekit.artifacts import load_manifest
from tests.support.router import RULE, constraints, model, record, taxonomy

PUBLISHED = Path(__file__).parents[3] / "artifacts" / "learned"
READING = Reading(vector=np.zeros(384, dtype=np.float32), input_tokens=10, queue_s=0.0, inference_s=0.0, batch_size=1)


class FixedPredictor:
    def __init__(self, **means: float) -> None:
        self.means = means

    async def predict(self, vector: npt.NDArray[np.float32]) -> Mapping[str, Suitability]:
        return {name: Suitability(mean, 0.1, 50.0, 900, measured=True) for name, mean in self.means.items()}


class FixedClassifier:
    async def classify(self, vector: npt.NDArray[np.float32]) -> tuple[AxisDistribution, ...]:
        return taxonomy().axes


def decider(predictor: FixedPredictor, *, weight: float = 1.0) -> LearnedDecider:
    """`middle` is there only when something is predicted of it."""
    prices = {"cheap": 1, "middle": 20, "dear": 100}
    models = tuple(model(name, price=price) for name, price in prices.items() if name != "middle" or name in predictor.means)
    return LearnedDecider(
        models=models,
        predictor=predictor,
        blend=Blend(weight),
        table=SuitabilityTable({"cheap": record(0.3), "dear": record(0.9)}, record(0.5)),
        policy=RoutingPolicy(clear_rule=RULE, slow_weight=0.0, policy_hash="0" * 12),
        fast=FixedClassifier(),
        slow=None,
        clock=lambda: 0.0,
    )


async def planned(made: LearnedDecider) -> dict[str, float]:
    plan = await made.decide(Query(("hello",), constraints(models_max=4)), READING)
    return {entry.estimate.model.name: entry.estimate.quality for entry in plan.order.planned}


async def test_a_prediction_overrules_the_category() -> None:
    assert await planned(decider(FixedPredictor(cheap=0.95, dear=0.4))) == {"cheap": 0.95, "dear": 0.4}


async def test_a_model_without_prediction_keeps_its_suitability() -> None:
    plan = await decider(FixedPredictor(cheap=0.6)).decide(Query(("hello",), constraints(models_max=4)), READING)
    assert plan.kind is RouteKind.LEARNED
    assert {entry.estimate.model.name: round(entry.estimate.quality, 3) for entry in plan.order.planned} == {"cheap": 0.6, "dear": 0.9}
    assert "1 of 2" in plan.reasons[0]


async def test_without_any_prediction_the_taxonomy_decides() -> None:
    plan = await decider(FixedPredictor()).decide(Query(("hello",), constraints(models_max=4)), READING)
    assert plan.kind is not RouteKind.LEARNED


def test_a_blend_lies_between_and_is_surer_than_the_surest_half() -> None:
    mixed = Blend(0.5).mix(Suitability(0.8, 0.1, 70.0, 900, measured=True), Suitability(0.4, 0.1, 20.0, 30, measured=True))
    assert mixed.mean == pytest.approx(0.6)
    assert mixed.stddev == pytest.approx(0.1 / math.sqrt(2))
    assert mixed.output_tokens == 70.0


@pytest.fixture
def published() -> OnnxQuality:
    return open_quality(PUBLISHED, load_manifest(PUBLISHED))


async def test_the_published_regression_tells_models_and_requests_apart(published: OnnxQuality) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2, 384)).astype(np.float32)
    first, second = [await published.predict(vector / np.linalg.norm(vector)) for vector in vectors]
    assert len(first) > 50
    assert all(0.0 < found.mean < 1.0 and found.output_tokens > 1.0 and math.isfinite(found.output_tokens) for found in first.values())
    assert len({round(found.mean, 4) for found in first.values()}) > 10
    assert {name: found.mean for name, found in first.items()} != {name: found.mean for name, found in second.items()}


def test_an_artifact_that_does_not_name_its_models_is_refused() -> None:
    manifest = load_manifest(PUBLISHED).model_copy(update={"parameters": {}})
    with pytest.raises(ArtifactMismatch, match="models"):
        open_quality(PUBLISHED, manifest)


@pytest.mark.parametrize(("worth", "chosen"), [(1, "cheap"), (8 * 10**6, "middle"), (10**9, "dear")])
async def test_the_more_an_answer_is_worth_the_dearer_the_model(worth: int, chosen: str) -> None:
    wanted = replace(constraints(models_max=1), answer_worth_nano_usd=worth)
    plan = await decider(FixedPredictor(cheap=0.3, middle=0.8, dear=0.9)).decide(Query(("hello",), wanted), READING)
    assert [entry.estimate.model.name for entry in plan.order.planned] == [chosen]


async def test_an_explanation_tells_apart_what_was_measured_and_what_was_predicted() -> None:
    made = decider(FixedPredictor(cheap=0.6))
    plan = await made.decide(Query(("hello",), constraints(models_max=1), explain=True), READING)
    numbers = {entry.estimate.model.name: (round(entry.measured.mean, 3), round(entry.estimate.quality, 3)) for entry in plan.weighed}
    planned = {entry.estimate.model.name for entry in plan.order.planned}
    assert numbers["cheap"][1] == 0.6
    assert numbers["cheap"][0] != 0.6
    assert numbers["dear"] == (0.9, 0.9)
    assert set(numbers) > planned, "the models left out are explained too"
    assert (await made.decide(Query(("hello",), constraints(models_max=1)), READING)).weighed == ()
