"""The judge service as the cascade's judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import structlog
from emafusion.judge.v1 import judge_service_pb2, judge_service_pb2_grpc

from cascade_service.adapters.judge_room import JudgeRoom
from cascade_service.adapters.wire import NotUnderstood, verdict_from_wire
from cascade_service.domain.errors import JudgeUnavailable
from cascade_service.domain.ports import JointQuestion, JudgeQuestion
from cascade_service.domain.verdict import Verdict
from servicekit.errors import read_status

if TYPE_CHECKING:
    from emafusion.judge.v1.judge_service_pb2_grpc import JudgeServiceAsyncStub

_log = structlog.get_logger(__name__)


class JudgeOverGrpc:
    """Asks the judge service, with no more than its ``room``. A cancelled caller cancels the call."""

    def __init__(self, channel: grpc.aio.Channel, room: JudgeRoom) -> None:
        self._room = room
        self._stub: JudgeServiceAsyncStub = judge_service_pb2_grpc.JudgeServiceStub(channel)

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        """The panel's verdict on the candidate. Raises ``JudgeUnavailable``, whatever went wrong: no verdict is no verdict."""
        (verdict,) = await self._ask(self._room.request(question), timeout_s=timeout_s)
        if isinstance(verdict, _NoVerdict):
            raise JudgeUnavailable(f"the panel has no verdict: {verdict.why}")
        return verdict

    async def judge_all(self, question: JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        """The panel's verdict on each candidate, None where it has none. Raises ``JudgeUnavailable``, whatever went wrong."""
        verdicts = await self._ask(self._room.joint_request(question), timeout_s=timeout_s)
        return tuple(None if isinstance(verdict, _NoVerdict) else verdict for verdict in verdicts)

    async def _ask(self, request: judge_service_pb2.JudgeRequest, *, timeout_s: float) -> tuple[Verdict | _NoVerdict, ...]:
        try:
            response = await self._stub.Judge(request, timeout=timeout_s)
            return tuple(_verdict(response, candidate.id) for candidate in request.candidates)
        except grpc.aio.AioRpcError as error:
            status = read_status(error)
            _log.warning("judge_unavailable", code=status.code.name, reason=status.reason, detail=status.message)
            raise JudgeUnavailable(f"the judge service did not answer: {status.reason or status.code.name}") from error
        except NotUnderstood as error:
            _log.warning("judge_not_understood", detail=str(error))
            raise JudgeUnavailable(f"the verdict can't be understood: {error}") from error


@dataclass(frozen=True, slots=True)
class _NoVerdict:
    """The panel has no verdict on a candidate, and why."""

    why: str


def _verdict(response: judge_service_pb2.JudgeResponse, candidate_id: str) -> Verdict | _NoVerdict:
    for outcome in response.outcomes:
        if outcome.candidate_id == candidate_id:
            return verdict_from_wire(outcome.verdict) if outcome.HasField("verdict") else _NoVerdict(outcome.error.message)
    raise NotUnderstood("it judges another candidate")
