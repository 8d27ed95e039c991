"""In-process servers that answer the client as told, and remember what they were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from emafusion.cascade.v1 import cascade_service_pb2 as cascade
from emafusion.cascade.v1 import cascade_service_pb2_grpc, decision_pb2, event_pb2, quota_pb2
from emafusion.common.v1 import error_reason_pb2
from emafusion.judge.v1 import judge_service_pb2 as judge
from emafusion.judge.v1 import judge_service_pb2_grpc, verdict_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2_grpc
from emafusion.router.v1 import router_service_pb2 as router
from emafusion_client import EmafusionClient
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs] - its .pyi files lie beside it, unmarked


class Failure:
    """An error that a fake answers with: status code, message and the details of a `google.rpc.Status`."""

    def __init__(self, code: grpc.StatusCode, message: str, details: Sequence[Any] = ()) -> None:
        self.code, self.message, self.details = code, message, details

    async def abort(self, context: Any) -> None:
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in self.details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        await context.abort(self.code, self.message, (("grpc-status-details-bin", status.SerializeToString()),))


class FakeCascade(cascade_service_pb2_grpc.CascadeServiceServicer):
    """Streams ``events``; fails the first calls with ``failures``; with ``hang`` waits after the events until it is cancelled."""

    def __init__(self) -> None:
        self.events: list[cascade.StreamCompleteResponse] = []
        self.failures: list[Failure] = []
        self.fail_at_end: Failure | None = None
        self.hang = False
        self.cancelled = asyncio.Event()
        self.requests: list[Any] = []
        self.deadlines: list[float | None] = []

    async def _seen(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.deadlines.append(context.time_remaining())
        if self.failures:
            await self.failures.pop(0).abort(context)

    async def Complete(self, request: cascade.CompleteRequest, context: Any) -> cascade.CompleteResponse:  # noqa: N802 - as generated
        await self._seen(request, context)
        return cascade.CompleteResponse(completion=completion("Paris"))

    async def StreamComplete(  # noqa: N802 - as generated
        self, request: cascade.StreamCompleteRequest, context: Any
    ) -> AsyncIterator[cascade.StreamCompleteResponse]:
        await self._seen(request, context)
        for event in self.events:
            yield event
        if self.hang:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        if self.fail_at_end:
            await self.fail_at_end.abort(context)

    async def SubmitFeedback(self, request: cascade.SubmitFeedbackRequest, context: Any) -> cascade.SubmitFeedbackResponse:  # noqa: N802
        await self._seen(request, context)
        return cascade.SubmitFeedbackResponse(feedback=request.feedback)

    async def GetDecision(self, request: cascade.GetDecisionRequest, context: Any) -> cascade.GetDecisionResponse:  # noqa: N802
        await self._seen(request, context)
        decision = decision_pb2.Decision(
            decision_id=request.decision_id,
            status=decision_pb2.DECISION_STATUS_COMPLETED,
            completion=completion(""),
            attempts=[decision_pb2.RecordedAttempt(summary=completion("").attempts[0], text_sha256="ab" * 32)],
        )
        decision.create_time.FromSeconds(1_700_000_000)
        return cascade.GetDecisionResponse(decision=decision)

    async def ListModels(self, request: cascade.ListModelsRequest, context: Any) -> cascade.ListModelsResponse:  # noqa: N802
        await self._seen(request, context)
        response = cascade.ListModelsResponse()
        response.models.add(name="small", provider="recorded", enabled=True, capabilities=["logprobs"]).price.input_nano_usd_per_mtok = 7
        response.models.add(name="large", provider="openai_compatible", disabled_reason="no key")
        return response

    async def ListQuotas(self, request: cascade.ListQuotasRequest, context: Any) -> cascade.ListQuotasResponse:  # noqa: N802
        await self._seen(request, context)
        limited: dict[str, Any] = {
            "requests_per_minute": 60,
            "requests_used": 3,
            "requests_running": 1,
            "cost_max_nano_usd_per_day": 2_000_000_000,
        }
        today: dict[str, Any] = {"day": "2026-11-22", "requests_today": 7, "tokens_today": 1_234, "cost_nano_usd_today": 500_000_000}
        return cascade.ListQuotasResponse(quotas=[quota_pb2.Quota(scope="key:web", **limited, **today), quota_pb2.Quota(scope="service")])


class FakeRouter(router_service_pb2_grpc.RouterServiceServicer):
    """Plans one model."""

    def __init__(self) -> None:
        self.requests: list[router.RouteRequest] = []

    async def Route(self, request: router.RouteRequest, context: Any) -> router.RouteResponse:  # noqa: N802 - as generated
        self.requests.append(request)
        response = router.RouteResponse(plan=plan())
        response.timing.total.FromMilliseconds(12)
        return response

    async def BatchRoute(self, request: Any, context: Any) -> router.BatchRouteResponse:  # noqa: N802 - as generated
        raise NotImplementedError

    async def ListModels(self, request: Any, context: Any) -> router.ListModelsResponse:  # noqa: N802 - as generated
        response = router.ListModelsResponse()
        response.models.add(name="routed", enabled=True)
        return response


class FakeJudge(judge_service_pb2_grpc.JudgeServiceServicer):
    """Has a verdict for every candidate but the one called `bad`."""

    async def Judge(self, request: judge.JudgeRequest, context: Any) -> judge.JudgeResponse:  # noqa: N802 - as generated
        response = judge.JudgeResponse()
        for candidate in request.candidates:
            outcome = response.outcomes.add(candidate_id=candidate.id)
            if candidate.id == "bad":
                outcome.error.code, outcome.error.message = 14, "every judge failed"
                outcome.error.reason = error_reason_pb2.ERROR_REASON_JUDGE_UNAVAILABLE
            else:
                outcome.verdict.CopyFrom(verdict(0.75))
        return response

    async def StreamJudge(self, request: Any, context: Any) -> AsyncIterator[judge.StreamJudgeResponse]:  # noqa: N802 - as generated
        raise NotImplementedError
        yield judge.StreamJudgeResponse()

    async def ListJudges(self, request: Any, context: Any) -> judge.ListJudgesResponse:  # noqa: N802 - as generated
        response = judge.ListJudgesResponse(calibration="v1")
        response.judges.add(name="checks", kind="checks", enabled=True)
        return response


class Fakes:
    """The three fakes and a client that speaks to them."""

    def __init__(self) -> None:
        self.cascade, self.router, self.judge = FakeCascade(), FakeRouter(), FakeJudge()
        self.target = ""


@asynccontextmanager
async def serving() -> AsyncGenerator[Fakes]:
    """Fakes that serve on a free port until the block is left."""
    fakes, server = Fakes(), grpc.aio.server()
    cascade_service_pb2_grpc.add_CascadeServiceServicer_to_server(fakes.cascade, server)
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(fakes.router, server)
    judge_service_pb2_grpc.add_JudgeServiceServicer_to_server(fakes.judge, server)
    fakes.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield fakes
    finally:
        await server.stop(grace=None)


@asynccontextmanager
async def talking(fakes: Fakes) -> AsyncGenerator[EmafusionClient]:
    """A client of all three fakes."""
    async with EmafusionClient(cascade=fakes.target, router=fakes.target, judge=fakes.target) as client:
        yield client


def plan() -> plan_pb2.Plan:
    """A plan of one model, with one model left out."""
    result = plan_pb2.Plan(kind=plan_pb2.ROUTE_KIND_TAXONOMY, reasons=["cheapest first"], input_tokens=9, policy_hash="abc")
    result.models.add(model="small", predicted_quality=0.5, quality_stddev=0.1, predicted_cost_nano_usd=123)
    result.excluded.add(model="large", cause=plan_pb2.ExcludedModel.CAUSE_DISABLED, detail="no key")
    axis = result.taxonomy.axes.add(axis="domain", label="geography", probability=0.9)
    axis.distribution.add(label="geography", probability=0.9)
    axis.distribution.add(label="other", probability=0.1)
    result.taxonomy.clear = True
    result.weighed.add(model="large", suitability=0.9, suitability_stddev=0.05, observations=1200, measured=True, predicted_quality=0.91)
    result.weighed.add(model="small", suitability=0.4, suitability_stddev=0.1, predicted_quality=0.5, predicted_output_tokens=77)
    return result


def verdict(confidence: float) -> verdict_pb2.Verdict:
    """A verdict that rests on one score, with one judge that failed and one defect."""
    result = verdict_pb2.Verdict(confidence=confidence, disagreement=0.25, evidence="checks", defects=[verdict_pb2.DEFECT_TRUNCATED])
    result.outcomes.add(judge="checks", status=verdict_pb2.JudgeOutcome.STATUS_SCORED, score=0.5).duration.FromMilliseconds(3)
    result.outcomes.add(judge="llm", status=verdict_pb2.JudgeOutcome.STATUS_TIMED_OUT, explanation="no answer in 1000 ms")
    return result


def completion(text: str) -> event_pb2.Completion:
    """A completion after an accepted first attempt."""
    result = event_pb2.Completion(
        decision_id="d1", text=text, model="small", outcome=event_pb2.OUTCOME_ACCEPTED, confidence=0.8, cost_nano_usd=40, trace_id="0af" * 8
    )
    summary = result.attempts.add(model="small", chosen=True, confidence=0.8, cost_nano_usd=30, judge_cost_nano_usd=10)
    summary.time_to_first_chunk.FromMilliseconds(250)
    summary.duration.FromMilliseconds(1500)
    result.usage.input_tokens, result.usage.output_tokens = 9, 3
    return result


def bad_request(field: str, description: str) -> list[Any]:
    """Details of an INVALID_ARGUMENT."""
    info = error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain="emafusion", metadata={"limit": "4"})
    return [info, error_details_pb2.BadRequest(field_violations=[{"field": field, "description": description}])]


def try_later(seconds: int) -> list[Any]:
    """Details of a RESOURCE_EXHAUSTED."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromSeconds(seconds)
    return [error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="emafusion"), retry]
