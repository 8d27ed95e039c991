from __future__ import annotations

from dataclasses import replace

import pytest

from router_service.domain.errors import EmptyPlan
from router_service.domain.models import CandidateModel, Constraints
from router_service.domain.planning import Cause, ModelOrder, order_models
from router_service.domain.suitability import Suitability
from tests.support.router import constraints, model, suitability

INPUT_TOKENS = 100
SMALL, MIDDLE, LARGE = model("small", price=0.1), model("middle", price=1.0), model("large", price=10.0)
LADDER = (SMALL, MIDDLE, LARGE)
RISING = {"small": 0.4, "middle": 0.6, "large": 0.8}


def order(models: tuple[CandidateModel, ...], qualities: dict[str, float], limits: Constraints | None = None) -> ModelOrder:
    table = {name: suitability(mean) for name, mean in qualities.items()}
    return order_models(models, constraints=limits or constraints(), suitability=table, input_tokens=INPUT_TOKENS)


def names(found: ModelOrder) -> list[str]:
    return [planned.estimate.model.name for planned in found.planned]


def causes(found: ModelOrder) -> dict[str, Cause]:
    return {exclusion.model: exclusion.cause for exclusion in found.excluded}


def test_plan_climbs_from_cheap_to_good_whatever_the_order_of_configuration() -> None:
    assert names(order(LADDER, RISING)) == names(order(LADDER[::-1], RISING)) == ["small", "middle", "large"]


def test_cost_counts_input_and_predicted_output_and_rounds_up() -> None:
    found = order((model("odd", price=0.000_003),), {"odd": 0.5})
    estimate = found.planned[0].estimate
    assert (estimate.output_tokens, estimate.cost_nano_usd) == (100, 1)


def test_dearer_model_that_is_no_better_is_dominated_with_the_figures() -> None:
    found = order(LADDER, {"small": 0.4, "middle": 0.4, "large": 0.8})
    assert names(found) == ["small", "large"]
    assert causes(found) == {"middle": Cause.DOMINATED}
    assert "small is no dearer" in found.excluded[0].detail
    assert "(0.40 against 0.40)" in found.excluded[0].detail


def test_best_of_the_others_stays_behind_a_model_that_is_cheapest_and_best() -> None:
    found = order(LADDER, {"small": 0.9, "middle": 0.5, "large": 0.7})
    assert names(found) == ["small", "large"]
    assert found.planned[1].reason.startswith("for when small fails")


def test_models_that_were_never_measured_are_not_dominated_by_an_equal_prior() -> None:
    table = {name: suitability(0.6, measured=False) for name in RISING}
    found = order_models(LADDER, constraints=constraints(), suitability=table, input_tokens=INPUT_TOKENS)
    assert names(found) == ["small", "middle", "large"]
    assert "never measured" in found.planned[0].reason


def test_reason_says_when_a_figure_was_inferred_from_other_categories() -> None:
    inferred = Suitability(0.6, 0.1, 100.0, 0, measured=True)
    found = order_models((SMALL,), constraints=constraints(), suitability={"small": inferred}, input_tokens=INPUT_TOKENS)
    assert found.planned[0].reason.endswith("(no answers in this category, inferred from others)")


def test_models_below_the_threshold_are_unsuitable() -> None:
    found = order(LADDER, RISING, constraints(suitability_min=0.6))
    assert names(found) == ["middle", "large"]
    assert causes(found) == {"small": Cause.UNSUITABLE}
    assert found.excluded[0].detail == "suitability 0.40 is below 0.60"


def test_all_candidates_are_weighed_and_it_is_said_when_none_reaches_the_threshold() -> None:
    found = order(LADDER, RISING, constraints(suitability_min=0.95))
    assert names(found) == ["small", "middle", "large"]
    assert found.reasons[0] == "no model reaches suitability 0.95, so all candidates were weighed"


def test_short_plan_keeps_the_cheapest_and_the_best_and_drops_the_smallest_step() -> None:
    models = (*LADDER, model("huge", price=100.0))
    found = order(models, {"small": 0.4, "middle": 0.45, "large": 0.7, "huge": 0.8}, constraints(models_max=3))
    assert names(found) == ["small", "large", "huge"]
    assert causes(found) == {"middle": Cause.PLAN_FULL}


def test_single_place_goes_to_the_best_model_when_no_suitability_is_stated() -> None:
    assert names(order(LADDER, RISING, constraints(models_max=1))) == ["large"]


