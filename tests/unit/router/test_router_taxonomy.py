from __future__ import annotations

import pytest

from router_service.domain.taxonomy import Axis, ClearRule, assess, distribution, mix
from tests.support.router import CERTAIN, RULE


def test_distribution_is_ranked_and_adds_up_to_one() -> None:
    found = distribution(Axis.DOMAIN, {"law": 1.0, "math": 3.0})
    assert [(entry.label, entry.probability) for entry in found.labels] == [("math", 0.75), ("law", 0.25)]


@pytest.mark.parametrize("probabilities", [{}, {"a": 0.0}, {"a": -0.1, "b": 1.1}, {"a": float("nan")}, {"a": float("inf")}])
def test_what_is_no_distribution_is_refused(probabilities: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="finite probabilities"):
        distribution(Axis.DOMAIN, probabilities)


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 0.8), (0.25, 0.65), (0.5, 0.5), (1.0, 0.2)])
def test_mix_is_the_convex_combination_by_lambda(weight: float, expected: float) -> None:
    fast, slow = distribution(Axis.DOMAIN, {"math": 0.8, "law": 0.2}), distribution(Axis.DOMAIN, {"math": 0.2, "law": 0.8})
    assert mix(fast, slow, weight=weight).probability_of("math") == pytest.approx(expected)


def test_labels_that_only_the_slow_classifier_knows_are_dropped() -> None:
    fast, slow = distribution(Axis.DOMAIN, {"math": 0.5, "law": 0.5}), distribution(Axis.DOMAIN, {"math": 0.5, "cooking": 0.5})
    assert {entry.label for entry in mix(fast, slow, weight=0.5).labels} == {"math", "law"}


def test_slow_opinion_changes_its_axis_only_and_its_weight_is_reported() -> None:
    fast = [distribution(axis, {**CERTAIN[axis], "other": 1.0}) for axis in Axis]
    slow = {Axis.DOMAIN: distribution(Axis.DOMAIN, {"other": 1.0})}
    found = assess(fast, slow=slow, slow_weight=0.5, rule=RULE)
    assert found.on(Axis.DOMAIN).probability_of("other") == pytest.approx(0.75)
    assert found.on(Axis.TASK_TYPE).probability_of("other") == pytest.approx(0.5)
    assert found.slow_weight == 0.5


def test_weight_is_zero_when_the_slow_classifier_is_silent() -> None:
    fast = [distribution(axis, CERTAIN[axis]) for axis in Axis]
    assert assess(fast, slow={}, slow_weight=0.5, rule=RULE).slow_weight == 0.0


@pytest.mark.parametrize(("probability", "clear"), [(0.49, False), (0.5, True), (0.51, True)])
def test_category_is_clear_from_the_threshold_on(probability: float, *, clear: bool) -> None:
    fast = [distribution(axis, {"a": probability, "b": (1 - probability) / 2, "c": (1 - probability) / 2}) for axis in Axis]
    found = assess(fast, slow=None, slow_weight=0.0, rule=ClearRule((Axis.DOMAIN,), 0.5))
    assert found.clear is clear
    assert [axis.axis for axis in found.unclear_axes(ClearRule((Axis.DOMAIN,), 0.5))] == ([] if clear else [Axis.DOMAIN])
