"""Nothing of the domain is without a place on the wire, and nothing on the wire is without a place in the domain."""

from __future__ import annotations

from dataclasses import fields, replace
from enum import Enum
from typing import Any, get_args

import grpc
import pytest
from emafusion.cascade.v1 import cascade_service_pb2, decision_pb2, event_pb2
from emafusion.common.v1 import chat_pb2, error_reason_pb2, usage_pb2
from emafusion.judge.v1 import judge_service_pb2, verdict_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2
from google.protobuf.descriptor import FieldDescriptor

from cascade_service.adapters.wire import (
    NotUnderstood,
    joint_request_to_wire,
    judge_request_to_wire,
    plan_from_wire,
    route_request_to_wire,
    verdict_from_wire,
)
from cascade_service.domain import errors as domain_errors
from cascade_service.domain.chat import FinishReason, GenerationParams, LogprobSummary, OutputContract, OutputKind, Role, Usage
from cascade_service.domain.decision import Decision, DecisionStatus, Feedback, RecordedAttempt, RecordedPart
from cascade_service.domain.decomposition.splitting import Part
from cascade_service.domain.events import (
    AttemptStarted,
    AttemptSummary,
    CascadeEvent,
    Ceiling,
    Committed,
    Completed,
    Completion,
    Decomposed,
    DeliveryMode,
    Delta,
    Escalated,
    EscalationReason,
    Hedge,
    Judged,
    Outcome,
    PartSummary,
    PolicyKind,
    Retracted,
    Routed,
    Timing,
)
from cascade_service.domain.plan import Constraints, ExcludedModel, ExclusionCause, Plan, RouteKind
from cascade_service.domain.ports import Answer, JointQuestion, JudgeQuestion, RouteQuestion
from cascade_service.domain.pricing import Price
from cascade_service.domain.quotas import Account, Exceeded, Limit, LimitReached, Limits
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.verdict import CriterionScore, Defect, JudgeOutcome, JudgeStatus, Verdict
from cascade_service.transport.errors import error_table, under_field
from cascade_service.transport.mapping import event_to_wire
from cascade_service.transport.records import decision_to_wire, model_to_wire, quota_to_wire
from cascade_service.transport.verdicts import plan_to_wire, verdict_to_wire
from servicekit.errors import FieldViolation, Reason, RemoteStatus
from tests.support.cascade import NOW, QUESTION, configured

ENUMS: list[tuple[type[Enum], Any, str]] = [
    (DeliveryMode, event_pb2.DeliveryMode, "DELIVERY_MODE_"),
    (EscalationReason, event_pb2.EscalationReason, "ESCALATION_REASON_"),
    (Ceiling, event_pb2.Ceiling, "CEILING_"),
    (Outcome, event_pb2.Outcome, "OUTCOME_"),
    (FinishReason, usage_pb2.FinishReason, "FINISH_REASON_"),
    (Role, chat_pb2.Role, "ROLE_"),
    (OutputKind, chat_pb2.OutputContract.Kind, "KIND_"),
    (RouteKind, plan_pb2.RouteKind, "ROUTE_KIND_"),
    (ExclusionCause, plan_pb2.ExcludedModel.Cause, "CAUSE_"),
    (Defect, verdict_pb2.Defect, "DEFECT_"),
    (JudgeStatus, verdict_pb2.JudgeOutcome.Status, "STATUS_"),
    (PolicyKind, event_pb2.PolicyKind, "POLICY_KIND_"),
    (DecisionStatus, decision_pb2.DecisionStatus, "DECISION_STATUS_"),
]