def test_single_place_goes_to_the_cheapest_model_that_reaches_a_stated_suitability() -> None:
    assert names(order(LADDER, RISING, constraints(models_max=1, suitability_min=0.5))) == ["middle"]


def test_single_place_goes_to_the_best_model_when_none_reaches_the_stated_suitability() -> None:
    assert names(order(LADDER, RISING, constraints(models_max=1, suitability_min=0.95))) == ["large"]


@pytest.mark.parametrize(
    ("limits", "cause", "detail"),
    [
        (constraints(deny=["small"]), Cause.DENIED, "on the deny list"),
        (constraints(allow=["middle", "large"]), Cause.NOT_ALLOWED, "not on the allow list"),
        (constraints(capabilities=["logprobs"]), Cause.MISSING_CAPABILITY, "lacks logprobs"),
    ],
)
def test_cause_and_figures_of_an_exclusion(limits: Constraints, cause: Cause, detail: str) -> None:
    able = (SMALL, model("middle", price=1.0, capabilities=["logprobs"]), model("large", price=10.0, capabilities=["logprobs"]))
    found = order(able, RISING, limits)
    assert [(exclusion.model, exclusion.cause, exclusion.detail) for exclusion in found.excluded] == [("small", cause, detail)]
    assert names(found) == ["middle", "large"]


def test_disabled_model_is_left_out_with_its_reason() -> None:
    found = order((SMALL, model("large", price=10.0, disabled="variable KEY is not set")), RISING)
    assert [(e.model, e.cause, e.detail) for e in found.excluded] == [("large", Cause.DISABLED, "variable KEY is not set")]


def test_cost_ceiling_leaves_out_what_one_attempt_would_exceed() -> None:
    # 100 + 100 tokens at 1 USD per million tokens are 200,000 nano-USD.
    found = order(LADDER, RISING, constraints(cost_max=200_000))
    assert names(found) == ["small", "middle"]
    assert found.excluded[0].detail == "predicted cost of 2,000,000 nano-USD is above the ceiling of 200,000"


def test_window_must_hold_the_conversation_and_the_longest_answer() -> None:
    narrow = model("small", price=0.1, context_tokens=1_123)
    assert causes(order((narrow, LARGE), RISING)) == {"small": Cause.CONTEXT_TOO_LONG}
    assert names(order((narrow, LARGE), RISING, constraints(output_tokens_max=1_023))) == ["small", "large"]


def test_predicted_answer_never_exceeds_the_limit_on_answers() -> None:
    table = {"small": suitability(0.5, output_tokens=5_000.0)}
    found = order_models((SMALL,), constraints=constraints(output_tokens_max=20), suitability=table, input_tokens=INPUT_TOKENS)
    assert found.planned[0].estimate.output_tokens == 20


def test_empty_plan_says_what_excluded_each_model_in_order_of_name() -> None:
    with pytest.raises(EmptyPlan) as caught:
        order(LADDER, RISING, constraints(deny=["small"], allow=["small", "large"], cost_max=1))
    assert [(e.model, e.cause) for e in caught.value.excluded] == [
        ("large", Cause.COST_CEILING),
        ("middle", Cause.NOT_ALLOWED),
        ("small", Cause.DENIED),
    ]
    assert "middle: not on the allow list" in str(caught.value)


def test_with_a_stated_worth_the_plan_is_ordered_by_net_worth_and_nothing_is_dominated() -> None:
    wanted = replace(constraints(models_max=3), answer_worth_nano_usd=10**6)
    models = (model("dear", price=1.0), model("twin", price=0.1), model("cheap", price=0.1), model("poor", price=0.2))
    found = order(models, {"dear": 0.9, "twin": 0.5, "cheap": 0.5, "poor": 0.3}, wanted)
    net = [planned.estimate.quality * 10**6 - planned.estimate.cost_nano_usd for planned in found.planned]
    assert net == sorted(net, reverse=True)
    assert names(found) == ["dear", "cheap", "twin"]
    assert causes(found) == {"poor": Cause.PLAN_FULL}
    assert found.planned[0].reason.startswith("net worth ")
    assert "greatest net worth first, with a right answer worth 1,000,000 nano-USD" in found.reasons[0]


def test_the_less_an_answer_is_worth_the_cheaper_the_first_model() -> None:
    firsts = [
        order(LADDER, RISING, replace(constraints(), answer_worth_nano_usd=worth)).planned[0].estimate.cost_nano_usd
        for worth in (1, 10**5, 10**6, 10**9, 10**12)
    ]
    assert firsts == sorted(firsts)
    assert firsts[0] < firsts[-1]
