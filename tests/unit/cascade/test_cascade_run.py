"""The state machine: what is asked, shown, committed, retracted and given in the end."""

from __future__ import annotations

import pytest

from cascade_service.domain.chat import FinishReason
from cascade_service.domain.errors import (
    AllAttemptsFailed,
    CascadeError,
    CeilingTooLow,
    DeadlinePassed,
    EmptyPlan,
    FailureClass,
    JudgeUnavailable,
    ModelFailed,
    PromptForbidden,
    ProviderAuthentication,
    ProviderRejected,
    RouterRejected,
    RouterUnavailable,
)
from cascade_service.domain.events import (
    Ceiling,
    DeliveryMode,
    Delta,
    Escalated,
    EscalationReason,
    Judged,
    Outcome,
    Retracted,
    Routed,
)
from cascade_service.domain.model import TextChunk
from cascade_service.domain.plan import Constraints, ExclusionCause, RouteKind
from cascade_service.domain.ports import JudgeQuestion
from cascade_service.domain.pricing import Price
from cascade_service.domain.verdict import Verdict
from tests.support.cascade import (
    Hang,
    Pass,
    Reader,
    ScriptedJudge,
    ScriptedLlm,
    ScriptedRouter,
    Stage,
    answer,
    ask,
    collect_until_error,
    completion_of,
    kinds,
    plan_of,
    verdict,
)

SPECULATIVE, BUFFERED = DeliveryMode.SPECULATIVE, DeliveryMode.BUFFERED
RATE_LIMITED = ModelFailed("rate limited (HTTP 429)", kind="rate_limited")


def two_tiers(low: float, high: float) -> Stage:
    judge = ScriptedJudge({"small": verdict(low, cost=3), "large": verdict(high, cost=4)})
    return Stage([ScriptedLlm("small", answer("4", "2", cost=10)), ScriptedLlm("large", answer("forty", "-two", cost=100))], judge)


async def test_an_answer_at_the_threshold_ends_the_cascade() -> None:
    stage = two_tiers(0.7, 0.9)
    events = await stage.run(ask(threshold=0.7))
    assert kinds(events) == ["Routed", "AttemptStarted", "Judged", "Delta", "Committed", "Completed"]
    completion = completion_of(events)
    assert (completion.text, completion.model, completion.outcome, completion.ceiling) == ("42", "small", Outcome.ACCEPTED, None)
    assert completion.confidence == 0.7
    assert completion.cost_nano_usd == 13
    assert completion.attempts[0].chosen
    assert completion.attempts[0].escalation_reason is None
    assert stage.models[1].calls == []


async def test_a_doubtful_answer_escalates_and_costs_add_up() -> None:
    stage = two_tiers(0.5, 0.9)
    events = await stage.run()
    assert kinds(events) == [
        *("Routed", "AttemptStarted", "Judged", "Escalated"),
        *("AttemptStarted", "Judged", "Delta", "Committed", "Completed"),
    ]
    escalated = next(event for event in events if isinstance(event, Escalated))
    assert (escalated.reason, escalated.confidence, escalated.threshold) == (EscalationReason.LOW_CONFIDENCE, 0.5, 0.7)
    assert (escalated.from_attempt, escalated.next_model) == (0, "large")
    completion = completion_of(events)
    assert completion.cost_nano_usd == 10 + 3 + 100 + 4
    assert [attempt.escalation_reason for attempt in completion.attempts] == [EscalationReason.LOW_CONFIDENCE, None]
    assert completion.usage.output_tokens == 10


async def test_speculative_text_is_retracted_when_the_next_model_is_asked() -> None:
    events = await two_tiers(0.5, 0.9).run(ask(delivery=SPECULATIVE))
    assert kinds(events) == [
        *("Routed", "AttemptStarted", "Delta", "Judged", "Retracted", "Escalated"),
        *("AttemptStarted", "Delta", "Judged", "Committed", "Completed"),
    ]
    assert [event.sequence for event in events if isinstance(event, Delta)] == [1, 2, 3, 4]
    assert [event.from_sequence for event in events if isinstance(event, Retracted)] == [1]


async def test_the_last_shown_answer_stays_when_it_is_the_best_seen() -> None:
    events = await two_tiers(0.2, 0.6).run(ask(delivery=SPECULATIVE))
    assert kinds(events)[-4:] == ["Delta", "Judged", "Committed", "Completed"]
    completion = completion_of(events)
    assert (completion.text, completion.outcome, completion.ceiling) == ("forty-two", Outcome.BEST_SEEN, None)
    assert completion.attempts[1].escalation_reason is EscalationReason.LOW_CONFIDENCE


