"""Protobuf to domain and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import grpc
from emafusion.common.v1 import chat_pb2, error_reason_pb2, usage_pb2
from emafusion.judge.v1 import judge_service_pb2, verdict_pb2
from google.protobuf.duration_pb2 import Duration

from judge_service.domain.candidates import AnswerForm, Candidate, Case, Contract, Ending, LogprobFigures, Speaker, Turn
from judge_service.domain.panel import PanelRequest
from judge_service.domain.verdicts import Defect, JudgeOutcome, NoVerdict, Status, TokenUsage, Verdict
from servicekit.rich_status import code_number

_SPEAKERS = {chat_pb2.ROLE_SYSTEM: Speaker.SYSTEM, chat_pb2.ROLE_USER: Speaker.USER, chat_pb2.ROLE_ASSISTANT: Speaker.ASSISTANT}
_ENDINGS = {
    usage_pb2.FINISH_REASON_UNSPECIFIED: Ending.UNKNOWN,
    usage_pb2.FINISH_REASON_STOP: Ending.STOP,
    usage_pb2.FINISH_REASON_LENGTH: Ending.LENGTH,
    usage_pb2.FINISH_REASON_CONTENT_FILTER: Ending.CONTENT_FILTER,
}
_FORMS = {
    chat_pb2.OutputContract.KIND_UNSPECIFIED: AnswerForm.ANY,
    chat_pb2.OutputContract.KIND_JSON: AnswerForm.JSON,
    chat_pb2.OutputContract.KIND_PYTHON: AnswerForm.PYTHON,
    chat_pb2.OutputContract.KIND_CHOICE: AnswerForm.CHOICE,
    chat_pb2.OutputContract.KIND_NUMBER: AnswerForm.NUMBER,
}
_DEFECTS = {
    Defect.EMPTY: verdict_pb2.DEFECT_EMPTY,
    Defect.TRUNCATED: verdict_pb2.DEFECT_TRUNCATED,
    Defect.REFUSED: verdict_pb2.DEFECT_REFUSED,
    Defect.MALFORMED: verdict_pb2.DEFECT_MALFORMED,
    Defect.DEGENERATE: verdict_pb2.DEFECT_DEGENERATE,
}
_STATUSES = {
    Status.SCORED: verdict_pb2.JudgeOutcome.STATUS_SCORED,
    Status.ABSTAINED: verdict_pb2.JudgeOutcome.STATUS_ABSTAINED,
    Status.FAILED: verdict_pb2.JudgeOutcome.STATUS_FAILED,
    Status.TIMED_OUT: verdict_pb2.JudgeOutcome.STATUS_TIMED_OUT,
    Status.SKIPPED: verdict_pb2.JudgeOutcome.STATUS_SKIPPED,
}


def panel_request(request: judge_service_pb2.JudgeRequest, *, deadline_s: float) -> PanelRequest:
    """A validated request in the domain's terms. Each candidate is compared with all other candidates and the peers."""
    conversation = tuple(Turn(_SPEAKERS[message.role], message.content) for message in request.messages)
    candidates = tuple(_candidate(candidate) for candidate in request.candidates)
    peers = tuple(_candidate(peer) for peer in request.peers)
    contract = Contract(form=_FORMS[request.output.kind], json_schema=request.output.json_schema)
    cases = tuple(
        Case(
            conversation=conversation,
            candidate=candidate,
            others=(*candidates[:position], *candidates[position + 1 :], *peers),
            contract=contract,
        )
        for position, candidate in enumerate(candidates)
    )
    panel = request.panel
    return PanelRequest(
        cases=cases,
        deadline_s=deadline_s,
        judges=tuple(panel.judges),
        accept_threshold=panel.accept_threshold if panel.HasField("accept_threshold") else None,
        cost_max_nano_usd=panel.cost_max_nano_usd if panel.HasField("cost_max_nano_usd") else None,
    )


def _candidate(candidate: judge_service_pb2.Candidate) -> Candidate:
    return Candidate(
        id=candidate.id,
        text=candidate.text,
        model=candidate.model,
        ending=_ENDINGS[candidate.finish_reason],
        logprobs=_figures(candidate.logprobs) if candidate.HasField("logprobs") else None,
        predicted_quality=candidate.predicted_quality if candidate.HasField("predicted_quality") else None,
    )


def _figures(summary: usage_pb2.LogprobSummary) -> LogprobFigures:
    return LogprobFigures(
        tokens=summary.tokens, mean=summary.mean, minimum=summary.min, share_uncertain=summary.share_uncertain, first=summary.first
    )


def candidate_outcome(candidate_id: str, result: Verdict | NoVerdict) -> judge_service_pb2.CandidateOutcome:
    """The verdict, or UNAVAILABLE / JUDGE_UNAVAILABLE with the cause by judge."""
    match result:
        case Verdict():
            return judge_service_pb2.CandidateOutcome(candidate_id=candidate_id, verdict=verdict_to_wire(result))
        case NoVerdict():
            return judge_service_pb2.CandidateOutcome(candidate_id=candidate_id, error=_no_verdict(result))
        case _:
            assert_never(result)


def verdict_to_wire(verdict: Verdict) -> verdict_pb2.Verdict:
    """A verdict as protobuf."""
    return verdict_pb2.Verdict(
        confidence=verdict.confidence,
        disagreement=verdict.disagreement,
        outcomes=[judge_outcome(outcome) for outcome in verdict.outcomes],
        defects=[_DEFECTS[defect] for defect in verdict.defects],
        stopped_early=verdict.stopped_early,
        evidence=verdict.evidence,
        calibration=verdict.calibration,
        cost_nano_usd=verdict.cost_nano_usd,
    )


def judge_outcome(outcome: JudgeOutcome) -> verdict_pb2.JudgeOutcome:
    """What came of one judge, as protobuf."""
    return verdict_pb2.JudgeOutcome(
        judge=outcome.judge,
        status=_STATUSES[outcome.status],
        score=outcome.score,
        explanation=outcome.explanation,
        criteria=[verdict_pb2.CriterionScore(criterion=name, score=score) for name, score in outcome.criteria],
        defects=[_DEFECTS[defect] for defect in outcome.defects],
        duration=duration(outcome.duration_s),
        cost_nano_usd=outcome.cost_nano_usd,
        usage=_usage(outcome.usage),
        same_answer_as=outcome.same_answer_as,
    )


def duration(seconds: float) -> Duration:
    """``seconds`` as protobuf, never negative."""
    message = Duration()
    message.FromNanoseconds(max(round(seconds * 1e9), 0))
    return message


def _usage(usage: TokenUsage) -> usage_pb2.Usage | None:
    if usage == TokenUsage():
        return None
    return usage_pb2.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        estimated=usage.estimated,
    )


def _no_verdict(result: NoVerdict) -> error_reason_pb2.ItemError:
    return error_reason_pb2.ItemError(
        code=code_number(grpc.StatusCode.UNAVAILABLE),
        reason=error_reason_pb2.ERROR_REASON_JUDGE_UNAVAILABLE,
        message=f"no judge gave a score: {_causes(result.outcomes)}",
        metadata={outcome.judge: f"{outcome.status.value}: {outcome.explanation}" for outcome in result.outcomes},
    )


def _causes(outcomes: Sequence[JudgeOutcome]) -> str:
    return ", ".join(f"{outcome.judge} {outcome.status.value}" for outcome in outcomes)
