"""The judge service over a real channel."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from emafusion.common.v1 import error_reason_pb2, usage_pb2
from emafusion.judge.v1 import judge_service_pb2, verdict_pb2

from judge_service.domain.rubric import CRITERIA
from providers.errors import ServerFault
from providers.port import Chunk, Finished, FinishReason, Price, Usage
from servicekit.settings.judge import JudgeSettings
from tests.support.judge_server import LOCAL, RUBRIC, judge_request, judge_settings, judging
from tests.support.models import Gate, ScriptedModel, says

Outcome = verdict_pb2.JudgeOutcome
GOOD = json.dumps(dict.fromkeys(CRITERIA, 0.9))


def reply(text: str) -> tuple[Chunk, Finished]:
    """A whole reply as steps of a script."""
    return Chunk(text=text), Finished(finish_reason=FinishReason.STOP, usage=Usage(), cost_nano_usd=0)


async def test_one_outcome_per_candidate_in_the_order_of_the_request(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        response = await stub.Judge(judge_request("Paris", "", "It is Paris."))
    assert [outcome.candidate_id for outcome in response.outcomes] == ["c0", "c1", "c2"]
    first, empty, third = (outcome.verdict for outcome in response.outcomes)
    assert first.confidence > 0.5 > empty.confidence
    assert first.confidence == third.confidence
    assert list(empty.defects) == [verdict_pb2.DEFECT_EMPTY]
    assert first.evidence == "checks+agreement"
    assert first.calibration.startswith("test-")
    assert response.timing.total.ToNanoseconds() >= response.timing.inference.ToNanoseconds() > 0


async def test_a_judge_that_abstains_says_why(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        response = await stub.Judge(judge_request("Paris"))
    outcomes = {outcome.judge: outcome for outcome in response.outcomes[0].verdict.outcomes}
    assert outcomes["confidence"].status == outcomes["agreement"].status == Outcome.STATUS_ABSTAINED
    assert not outcomes["confidence"].HasField("score")
    assert outcomes["confidence"].explanation == "no log-probabilities"


async def test_log_probabilities_and_peers_are_evidence(tmp_path: Path) -> None:
    request = judge_request("Paris", peers=[judge_service_pb2.Candidate(id="p", text="paris")])
    request.candidates[0].logprobs.CopyFrom(usage_pb2.LogprobSummary(tokens=2, mean=-0.1, min=-0.2, share_uncertain=0.0, first=-0.2))
    async with judging(judge_settings(tmp_path)) as stub:
        response = await stub.Judge(request)
    assert response.outcomes[0].verdict.evidence == "checks+agreement+confidence"


async def test_the_language_models_criteria_cost_and_usage_are_reported(tmp_path: Path) -> None:
    model = ScriptedModel("big", says(GOOD, input_tokens=120, output_tokens=40))
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), model) as stub:
        verdict = (await stub.Judge(judge_request("Paris"))).outcomes[0].verdict
    llm = verdict.outcomes[-1]
    assert llm.status == Outcome.STATUS_SCORED
    assert [entry.criterion for entry in llm.criteria] == list(CRITERIA)
    assert (llm.usage.input_tokens, llm.usage.output_tokens) == (120, 40)
    model.assert_script_done()


async def test_every_judge_failed_is_an_error_of_the_candidate(tmp_path: Path) -> None:
    model = ScriptedModel("big", ServerFault("boom", model="big"), says(GOOD))
    async with judging(judge_settings(tmp_path, (RUBRIC,)), model) as stub:
        response = await stub.Judge(judge_request("Paris", "Lyon"))
    kinds = sorted(str(outcome.WhichOneof("outcome")) for outcome in response.outcomes)
    assert kinds == ["error", "verdict"]
    error = next(outcome.error for outcome in response.outcomes if outcome.HasField("error"))
    assert error.code == grpc.StatusCode.UNAVAILABLE.value[0]  # pyright: ignore[reportUnknownMemberType] grpc's enumeration is not typed
    assert error.reason == error_reason_pb2.ERROR_REASON_JUDGE_UNAVAILABLE
    assert "server_error" in error.metadata["llm"]


async def test_a_threshold_allows_an_early_stop(tmp_path: Path) -> None:
    model = ScriptedModel("big")
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), model) as stub:
        verdict = (await stub.Judge(judge_request("", panel=judge_service_pb2.Panel(accept_threshold=0.7)))).outcomes[0].verdict
    assert verdict.stopped_early
    assert verdict.outcomes[-1].status == Outcome.STATUS_SKIPPED
    assert model.requests == []


async def test_a_cost_ceiling_of_nothing_skips_judges_that_cost(tmp_path: Path) -> None:
    priced = ScriptedModel("big", price=Price(input_nano_usd_per_mtok=10**9, output_nano_usd_per_mtok=10**9))
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), priced) as stub:
        verdict = (await stub.Judge(judge_request("Paris", panel=judge_service_pb2.Panel(cost_max_nano_usd=0)))).outcomes[0].verdict
    assert verdict.outcomes[-1].status == Outcome.STATUS_SKIPPED
    assert "ceiling" in verdict.outcomes[-1].explanation
    assert not verdict.stopped_early
    assert priced.requests == []


async def test_only_the_judges_asked_for(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        verdict = (await stub.Judge(judge_request("Paris", panel=judge_service_pb2.Panel(judges=["checks"])))).outcomes[0].verdict
    assert [outcome.judge for outcome in verdict.outcomes] == ["checks"]


async def test_the_stream_has_judges_then_outcomes_then_completed(tmp_path: Path) -> None:
    request = judge_service_pb2.StreamJudgeRequest(request=judge_request("Paris", "Lyon"))
    async with judging(judge_settings(tmp_path)) as stub:
        messages = [message async for message in stub.StreamJudge(request)]
    kinds = [str(message.WhichOneof("event")) for message in messages]
    assert kinds == ["spoke"] * 6 + ["outcome"] * 2 + ["completed"]
    assert [message.outcome.candidate_id for message in messages if message.HasField("outcome")] == ["c0", "c1"]
    spoken = sorted((message.spoke.candidate_id, message.spoke.outcome.judge) for message in messages if message.HasField("spoke"))
    assert spoken == sorted((candidate, judge) for candidate in ("c0", "c1") for judge in ("checks", "agreement", "confidence"))


async def test_quick_judges_are_heard_while_a_slow_one_thinks(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel("big", (gate, *reply(GOOD)))
    request = judge_service_pb2.StreamJudgeRequest(request=judge_request("Paris"))
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), model) as stub:
        call = stub.StreamJudge(request)
        heard = {(await anext(aiter(call))).spoke.outcome.judge for _ in range(3)}
        assert heard == {"checks", "agreement", "confidence"}
        gate.opened.set()
        rest = [message async for message in call]
    assert [str(message.WhichOneof("event")) for message in rest] == ["spoke", "outcome", "completed"]


async def test_a_caller_that_leaves_stops_the_language_model(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedModel("big", (gate,))
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), model) as stub:
        call = stub.Judge(judge_request("Paris"))
        await gate.reached.wait()
        call.cancel()
        await model.early_close.wait()
    assert model.closed_early == 1


async def test_list_judges(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), ScriptedModel("big")) as stub:
        response = await stub.ListJudges(judge_service_pb2.ListJudgesRequest())
    assert [(judge.name, judge.kind, judge.model, judge.enabled) for judge in response.judges] == [
        ("checks", "checks", "", True),
        ("agreement", "agreement", "", True),
        ("confidence", "confidence", "", True),
        ("llm", "llm", "big", True),
    ]
    assert response.calibration.startswith("test-")


async def test_an_answer_with_control_characters_is_judged(tmp_path: Path) -> None:
    async with judging(judge_settings(tmp_path)) as stub:
        response = await stub.Judge(judge_request("Par\x00is\x1b[31m"))
    assert response.outcomes[0].HasField("verdict")


@pytest.mark.parametrize("number", [1, 16])
async def test_as_many_candidates_as_allowed(tmp_path: Path, number: int) -> None:
    assert JudgeSettings().candidates_max == 16
    async with judging(judge_settings(tmp_path)) as stub:
        response = await stub.Judge(judge_request(*["Paris"] * number))
    assert len(response.outcomes) == number