@pytest.mark.parametrize("delivery", [BUFFERED, SPECULATIVE])
async def test_an_earlier_best_answer_is_sent_again_under_its_own_attempt(delivery: DeliveryMode) -> None:
    events = await two_tiers(0.6, 0.2).run(ask(delivery=delivery))
    tail = (
        ["Judged", "Delta", "Committed", "Completed"]
        if delivery is BUFFERED
        else ["Judged", "Retracted", "Delta", "Committed", "Completed"]
    )
    assert kinds(events)[-len(tail) :] == tail
    last_delta = [event for event in events if isinstance(event, Delta)][-1]
    assert (last_delta.attempt, last_delta.text) == (0, "42")
    completion = completion_of(events)
    assert (completion.model, completion.attempt, completion.outcome) == ("small", 0, Outcome.BEST_SEEN)


async def test_a_tie_goes_to_the_stronger_model() -> None:
    assert completion_of(await two_tiers(0.5, 0.5).run()).model == "large"


async def test_no_verdict_anywhere_gives_the_strongest_models_answer_as_unjudged() -> None:
    stage = two_tiers(0.0, 0.0)
    stage.judge = ScriptedJudge()
    events = await stage.run()
    escalated = next(event for event in events if isinstance(event, Escalated))
    assert (escalated.reason, escalated.confidence) == (EscalationReason.UNJUDGED, None)
    completion = completion_of(events)
    assert (completion.text, completion.outcome, completion.confidence) == ("forty-two", Outcome.UNJUDGED, None)
    assert not [event for event in events if isinstance(event, Judged)]


async def test_one_verdict_beats_later_answers_without_any() -> None:
    stage = two_tiers(0.1, 0.0)
    stage.judge = ScriptedJudge({"small": verdict(0.1)})
    completion = completion_of(await stage.run())
    assert (completion.model, completion.outcome) == ("small", Outcome.BEST_SEEN)


@pytest.mark.parametrize("delivery", [BUFFERED, SPECULATIVE])
async def test_unjudged_answers_are_refused_when_the_operator_says_so(delivery: DeliveryMode) -> None:
    stage = two_tiers(0.0, 0.0)
    stage.judge, stage.refuse_unjudged = ScriptedJudge(), True
    events, error = await collect_until_error(stage.cascade().answer(ask(delivery=delivery)))
    assert isinstance(error, JudgeUnavailable)
    assert kinds(events)[-1] == ("AttemptStarted" if delivery is BUFFERED else "Retracted")
    assert stage.store.saved[-1].error_reason == "JUDGE_UNAVAILABLE"


@pytest.mark.parametrize("delivery", [BUFFERED, SPECULATIVE])
async def test_half_an_answer_is_retracted_and_never_given(delivery: DeliveryMode) -> None:
    broken = ScriptedLlm("small", [TextChunk("4"), ModelFailed("connection broken", kind="connection_broken")])
    stage = Stage([broken, ScriptedLlm("large", answer("42"))], ScriptedJudge({"large": verdict(0.9)}))
    events = await stage.run(ask(delivery=delivery))
    shown = ["Delta", "Retracted"] if delivery is SPECULATIVE else []
    assert kinds(events)[: 3 + len(shown)] == ["Routed", "AttemptStarted", *shown, "Escalated"]
    escalated = next(event for event in events if isinstance(event, Escalated))
    assert escalated.reason is EscalationReason.PROVIDER_ERROR
    assert "connection" in escalated.detail
    assert completion_of(events).text == "42"
    assert completion_of(events).attempts[0].usage.estimated


async def test_half_an_answer_at_the_end_of_the_plan_is_an_error() -> None:
    stage = Stage([ScriptedLlm("small", [TextChunk("4"), RATE_LIMITED]), ScriptedLlm("large", [TextChunk("f"), RATE_LIMITED])])
    events, error = await collect_until_error(stage.cascade().answer(ask(delivery=SPECULATIVE)))
    assert isinstance(error, AllAttemptsFailed)
    assert error.causes == {"small": "rate_limited", "large": "rate_limited"}
    assert kinds(events)[-1] == "Retracted"


@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_an_empty_answer_escalates_and_is_never_the_best_seen(text: str) -> None:
    stage = Stage([ScriptedLlm("small", answer(text)), ScriptedLlm("large", answer(text))], ScriptedJudge({"small": verdict(0.99)}))
    events, error = await collect_until_error(stage.cascade().answer(ask(delivery=SPECULATIVE)))
    escalated = next(event for event in events if isinstance(event, Escalated))
    assert escalated.reason is EscalationReason.MALFORMED
    assert isinstance(error, AllAttemptsFailed)
    assert error.causes == {"small": "empty_answer", "large": "empty_answer"}


