from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from router_service.adapters.onnx_encoder import runs_of
from router_service.domain.errors import EmptyPlan
from router_service.domain.models import CandidateModel, Constraints
from router_service.domain.planning import Cause, Exclusion, PlannedModel, answer_limit, order_models
from router_service.domain.suitability import BetaBelief, Suitability
from router_service.domain.taxonomy import Axis, distribution, mix
from training.suitability_fit import Counts, fit_model

NAMES = [f"m{index}" for index in range(6)]
CAPABILITIES = ["logprobs", "json_schema", "seed"]
PROBABILITIES = st.floats(0.0, 1.0, allow_nan=False)


@st.composite
def candidate_lists(draw: st.DrawFn) -> tuple[CandidateModel, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    return tuple(
        CandidateModel(
            name=name,
            provider="recorded",
            input_nano_usd_per_mtok=draw(st.integers(0, 10**11)),
            output_nano_usd_per_mtok=draw(st.integers(0, 10**11)),
            context_tokens=draw(st.integers(256, 20_000)),
            max_output_tokens=draw(st.integers(1, 4_096)),
            capabilities=frozenset(draw(st.sets(st.sampled_from(CAPABILITIES)))),
            disabled_reason=draw(st.sampled_from(["", "", "", "switched off"])),
        )
        for name in names
    )


limits = st.builds(
    Constraints,
    models_max=st.integers(1, 4),
    suitability_min=PROBABILITIES,
    attempt_cost_max_nano_usd=st.none() | st.integers(0, 10**9),
    allow=st.frozensets(st.sampled_from(NAMES)),
    deny=st.frozensets(st.sampled_from(NAMES), max_size=3),
    required_capabilities=st.frozensets(st.sampled_from(CAPABILITIES), max_size=2),
    output_tokens_max=st.none() | st.integers(1, 65_536),
)
suitabilities = st.builds(
    Suitability,
    mean=PROBABILITIES,
    stddev=st.floats(0.0, 0.5),
    output_tokens=st.floats(0.0, 20_000.0),
    observations=st.integers(0, 1_000),
    measured=st.booleans(),
)


@given(candidate_lists(), limits, st.fixed_dictionaries(dict.fromkeys(NAMES, suitabilities)), st.integers(1, 10_000))
def test_plan_respects_every_constraint(
    models: tuple[CandidateModel, ...], constraints: Constraints, table: dict[str, Suitability], input_tokens: int
) -> None:
    try:
        order = order_models(models, constraints=constraints, suitability=table, input_tokens=input_tokens)
    except EmptyPlan as empty:
        planned: tuple[PlannedModel, ...] = ()
        excluded: tuple[Exclusion, ...] = empty.excluded
    else:
        planned, excluded = order.planned, order.excluded
        assert 1 <= len(planned) <= constraints.models_max
    for entry in planned:
        model, estimate = entry.estimate.model, entry.estimate
        assert not model.disabled_reason
        assert model.name not in constraints.deny
        assert not constraints.allow or model.name in constraints.allow
        assert constraints.required_capabilities <= model.capabilities
        assert input_tokens + answer_limit(model, constraints) <= model.context_tokens
        assert constraints.attempt_cost_max_nano_usd is None or estimate.cost_nano_usd <= constraints.attempt_cost_max_nano_usd
        assert 1 <= estimate.output_tokens <= answer_limit(model, constraints)
    costs = [entry.estimate.cost_nano_usd for entry in planned]
    assert costs == sorted(costs)
    names = [entry.estimate.model.name for entry in planned] + [exclusion.model for exclusion in excluded]
    assert sorted(names) == sorted(model.name for model in models)
    assert [exclusion.model for exclusion in excluded] == sorted(exclusion.model for exclusion in excluded)


@given(candidate_lists(), limits, st.fixed_dictionaries(dict.fromkeys(NAMES, suitabilities)), st.integers(1, 10_000))
def test_candidates_that_reach_the_threshold_are_never_displaced_by_others(
    models: tuple[CandidateModel, ...], constraints: Constraints, table: dict[str, Suitability], input_tokens: int
) -> None:
    try:
        order = order_models(models, constraints=constraints, suitability=table, input_tokens=input_tokens)
    except EmptyPlan:
        return
    qualities = [entry.estimate.quality for entry in order.planned]
    if any(quality >= constraints.suitability_min for quality in qualities):
        assert min(qualities) >= constraints.suitability_min
    else:
        assert Cause.UNSUITABLE not in {exclusion.cause for exclusion in order.excluded}
    if constraints.models_max > 1 or constraints.suitability_min == 0.0:
        gone = {Cause.DOMINATED, Cause.PLAN_FULL}
        displaced = [table[exclusion.model].mean for exclusion in order.excluded if exclusion.cause in gone]
        assert max(qualities) >= max(displaced, default=0.0)


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.integers(0, 1_000), st.integers(0, 1_000), st.integers(1, 100))
def test_belief_rises_with_successes_and_falls_with_failures(alpha: float, beta: float, successes: int, failures: int, more: int) -> None:
    prior = BetaBelief(alpha, beta)
    seen = prior.after(successes=successes, failures=failures)
    assert prior.after(successes=successes + more, failures=failures).mean > seen.mean
    assert prior.after(successes=successes, failures=failures + more).mean < seen.mean
    assert 0.0 <= seen.variance <= 0.25


@given(st.integers(1, 200), st.data())
def test_more_right_answers_never_lower_suitability_in_any_cell(answers: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, answers - 1))
    effects = np.array([2.0, 0.0, -2.0])

    def means(successes: int) -> np.ndarray:
        counts = Counts.empty(2, 3)
        counts.answers[0, 1], counts.right[0, 1] = answers, successes
        return fit_model(counts, effects, ability_prior=0.0, tokens_prior=100.0).mean

    assert (means(right + 1) >= means(right) - 1e-9).all()


@given(st.lists(st.floats(0.001, 1.0), min_size=2, max_size=8), st.lists(st.floats(0.001, 1.0), min_size=2, max_size=8), PROBABILITIES)
def test_mix_stays_a_distribution_between_its_parts(fast: list[float], slow: list[float], weight: float) -> None:
    size = min(len(fast), len(slow))
    labels = [f"label{index}" for index in range(size)]
    first = distribution(Axis.DOMAIN, dict(zip(labels, fast[:size], strict=True)))
    second = distribution(Axis.DOMAIN, dict(zip(labels, slow[:size], strict=True)))
    mixed = mix(first, second, weight=weight)
    assert abs(sum(entry.probability for entry in mixed.labels) - 1.0) < 1e-9
    for label in labels:
        low, high = sorted([first.probability_of(label), second.probability_of(label)])
        assert low - 1e-9 <= mixed.probability_of(label) <= high + 1e-9


@given(st.lists(st.integers(2, 512), max_size=64), st.integers(16, 2_048))
def test_every_text_is_encoded_once_and_no_run_is_too_large(lengths: list[int], tokens_max: int) -> None:
    runs = runs_of(lengths, tokens_max=tokens_max)
    assert sorted(index for run in runs for index in run) == list(range(len(lengths)))
    for run in runs:
        assert len(run) == 1 or len(run) * max(lengths[index] for index in run) <= tokens_max