@pytest.mark.parametrize(("kind", "wire", "prefix"), ENUMS, ids=[entry[0].__name__ for entry in ENUMS])
def test_enums_have_the_same_members(kind: type[Enum], wire: Any, prefix: str) -> None:
    names = {name.removeprefix(prefix) for name in wire.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - protobuf's wrapper is no mapping
    assert {member.name for member in kind} - {"UNSPECIFIED"} == names


USAGE = Usage(input_tokens=3, output_tokens=2, cached_input_tokens=1, estimated=True)
OUTCOME = JudgeOutcome(
    judge="llm",
    status=JudgeStatus.SCORED,
    score=0.25,
    explanation="why",
    criteria=(CriterionScore("clarity", 0.5),),
    defects=(Defect.REFUSED,),
    duration_s=0.125,
    cost_nano_usd=7,
    usage=USAGE,
    same_answer_as=("attempt-0",),
)
VERDICT = Verdict(
    confidence=0.5,
    disagreement=0.25,
    outcomes=(OUTCOME,),
    defects=(Defect.REFUSED,),
    stopped_early=True,
    evidence="llm",
    calibration="c1",
    cost_nano_usd=7,
)


def full_plan() -> plan_pb2.Plan:
    axis = plan_pb2.AxisPrediction(
        axis="domain", label="code", probability=0.5, distribution=[plan_pb2.LabelProbability(label="code", probability=0.5)]
    )
    return plan_pb2.Plan(
        models=[
            plan_pb2.PlannedModel(
                model="m",
                predicted_quality=0.5,
                quality_stddev=0.25,
                predicted_cost_nano_usd=3,
                predicted_output_tokens=4,
                reason="cheap",
            )
        ],
        excluded=[plan_pb2.ExcludedModel(model="x", cause=plan_pb2.ExcludedModel.CAUSE_DENIED, detail="said so")],
        kind=plan_pb2.ROUTE_KIND_LEARNED,
        taxonomy=plan_pb2.Taxonomy(axes=[axis], clear=True, slow_weight=0.25),
        reasons=["because"],
        input_tokens=9,
        policy_hash="abc",
    )


PLAN = plan_from_wire(full_plan())
SUMMARY = AttemptSummary(
    attempt=1,
    tier=2,
    model="m",
    chosen=True,
    escalation_reason=EscalationReason.REFUSED,
    confidence=0.5,
    finish_reason=FinishReason.STOP,
    usage=USAGE,
    cost_nano_usd=5,
    judge_cost_nano_usd=6,
    time_to_first_chunk_s=0.25,
    duration_s=0.5,
    error="timeout",
    aborted_early=True,
    tokens_saved=7,
    continues_attempt=0,
    expected_gain=0.0,
    price=0.25,
    hedge=Hedge(endpoint=1, hedged=True, wasted_cost_nano_usd=3, skipped_endpoints=(2,)),
    part=0,
)
PART = PartSummary(
    label="1.",
    needs_earlier=True,
    text_start=3,
    text_end=4,
    model="m",
    attempt=0,
    outcome=Outcome.BEST_SEEN,
    confidence=0.5,
    ceiling=Ceiling.COST,
    cost_nano_usd=9,
    error_reason="INTERNAL",
    supporting_attempts=(1,),
    stop_detail="enough",
)
RISK = RiskCertificate(wrong_max=0.1, confidence=0.9, threshold=0.8, calibration="cal", questions=5)
COMPLETION = Completion(
    decision_id="d",
    text="t",
    model="m",
    attempt=1,
    outcome=Outcome.BEST_SEEN,
    confidence=0.5,
    ceiling=Ceiling.TIME,
    finish_reason=FinishReason.LENGTH,
    attempts=(SUMMARY,),
    usage=USAGE,
    cost_nano_usd=11,
    timing=Timing(queue_s=0.125, inference_s=0.25, total_s=0.5),
    trace_id="f" * 32,
    policy_hash="abc",
    incomplete=True,
    supporting_attempts=(0,),
    stop_detail="enough",
    policy_kind=PolicyKind.VALUE,
    answer_worth_nano_usd=3,
    parts=(PART,),
    risk=RISK,
)
EVENTS: list[CascadeEvent] = [
    Decomposed(decision_id="d", parts=(Part(label="1.", text="t", needs_earlier=True),), splitter="rules", reason="r", cost_nano_usd=3),
    Routed(
        decision_id="d",
        plan=PLAN,
        static_plan=True,
        policy="p",
        threshold=0.5,
        delivery=DeliveryMode.SPECULATIVE,
        policy_kind=PolicyKind.VALUE,
        answer_worth_nano_usd=3,
        part=0,
        risk=RISK,
    ),
    AttemptStarted(attempt=1, tier=2, model="m", part=0),
    Delta(attempt=1, sequence=2, text="t"),
    Judged(attempt=1, verdict=VERDICT, accepted=True),
    Committed(attempt=1, through_sequence=2),
    Retracted(attempt=1, from_sequence=2),
    Escalated(
        from_attempt=1,
        reason=EscalationReason.TIMEOUT,
        confidence=0.5,
        threshold=0.5,
        next_model="m",
        detail="slow",
        expected_gain=0.5,
        price=0.25,
    ),
    Completed(completion=COMPLETION),
]
DECISION = Decision(
    decision_id="d",
    create_time=NOW,
    status=DecisionStatus.COMPLETED,
    prompt_sha256="a" * 64,
    prompt_json="[]",
    plan=PLAN,
    policy="p",
    threshold=0.5,
    delivery=DeliveryMode.SPECULATIVE,
    attempts=(RecordedAttempt(summary=SUMMARY, verdict=VERDICT, text_sha256="b" * 64, text="t"),),
    completion=COMPLETION,
    error_reason="INTERNAL",
    trace_id="f" * 32,
    key_id="k",
    feedback=(Feedback(correct=False, rating=0.5, source="s", create_time=NOW),),
    policy_kind=PolicyKind.VALUE,
    answer_worth_nano_usd=3,
    parts=(RecordedPart(label="1.", needs_earlier=True, text_sha256="c" * 64, text="t", plan=PLAN),),
    risk=RISK,
)


NEVER_ASKED_FOR = {"explain", "weighed"}
"""Fields of the router's contract that the cascade has no use for: the numbers behind a plan are for people."""


def unset(message: Any, path: str = "") -> list[str]:
    """Paths of all fields, at any depth, that are not set; oneof members that another one excludes do not count."""
    missing: list[str] = []
    for field in message.DESCRIPTOR.fields:
        if field.name in NEVER_ASKED_FOR:
            continue
        where = f"{path}.{field.name}"
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.full_name.startswith("google.protobuf."):
            missing += [] if message.HasField(field.name) else [where]
        elif field.is_repeated:
            missing += [] if len(value) else [where]
            missing += [entry for item in value if field.message_type is not None for entry in unset(item, where)]
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            in_oneof = field.containing_oneof is not None
            if message.HasField(field.name):
                missing += unset(value, where)
            elif not in_oneof:
                missing.append(where)
        elif not value and not (field.has_presence and message.HasField(field.name)):
            missing.append(where)
    return missing


def test_every_event_of_the_union_is_here() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(CascadeEvent))
    on_the_wire = {field.name for field in cascade_service_pb2.StreamCompleteResponse.DESCRIPTOR.oneofs_by_name["event"].fields}
    assert {event_to_wire(event).WhichOneof("event") for event in EVENTS} == on_the_wire


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_fill_every_field(event: CascadeEvent) -> None:
    assert unset(event_to_wire(event)) == []


