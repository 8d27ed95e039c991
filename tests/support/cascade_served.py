"""The real cascade service in this process, between a scripted router, a scripted judge and providers on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc
from emafusion.common.v1 import chat_pb2
from emafusion.judge.v1 import judge_service_pb2, judge_service_pb2_grpc, verdict_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2, router_service_pb2_grpc

from cascade_service.bootstrap import CascadeService, access_rules, build_service
from servicekit.access import bearer
from servicekit.settings.load import LoadedSettings
from servicekit.settings.root import Settings
from servicekit.settings.secrets import SecretSource
from servicekit.telemetry import Telemetry
from tests.support.servers import Served, serve
from tests.support.upstream import FakeUpstream

if TYPE_CHECKING:
    from emafusion.cascade.v1.cascade_service_pb2_grpc import CascadeServiceAsyncStub

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class FakeRouter(router_service_pb2_grpc.RouterServiceServicer):
    """Plans ``models`` with their ``qualities`` (else ``quality``) and costs in nano-USD, or raises ``error``; waits for ``gate`` first."""

    models: tuple[str, ...] = ()
    error: Exception | None = None
    gate: asyncio.Event | None = None
    quality: float = 0.5
    qualities: Mapping[str, float] = field(default_factory=dict[str, float])
    costs: Mapping[str, int] = field(default_factory=dict[str, int])
    requests: list[router_service_pb2.RouteRequest] = field(default_factory=list[router_service_pb2.RouteRequest])

    async def Route(self, request: router_service_pb2.RouteRequest, context: Context) -> router_service_pb2.RouteResponse:  # noqa: N802 - the contract's name
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        plan = plan_pb2.Plan(
            models=[
                plan_pb2.PlannedModel(
                    model=name, predicted_quality=self.qualities.get(name, self.quality), predicted_cost_nano_usd=self.costs.get(name, 0)
                )
                for name in self.models
            ],
            kind=plan_pb2.ROUTE_KIND_TAXONOMY,
            input_tokens=7,
            policy_hash="abcdef012345",
        )
        return router_service_pb2.RouteResponse(plan=plan)

    async def BatchRoute(self, request: object, context: Context) -> router_service_pb2.BatchRouteResponse:  # noqa: N802 - the contract's name
        raise NotImplementedError

    async def ListModels(self, request: object, context: Context) -> router_service_pb2.ListModelsResponse:  # noqa: N802 - the contract's name
        raise NotImplementedError

    def add_to(self, server: grpc.aio.Server) -> tuple[str, ...]:
        router_service_pb2_grpc.add_RouterServiceServicer_to_server(self, server)
        return ("emafusion.router.v1.RouterService",)


@dataclass
class FakeJudge(judge_service_pb2_grpc.JudgeServiceServicer):
    """Judges each text by ``confidences``, others by ``otherwise``, beginnings by ``on_beginnings`` if set; or raises ``error``.

    Waits for ``gate`` first. ``asked`` is set by a request. ``id_suffix`` makes it judge another candidate than it was asked about.
    """

    confidences: Mapping[str, float] = field(default_factory=dict[str, float])
    otherwise: float = 0.9
    on_beginnings: float | None = None
    error: Exception | None = None
    id_suffix: str = ""
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[judge_service_pb2.JudgeRequest] = field(default_factory=list[judge_service_pb2.JudgeRequest])

    async def Judge(self, request: judge_service_pb2.JudgeRequest, context: Context) -> judge_service_pb2.JudgeResponse:  # noqa: N802 - the contract's name
        self.requests.append(request)
        self.asked.set()
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.left.set()
                raise
        if self.error is not None:
            raise self.error
        return judge_service_pb2.JudgeResponse(outcomes=[self._outcome(candidate, request) for candidate in request.candidates])

    def StreamJudge(self, request: object, context: Context) -> AsyncGenerator[judge_service_pb2.StreamJudgeResponse]:  # noqa: N802 - see above
        raise NotImplementedError

    async def ListJudges(self, request: object, context: Context) -> judge_service_pb2.ListJudgesResponse:  # noqa: N802 - the contract's name
        raise NotImplementedError

    def add_to(self, server: grpc.aio.Server) -> tuple[str, ...]:
        judge_service_pb2_grpc.add_JudgeServiceServicer_to_server(self, server)
        return ("emafusion.judge.v1.JudgeService",)

    def _outcome(
        self, candidate: judge_service_pb2.Candidate, request: judge_service_pb2.JudgeRequest
    ) -> judge_service_pb2.CandidateOutcome:
        confidence = self.confidences.get(candidate.text, self.otherwise)
        if request.panel.judges and self.on_beginnings is not None:
            confidence = self.on_beginnings
        others = [other.id for other in (*request.candidates, *request.peers) if other.text == candidate.text and other.id != candidate.id]
        agreement = verdict_pb2.JudgeOutcome(judge="agreement", status=verdict_pb2.JudgeOutcome.STATUS_SCORED, same_answer_as=others)
        cost = 0 if request.panel.judges else 2
        verdict = verdict_pb2.Verdict(confidence=confidence, calibration="cal-1", cost_nano_usd=cost, outcomes=[agreement])
        return judge_service_pb2.CandidateOutcome(candidate_id=candidate.id + self.id_suffix, verdict=verdict)


@dataclass
class World:
    """A served cascade and everything around it."""

    stub: CascadeServiceAsyncStub
    served: Served
    service: CascadeService
    router: FakeRouter
    judge: FakeJudge
    upstreams: Mapping[str, FakeUpstream]

    async def stream(
        self, request: cascade_service_pb2.StreamCompleteRequest, *, timeout_s: float = 20.0, key: str | None = None
    ) -> list[cascade_service_pb2.StreamCompleteResponse]:
        shown = None if key is None else (bearer(key),)
        return [response async for response in self.stub.StreamComplete(request, timeout=timeout_s, metadata=shown)]


@asynccontextmanager
async def cascade_world(
    folder: Path,
    upstreams: Mapping[str, FakeUpstream],
    *,
    router: FakeRouter | None = None,
    judge: FakeJudge | None = None,
    router_up: bool = True,
    judge_up: bool = True,
    judge_target: str | None = None,
    cascade: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    artifacts: Path | None = None,
    model: Callable[[str], Mapping[str, Any]] = lambda _: {},
    telemetry: Telemetry | None = None,
    keys: Sequence[Mapping[str, Any]] = (),
) -> AsyncGenerator[World]:
    """Serves the cascade over models with these upstreams, in their order; ``cascade``, ``limits`` and ``model`` add to its settings.

    With ``keys`` a caller must show one. ``judge_target`` is where a judge is that the caller serves.
    """
    telemetry = telemetry or Telemetry.off()
    router, judge = router or FakeRouter(tuple(upstreams)), judge or FakeJudge()
    async with AsyncExitStack() as stack:
        for upstream in upstreams.values():
            await stack.enter_async_context(upstream)
        router_target = (await stack.enter_async_context(serve(router.add_to, telemetry=telemetry))).target if router_up else _nobody()
        if judge_target is None:
            judge_target = (await stack.enter_async_context(serve(judge.add_to, telemetry=telemetry))).target if judge_up else _nobody()
        settings = Settings.model_validate(
            {
                "models": [_model(name, upstream, model(name)) for name, upstream in upstreams.items()],
                "cascade": {"store": {"url": f"sqlite+aiosqlite:///{folder}/decisions.sqlite3"}, **(cascade or {})},
                "limits": limits or {},
                "artifacts": {} if artifacts is None else {"directory": str(artifacts)},
                "server": {"drain_grace_ms": 2_000, "auth": {"keys": list(keys)} if keys else None},
                "services": {
                    "api_key": {"env": "UNUSED"} if keys else None,
                    "router": {"listen": "127.0.0.1:0", "target": router_target},
                    "judge": {"listen": "127.0.0.1:0", "target": judge_target},
                },
            }
        )
        loaded = LoadedSettings(settings, folder / "emafusion.yaml", SecretSource({"UNUSED": "unused"}, folder), "0" * 12)
        service = await asyncio.to_thread(_build_in_thread, loaded, telemetry, asyncio.get_running_loop())
        await service.store.prepare()
        stack.push_async_callback(service.aclose)
        served = await stack.enter_async_context(
            serve(service.add_to, errors=service.errors, telemetry=telemetry, settings=settings.server, access=access_rules(loaded))
        )
        stub: CascadeServiceAsyncStub = cascade_service_pb2_grpc.CascadeServiceStub(served.channel)
        yield World(stub, served, service, router, judge, upstreams)


def _build_in_thread(loaded: LoadedSettings, telemetry: Telemetry, loop: asyncio.AbstractEventLoop) -> CascadeService:
    # Building reads files and so blocks; its channels must belong to the loop of the test.
    asyncio.set_event_loop(loop)
    try:
        return build_service(loaded, telemetry=telemetry)
    finally:
        asyncio.set_event_loop(None)


def question(
    text: str = "What is 6 times 7?", *, mode: str = "DELIVERY_MODE_BUFFERED", **fields: Any
) -> cascade_service_pb2.StreamCompleteRequest:
    """A streamed request; ``fields`` are those of ``CompleteRequest``."""
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=text)
    request = cascade_service_pb2.CompleteRequest(messages=[message], **fields)
    return cascade_service_pb2.StreamCompleteRequest(request=request, delivery=mode)


def wire_kinds(responses: list[cascade_service_pb2.StreamCompleteResponse]) -> list[str]:
    """Names of the events on the wire, runs of deltas as one."""
    names = [response.WhichOneof("event") or "" for response in responses]
    return [name for index, name in enumerate(names) if name != "delta" or names[index - 1] != "delta"]


def _model(name: str, upstream: FakeUpstream, more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "provider": "openai_compatible",
        "endpoint": upstream.base_url,
        "price": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0},
        "capabilities": ["logprobs"],
        "retry": {"attempts_max": 1},
        **more,
    }


def _nobody() -> str:
    """A target on this machine where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"dns:///127.0.0.1:{held.getsockname()[1]}"
