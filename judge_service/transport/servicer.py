"""The gRPC face of the panel: validate, call, map."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, assert_never

import grpc
from emafusion.common.v1 import usage_pb2
from emafusion.judge.v1 import judge_service_pb2, judge_service_pb2_grpc

from judge_service.domain.panel import Panel, PanelRequest
from judge_service.domain.verdicts import Judged, Spoke
from judge_service.transport.mapping import candidate_outcome, duration, judge_outcome, panel_request
from judge_service.transport.validation import RequestRules
from servicekit.calls import queue_wait_s
from servicekit.deadline import remaining_s

ANSWER_MARGIN_S = 0.1
"""Kept back from the caller's deadline so that a verdict on time is also sent on time."""

DEADLINE_MIN_S = 0.05
"""The panel has at least this long, however little is left: judges that ask no model still answer."""

_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEntry:
    """A judge as `ListJudges` shows it. ``disabled_reason`` is empty when it can be asked."""

    name: str
    kind: str
    model: str
    disabled_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicerParts:
    """What the servicer works with. ``clock`` returns seconds, for durations only."""

    panel: Panel
    rules: RequestRules
    listed: Sequence[JudgeEntry]
    panel_deadline_s: float
    clock: Callable[[], float]


class JudgeServicer(judge_service_pb2_grpc.JudgeServiceServicer):
    """``emafusion.judge.v1.JudgeService``. Errors are raised; the interceptors map them."""

    def __init__(self, parts: ServicerParts) -> None:
        self._parts = parts

    async def Judge(self, request: judge_service_pb2.JudgeRequest, context: _Context) -> judge_service_pb2.JudgeResponse:  # noqa: N802 as in the contract
        """Judges all candidates."""
        self._parts.rules.check_judge(request)
        started = self._parts.clock()
        results = await self._parts.panel.judge(self._panel_request(request, context))
        outcomes = [candidate_outcome(asked.id, result) for asked, result in zip(request.candidates, results, strict=True)]
        return judge_service_pb2.JudgeResponse(outcomes=outcomes, timing=self._timing(started))

    async def StreamJudge(  # noqa: N802 as in the contract
        self, request: judge_service_pb2.StreamJudgeRequest, context: _Context
    ) -> AsyncGenerator[judge_service_pb2.StreamJudgeResponse, None]:
        """Streams what each judge says, then each verdict in the order of the request, then `completed`."""
        self._parts.rules.check_stream_judge(request)
        started = self._parts.clock()
        ids = [candidate.id for candidate in request.request.candidates]
        results: dict[int, judge_service_pb2.CandidateOutcome] = {}
        async with aclosing(self._parts.panel.stream(self._panel_request(request.request, context))) as events:
            async for event in events:
                match event:
                    case Spoke(position, outcome):
                        spoke = judge_service_pb2.JudgeSpoke(candidate_id=ids[position], outcome=judge_outcome(outcome))
                        yield judge_service_pb2.StreamJudgeResponse(spoke=spoke)
                    case Judged(position, result):
                        results[position] = candidate_outcome(ids[position], result)
                    case _:
                        assert_never(event)
        for position in range(len(ids)):
            yield judge_service_pb2.StreamJudgeResponse(outcome=results[position])
        yield judge_service_pb2.StreamJudgeResponse(completed=judge_service_pb2.JudgeCompleted(timing=self._timing(started)))

    async def ListJudges(self, request: judge_service_pb2.ListJudgesRequest, context: _Context) -> judge_service_pb2.ListJudgesResponse:  # noqa: N802 as in the contract
        """Lists the configured judges."""
        del request, context
        judges = [
            judge_service_pb2.JudgeInfo(
                name=entry.name,
                kind=entry.kind,
                model=entry.model,
                enabled=not entry.disabled_reason,
                disabled_reason=entry.disabled_reason,
            )
            for entry in self._parts.listed
        ]
        return judge_service_pb2.ListJudgesResponse(judges=judges, calibration=self._parts.panel.calibration.version)

    def _panel_request(self, request: judge_service_pb2.JudgeRequest, context: _Context) -> PanelRequest:
        deadline_s = min(self._parts.panel_deadline_s, remaining_s(context) - ANSWER_MARGIN_S)
        return panel_request(request, deadline_s=max(deadline_s, DEADLINE_MIN_S))

    def _timing(self, started: float) -> usage_pb2.Timing:
        judged_s, queue_s = self._parts.clock() - started, queue_wait_s()
        return usage_pb2.Timing(queue=duration(queue_s), inference=duration(judged_s), total=duration(queue_s + judged_s))