def test_quotas_fill_every_field() -> None:
    account = Account(
        scope="key:k",
        limits=Limits(requests_per_minute=1, tokens_per_minute=2, cost_max_nano_usd_per_day=3, concurrent_requests=4),
        requests_until_ns=60 * 10**9,
        tokens_until_ns=120 * 10**9,
        running=1,
        cost_held_nano_usd=2,
        day="1970-01-01",
        requests_today=3,
        tokens_today=4,
        cost_today_nano_usd=5,
    )
    wire = quota_to_wire(account, now_ns=0)
    assert unset(wire) == []
    assert (wire.requests_used, wire.tokens_used) == (1, 4)
    assert unset(quota_to_wire(Account(scope="service"), now_ns=0)) != [], "no limit is told apart from a limit of 0"


def test_a_limit_is_named_with_its_figures() -> None:
    exceeded = Exceeded(scope="service", limit=Limit.COST, value=10, used=9, retry_after_s=2.5)
    spec, message = error_table().describe(LimitReached(exceeded))
    assert (spec.code, spec.reason, spec.retry_after_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED", 2.5)
    assert [(violation.subject, violation.description) for violation in spec.quota_violations] == [
        ("service/cost_max_nano_usd_per_day", "9 of 10 are used")
    ]
    assert "service" in message


def test_decisions_fill_every_field() -> None:
    assert unset(decision_to_wire(DECISION)) == []


def test_what_is_absent_stays_absent() -> None:
    bare = replace(SUMMARY, escalation_reason=None, confidence=None, time_to_first_chunk_s=None)
    attempt = RecordedAttempt(summary=bare, verdict=None, text_sha256="", text=None)
    wire = decision_to_wire(replace(DECISION, attempts=(attempt,)))
    summary = wire.attempts[0].summary
    assert not summary.HasField("confidence")
    assert not summary.HasField("time_to_first_chunk")
    assert summary.escalation_reason == event_pb2.ESCALATION_REASON_UNSPECIFIED
    assert not wire.attempts[0].HasField("verdict")
    assert not wire.attempts[0].HasField("text")


def test_plans_and_verdicts_survive_both_ways() -> None:
    assert plan_to_wire(PLAN) == full_plan()
    assert verdict_from_wire(verdict_to_wire(VERDICT)) == VERDICT
    assert unset(full_plan()) == []


def test_models_fill_every_field() -> None:
    price = Price(input_nano_usd_per_mtok=1, output_nano_usd_per_mtok=2, cached_input_nano_usd_per_mtok=3)
    usable = configured("m", price, capabilities=frozenset({"seed"}))
    disabled = configured("m", price, capabilities=frozenset({"seed"}), disabled_reason="no key")
    assert unset(model_to_wire(usable)) == [".disabled_reason"]
    assert unset(model_to_wire(disabled)) == [".enabled"]


def test_questions_to_router_and_judge_fill_every_field() -> None:
    params = GenerationParams(max_output_tokens=5, temperature=0.5, top_p=0.5, seed=1, stop=("x",))
    constraints = Constraints(
        attempt_cost_max_nano_usd=1,
        allow_models=("a",),
        deny_models=("b",),
        required_capabilities=("seed",),
        models_max=2,
        suitability_min=0.5,
        answer_worth_nano_usd=3,
    )
    route = route_request_to_wire(RouteQuestion(messages=QUESTION, params=params, constraints=constraints))
    assert unset(route) == []
    assert isinstance(route, router_service_pb2.RouteRequest)
    logprobs = LogprobSummary(tokens=1, mean=-0.5, min=-1.0, share_uncertain=0.5, first=-0.25)
    candidate = Answer(id="1", text="t", model="m", finish_reason=FinishReason.STOP, logprobs=logprobs, predicted_quality=0.5)
    judge = judge_request_to_wire(
        JudgeQuestion(
            messages=QUESTION,
            candidate=candidate,
            peers=(candidate,),
            output=OutputContract(kind=OutputKind.JSON, json_schema="{}"),
            accept_threshold=0.5,
            cost_max_nano_usd=3,
        )
    )
    assert unset(judge) == [".panel.judges"], "the whole panel is asked"
    assert isinstance(judge, judge_service_pb2.JudgeRequest)
    output = OutputContract(kind=OutputKind.JSON, json_schema="{}")
    joint = joint_request_to_wire(JointQuestion(messages=QUESTION, candidates=(candidate,), output=output, judges=("checks",)))
    assert unset(joint) == [".peers", ".panel.accept_threshold"], "each is compared with the others, and there is no early stop"
    assert joint.panel.HasField("cost_max_nano_usd")


def test_open_parameters_stay_open() -> None:
    route = route_request_to_wire(RouteQuestion(messages=QUESTION, params=GenerationParams(), constraints=Constraints()))
    assert not route.params.ListFields()
    assert not route.constraints.ListFields()


@pytest.mark.parametrize(
    "verdict",
    [
        verdict_pb2.Verdict(confidence=1.5),
        verdict_pb2.Verdict(confidence=float("nan")),
        verdict_pb2.Verdict(confidence=0.5, disagreement=-0.1),
        verdict_pb2.Verdict(confidence=0.5, cost_nano_usd=-1),
        verdict_pb2.Verdict(confidence=0.5, outcomes=[verdict_pb2.JudgeOutcome(judge="j")]),
    ],
)
def test_verdicts_out_of_bounds_are_not_understood(verdict: verdict_pb2.Verdict) -> None:
    with pytest.raises(NotUnderstood):
        verdict_from_wire(verdict)


def test_enum_values_of_a_newer_peer_are_not_understood() -> None:
    verdict = verdict_pb2.Verdict(confidence=0.5)
    verdict.defects.append(99)  # pyright: ignore[reportArgumentType] - a number that this version has no name for
    with pytest.raises(NotUnderstood):
        verdict_from_wire(verdict)


def _concrete_errors() -> list[type[domain_errors.CascadeError]]:
    abstract = {domain_errors.CascadeError, domain_errors.ProviderRefusal}
    return [
        kind
        for kind in vars(domain_errors).values()
        if isinstance(kind, type) and issubclass(kind, domain_errors.CascadeError) and kind not in abstract
    ]


ERRORS: dict[type[domain_errors.CascadeError], domain_errors.CascadeError] = {
    domain_errors.RouterUnavailable: domain_errors.RouterUnavailable("down"),
    domain_errors.RouterRejected: domain_errors.RouterRejected("bad", reason="INVALID_FIELD", status=None),
    domain_errors.EmptyPlan: domain_errors.EmptyPlan((ExcludedModel(model="m", cause=ExclusionCause.DENIED),)),
    domain_errors.JudgeUnavailable: domain_errors.JudgeUnavailable("down"),
    domain_errors.AllAttemptsFailed: domain_errors.AllAttemptsFailed({"m": "timeout"}),
    domain_errors.PolicyNotCalibrated: domain_errors.PolicyNotCalibrated("p", certified="cal-0", found="cal-1"),
    domain_errors.DeadlinePassed: domain_errors.DeadlinePassed({"m": "timeout"}),
    domain_errors.CeilingTooLow: domain_errors.CeilingTooLow(Ceiling.COST, "too dear"),
    domain_errors.ProviderAuthentication: domain_errors.ProviderAuthentication("m", "no"),
    domain_errors.ProviderRejected: domain_errors.ProviderRejected("m", "no"),
    domain_errors.PromptForbidden: domain_errors.PromptForbidden("m", "no"),
    LimitReached: LimitReached(
        Exceeded(scope="key:k", limit=Limit.REQUESTS, value=1, used=1, retry_after_s=1.0),
    ),
    domain_errors.StoreUnavailable: domain_errors.StoreUnavailable("down"),
    domain_errors.DecisionNotFound: domain_errors.DecisionNotFound("d"),
}


def test_every_error_has_a_row_and_a_reason_of_the_contract() -> None:
    assert {*_concrete_errors(), LimitReached} == set(ERRORS)
    table = error_table()
    for error in ERRORS.values():
        spec, message = table.describe(error)
        assert spec.reason == error.reason
        assert message == str(error)
        assert f"ERROR_REASON_{spec.reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - protobuf's wrapper is no mapping
        assert spec.reason in set(Reason)


def test_the_details_of_errors_name_what_is_at_fault() -> None:
    table = error_table()
    spec, _ = table.describe(ERRORS[domain_errors.CeilingTooLow])
    assert [violation.subject for violation in spec.quota_violations] == ["cost"]
    spec, _ = table.describe(ERRORS[domain_errors.EmptyPlan])
    assert [(violation.type, violation.subject) for violation in spec.precondition_violations] == [("CAUSE_DENIED", "m")]
    spec, _ = table.describe(ERRORS[domain_errors.AllAttemptsFailed])
    assert spec.metadata == {"m": "timeout"}


def test_the_routers_rejection_passes_through_under_the_callers_field() -> None:
    status = RemoteStatus(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        message="bad",
        reason="UNKNOWN_MODEL",
        metadata={"a": "b"},
        field_violations=(FieldViolation("constraints.allow_models[0]", "is unknown"),),
    )
    rejected = domain_errors.RouterRejected("bad", reason="UNKNOWN_MODEL", status=status)
    spec, _ = error_table().describe(rejected)
    assert (spec.code, spec.reason, spec.metadata) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_MODEL", {"a": "b"})
    spec, _ = error_table().describe(under_field(rejected, "request"))
    assert [violation.field for violation in spec.field_violations] == ["request.constraints.allow_models[0]"]


def test_domain_dataclasses_have_no_field_without_a_place_on_the_wire() -> None:
    pairs: list[tuple[type[Any], Any]] = [
        (Completion, event_pb2.Completion),
        (AttemptSummary, event_pb2.AttemptSummary),
        (Hedge, event_pb2.Hedge),
        (PartSummary, event_pb2.PartSummary),
        (RecordedPart, decision_pb2.RecordedPart),
        (Routed, event_pb2.Routed),
        (Escalated, event_pb2.Escalated),
        (Verdict, verdict_pb2.Verdict),
        (JudgeOutcome, verdict_pb2.JudgeOutcome),
        (Plan, plan_pb2.Plan),
        (Decision, decision_pb2.Decision),
        (Usage, usage_pb2.Usage),
    ]
    for domain, wire in pairs:
        ours = {field.name.removesuffix("_s") for field in fields(domain)}
        assert ours == set(wire.DESCRIPTOR.fields_by_name) - NEVER_ASKED_FOR, domain.__name__
