"""What the client says and understands of value policies."""

from __future__ import annotations

from emafusion.cascade.v1 import cascade_service_pb2, decision_pb2, event_pb2
from emafusion.judge.v1 import verdict_pb2
from emafusion_client import Question
from emafusion_client.decode import verdict
from emafusion_client.decode_cascade import completion, decision, event
from emafusion_client.encode import complete_request, judge_request
from emafusion_client.events import Escalated, Routed
from emafusion_client.requests import Candidate, JudgeQuestion, Message
from emafusion_client.vocabulary import PolicyKind, Role

Response = cascade_service_pb2.StreamCompleteResponse
VALUE = event_pb2.POLICY_KIND_VALUE


def test_the_dial_is_sent_only_when_it_is_set() -> None:
    plain = Question.of("hello")
    assert not complete_request(plain).HasField("answer_worth_nano_usd")
    asked = Question(messages=plain.messages, policy="dial", answer_worth_nano_usd=50_000_000)
    assert complete_request(asked).answer_worth_nano_usd == 50_000_000


def test_a_prediction_goes_to_the_judges_with_its_candidate() -> None:
    message = Message(Role.USER, "hello")
    candidates = (Candidate(id="a", text="x", predicted_quality=0.0), Candidate(id="b", text="y"))
    sent = judge_request(JudgeQuestion(messages=(message,), candidates=candidates)).candidates
    assert [candidate.HasField("predicted_quality") for candidate in sent] == [True, False]


def test_gains_and_prices_are_understood() -> None:
    routed = event(Response(routed=event_pb2.Routed(policy_kind=VALUE, answer_worth_nano_usd=3)))
    assert isinstance(routed, Routed)
    assert (routed.policy_kind, routed.answer_worth_nano_usd) == (PolicyKind.VALUE, 3)
    escalated = event(Response(escalated=event_pb2.Escalated(expected_gain=0.0, price=0.25)))
    assert isinstance(escalated, Escalated)
    assert (escalated.expected_gain, escalated.price) == (0.0, 0.25)
    bare = event(Response(escalated=event_pb2.Escalated()))
    assert isinstance(bare, Escalated)
    assert (bare.expected_gain, bare.price) == (None, None)


def test_the_end_and_the_record_say_what_was_weighed() -> None:
    attempts = [event_pb2.AttemptSummary(expected_gain=-0.5, price=0.25), event_pb2.AttemptSummary()]
    ended = event_pb2.Completion(
        attempts=attempts, supporting_attempts=[1], stop_detail="enough", policy_kind=VALUE, answer_worth_nano_usd=3
    )
    found = completion(ended)
    assert (found.supporting_attempts, found.stop_detail, found.policy_kind, found.answer_worth_nano_usd) == (
        (1,),
        "enough",
        PolicyKind.VALUE,
        3,
    )
    assert [(attempt.expected_gain, attempt.price) for attempt in found.attempts] == [(-0.5, 0.25), (None, None)]
    kept = decision(decision_pb2.Decision(policy_kind=VALUE, answer_worth_nano_usd=3))
    assert (kept.policy_kind, kept.answer_worth_nano_usd) == (PolicyKind.VALUE, 3)


def test_who_says_the_same_is_understood() -> None:
    outcome = verdict_pb2.JudgeOutcome(judge="agreement", same_answer_as=["attempt-0"])
    assert verdict(verdict_pb2.Verdict(outcomes=[outcome])).outcomes[0].same_answer_as == ("attempt-0",)