async def test_an_answer_without_an_end_is_broken() -> None:
    stage = Stage([ScriptedLlm("small", [TextChunk("4")])], ScriptedJudge({"small": verdict(0.99)}))
    _, error = await collect_until_error(stage.cascade().answer(ask()))
    assert isinstance(error, AllAttemptsFailed)
    assert error.causes == {"small": "malformed_response"}


async def test_an_endless_answer_is_broken_off() -> None:
    endless = ScriptedLlm("small", [TextChunk("la ")] * 100)
    stage = Stage([endless, ScriptedLlm("large", answer("42"))], ScriptedJudge({"large": verdict(0.9)}), answer_chars_max=30)
    events = await stage.run()
    assert completion_of(events).attempts[0].error == "answer_too_long"
    assert endless.left.is_set()


async def test_a_cut_off_answer_escalates_even_when_the_panel_likes_it() -> None:
    stage = Stage([ScriptedLlm("small", answer("4", finish=FinishReason.LENGTH)), ScriptedLlm("large", answer("42"))])
    stage.judge = ScriptedJudge({"small": verdict(0.99), "large": verdict(0.8)})
    events = await stage.run()
    assert next(event for event in events if isinstance(event, Escalated)).reason is EscalationReason.TRUNCATED
    assert completion_of(events).model == "large"


@pytest.mark.parametrize(
    ("failure_class", "error_type", "reason"),
    [
        (FailureClass.AUTHENTICATION, ProviderAuthentication, "PROVIDER_AUTHENTICATION"),
        (FailureClass.REJECTED, ProviderRejected, "PROVIDER_REJECTED"),
        (FailureClass.CONTENT_POLICY, PromptForbidden, "CONTENT_POLICY"),
    ],
)
async def test_errors_that_no_other_model_can_mend_end_the_request(
    failure_class: FailureClass, error_type: type[CascadeError], reason: str
) -> None:
    failed = ModelFailed("refused", kind="refused", failure_class=failure_class)
    stage = Stage([ScriptedLlm("small", [failed]), ScriptedLlm("large", answer("42"))])
    events, error = await collect_until_error(stage.cascade().answer(ask()))
    assert isinstance(error, error_type)
    assert error.reason == reason
    assert kinds(events) == ["Routed", "AttemptStarted"]
    assert stage.models[1].calls == []


async def test_such_an_error_does_not_take_away_an_answer_that_is_there() -> None:
    failed = ModelFailed("refused", kind="content_policy", failure_class=FailureClass.CONTENT_POLICY)
    stage = Stage([ScriptedLlm("small", answer("42")), ScriptedLlm("large", [failed])], ScriptedJudge({"small": verdict(0.4)}))
    completion = completion_of(await stage.run())
    assert (completion.text, completion.outcome, completion.ceiling) == ("42", Outcome.BEST_SEEN, None)


async def test_a_slow_attempt_is_left_and_escalates_as_timeout() -> None:
    slow = ScriptedLlm("small", [TextChunk("4"), Hang()])
    stage = Stage([slow, ScriptedLlm("large", answer("42"))], ScriptedJudge({"large": verdict(0.9)}), attempt_s=0.01)
    events = await stage.run(ask(delivery=SPECULATIVE))
    assert next(event for event in events if isinstance(event, Escalated)).reason is EscalationReason.TIMEOUT
    assert slow.left.is_set()
    assert completion_of(events).attempts[0].error == "timeout"


async def test_an_attempt_that_the_deadline_cut_short_is_told_apart_from_one_that_failed() -> None:
    slow = ScriptedLlm("small", [Pass(9.8), ModelFailed("timeout", kind="timeout", failure_class=FailureClass.TIMEOUT)])
    stage = Stage([slow, ScriptedLlm("large", answer("42"))])
    _, error = await collect_until_error(stage.cascade().answer(ask(deadline_at_s=10.0)))
    assert isinstance(error, DeadlinePassed)
    assert error.causes == {"small": "timeout"}
    assert stage.store.saved[-1].error_reason == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    ("request_ceiling", "ceiling"),
    [
        ({"attempts_max": 1}, Ceiling.ATTEMPTS),
        ({"cost_max": 1_020}, Ceiling.COST),
        ({"output_tokens_max": 5}, Ceiling.OUTPUT_TOKENS),
        ({"deadline_at_s": 10.0}, Ceiling.TIME),
    ],
)
async def test_a_ceiling_stops_the_cascade_with_the_best_seen(request_ceiling: dict[str, int], ceiling: Ceiling) -> None:
    price = Price(output_nano_usd_per_mtok=1_000_000)
    small = ScriptedLlm("small", [Pass(9.5), *answer("42", cost=500, tokens=5)], price=price)
    stage = Stage([small, ScriptedLlm("large", answer("43"), price=price)], ScriptedJudge({"small": verdict(0.3)}))
    events = await stage.run(ask(**request_ceiling))  # pyright: ignore[reportArgumentType] - one keyword at a time, of its own type
    completion = completion_of(events)
    assert (completion.text, completion.outcome, completion.ceiling) == ("42", Outcome.BEST_SEEN, ceiling)
    assert "Escalated" not in kinds(events)
    assert stage.models[1].calls == []


@pytest.mark.parametrize(("request_ceiling", "ceiling"), [({"cost_max": 999}, Ceiling.COST), ({"deadline_at_s": 0.5}, Ceiling.TIME)])
async def test_a_ceiling_that_leaves_no_attempt_is_an_error(request_ceiling: dict[str, int], ceiling: Ceiling) -> None:
    stage = Stage([ScriptedLlm("small", answer("42"), price=Price(output_nano_usd_per_mtok=1_000_000))])
    events, error = await collect_until_error(stage.cascade().answer(ask(**request_ceiling)))  # pyright: ignore[reportArgumentType] - see above
    assert isinstance(error, CeilingTooLow)
    assert error.ceiling is ceiling
    assert kinds(events) == ["Routed"]


async def test_the_ceiling_on_output_tokens_shortens_attempts() -> None:
    stage = two_tiers(0.1, 0.9)
    await stage.run(ask(output_tokens_max=8, max_output_tokens=6))
    assert [model.calls[0].max_output_tokens for model in stage.models] == [6, 3]


async def test_the_panel_gets_peers_threshold_time_and_what_is_left_of_the_budget() -> None:
    stage = two_tiers(0.1, 0.9)
    await stage.run(ask(cost_max=1_000, threshold=0.8, deadline_at_s=20.0))
    (first, timeout_s), (second, _) = stage.judge.questions
    assert (first.peers, first.cost_max_nano_usd, first.accept_threshold) == ((), 990, 0.8)
    assert timeout_s == pytest.approx(19.9)
    assert [peer.text for peer in second.peers] == ["42"]
    assert second.cost_max_nano_usd == 1_000 - 10 - 3 - 100
    assert second.candidate.logprobs is not None
    assert second.candidate.id != second.peers[0].id


async def test_the_attempt_gets_what_the_deadline_leaves() -> None:
    stage = two_tiers(0.9, 0.9)
    await stage.run(ask(deadline_at_s=10.0))
    assert stage.models[0].calls[0].timeout_s == pytest.approx(9.9)
    await stage.run(ask(deadline_at_s=1_000.0))
    assert stage.models[0].calls[1].timeout_s == 60.0


async def test_a_fixed_plan_bypasses_the_router() -> None:
    stage = two_tiers(0.1, 0.9)
    stage.router = ScriptedRouter(RuntimeError("must not be asked"))
    events = await stage.run(ask(fixed_plan=("large",)))
    routed = events[0]
    assert isinstance(routed, Routed)
    assert (routed.plan.kind, routed.static_plan) == (RouteKind.FIXED, False)
    assert completion_of(events).model == "large"


async def test_the_static_plan_steps_in_for_the_router() -> None:
    stage = two_tiers(0.9, 0.9)
    stage.router, stage.static_plan = ScriptedRouter(RouterUnavailable("down")), ("small", "large")
    events = await stage.run(ask(constraints=Constraints(deny_models=("small",))))
    routed = events[0]
    assert isinstance(routed, Routed)
    assert routed.static_plan
    assert [model.model for model in routed.plan.models] == ["large"]
    assert [model.cause for model in routed.plan.excluded] == [ExclusionCause.DENIED]


async def test_without_a_static_plan_a_dead_router_is_an_error() -> None:
    stage = two_tiers(0.9, 0.9)
    stage.router = ScriptedRouter(RouterUnavailable("down"))
    events, error = await collect_until_error(stage.cascade().answer(ask()))
    assert isinstance(error, RouterUnavailable)
    assert events == []
    assert stage.store.saved[-1].plan is None


async def test_the_static_plan_does_not_step_in_for_a_bad_request() -> None:
    stage = two_tiers(0.9, 0.9)
    stage.router, stage.static_plan = ScriptedRouter(RouterRejected("bad", reason="EMPTY_PLAN", status=None)), ("small",)
    _, error = await collect_until_error(stage.cascade().answer(ask()))
    assert isinstance(error, RouterRejected)
    assert stage.store.saved[-1].error_reason == "EMPTY_PLAN"


async def test_a_fixed_plan_that_the_constraints_empty_is_an_error() -> None:
    stage = two_tiers(0.9, 0.9)
    request = ask(fixed_plan=("small", "large"), constraints=Constraints(allow_models=("medium",)))
    _, error = await collect_until_error(stage.cascade().answer(request))
    assert isinstance(error, EmptyPlan)
    assert {model.model: model.cause for model in error.excluded} == dict.fromkeys(("large", "small"), ExclusionCause.NOT_ALLOWED)


async def test_models_that_only_the_router_knows_are_passed_over() -> None:
    stage = two_tiers(0.9, 0.9)
    stage.router = ScriptedRouter(plan_of("brand-new", "small"))
    completion = completion_of(await stage.run())
    assert (completion.model, completion.attempts[0].tier, completion.attempts[0].attempt) == ("small", 1, 0)
    stage.router = ScriptedRouter(plan_of("brand-new"))
    _, error = await collect_until_error(stage.cascade().answer(ask()))
    assert isinstance(error, AllAttemptsFailed)
    assert error.causes == {"brand-new": "not_configured"}


async def test_long_texts_are_sent_in_pieces() -> None:
    text = "x" * 10_000
    stage = Stage([ScriptedLlm("small", answer(text))], ScriptedJudge({"small": verdict(0.9)}))
    events = await stage.run()
    reader = Reader()
    for event in events:
        reader.read(event)
    assert reader.committed == text
    assert max(len(event.text) for event in events if isinstance(event, Delta)) <= 4_096


async def test_durations_are_measured_on_the_given_clock() -> None:
    stage = Stage([ScriptedLlm("small", [Pass(1.0), TextChunk("42"), Pass(2.0), *answer()])], ScriptedJudge({"small": verdict(0.9)}))
    completion = completion_of(await stage.run())
    assert (completion.attempts[0].time_to_first_chunk_s, completion.attempts[0].duration_s) == (1.0, 3.0)
    assert completion.timing.total_s == 3.0


class ComparingJudge(ScriptedJudge):
    """Trusts an answer that another one repeats; an answer with nothing to compare it with gets the benefit of the doubt."""

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        self.questions.append((question, timeout_s))
        if not question.peers:
            return verdict(0.45, cost=1)
        repeated = any(peer.text == question.candidate.text for peer in question.peers)
        return verdict(0.6 if repeated else 0.43, cost=1)


def asked(judge: ScriptedJudge) -> list[tuple[str, tuple[str, ...]]]:
    return [(question.candidate.model, tuple(peer.model for peer in question.peers)) for question, _ in judge.questions]


async def test_an_answer_is_not_judged_again_when_only_failures_came_after_it() -> None:
    judge = ComparingJudge()
    completion = completion_of(await Stage([ScriptedLlm("small", answer("1")), ScriptedLlm("large", [RATE_LIMITED])], judge).run(ask()))
    assert completion.model == "small"
    assert asked(judge) == [("small", ())]


async def test_the_first_answer_is_judged_again_once_there_is_something_to_compare_it_with() -> None:
    judge = ComparingJudge()
    models = [ScriptedLlm(name, answer(text)) for name, text in (("small", "1"), ("medium", "2"), ("large", "3"))]
    completion = completion_of(await Stage(models, judge).run(ask(threshold=0.7)))
    assert completion.outcome is Outcome.BEST_SEEN
    assert completion.model == "large"
    assert asked(judge)[3:] == [("small", ("medium", "large")), ("medium", ("small", "large"))]
    assert [attempt.confidence for attempt in completion.attempts] == [0.43, 0.43, 0.43]
    assert [attempt.judge_cost_nano_usd for attempt in completion.attempts] == [2, 2, 1]


async def test_an_answer_that_a_later_one_repeats_beats_one_that_stands_alone() -> None:
    models = [ScriptedLlm(name, answer(text)) for name, text in (("small", "1"), ("medium", "1"), ("large", "3"))]
    completion = completion_of(await Stage(models, ComparingJudge()).run(ask(threshold=0.7)))
    assert completion.text == "1"
    assert completion.model == "medium"


async def test_an_accepted_answer_is_not_judged_twice() -> None:
    judge = ComparingJudge()
    models = [ScriptedLlm(name, answer("1")) for name in ("small", "medium")]
    completion = completion_of(await Stage(models, judge).run(ask(threshold=0.55)))
    assert completion.outcome is Outcome.ACCEPTED
    assert [model for model, _ in asked(judge)] == ["small", "medium"]
