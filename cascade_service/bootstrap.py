"""Puts the cascade service together: the only place that constructs things."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
import structlog
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc
from emafusion.judge.v1 import judge_service_pb2
from emafusion.router.v1 import router_service_pb2

from cascade_service.adapters.decision_store import SqlDecisionStore, open_store
from cascade_service.adapters.instrumented import CascadeMeters, InstrumentedCascade, current_trace_id
from cascade_service.adapters.judge_over_grpc import JudgeOverGrpc
from cascade_service.adapters.model_splitter import ModelSplitter, UnusableSplitter
from cascade_service.adapters.part_spans import PartSpans
from cascade_service.adapters.provider_model import ProviderModel
from cascade_service.adapters.router_over_grpc import RouterOverGrpc
from cascade_service.adapters.system_clock import SystemClock
from cascade_service.config import cascade_rules, catalogue, request_defaults
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.decomposition.options import DecompositionOptions
from cascade_service.domain.decomposition.rule_splitter import RuleSplitter
from cascade_service.domain.decomposition.splitting import Splitter
from cascade_service.domain.errors import StoreUnavailable
from cascade_service.domain.recording import Recorder
from cascade_service.domain.rules import CascadeParts
from cascade_service.transport.errors import error_table
from cascade_service.transport.requests import RequestReader
from cascade_service.transport.servicer import CascadeServicer, ServicerParts
from cascade_service.transport.validation import RequestRules
from providers.build import build_models, model_availability
from providers.port import ChatModel
from servicekit.access import AccessRules
from servicekit.channels import open_channel
from servicekit.credentials import PeerCredentials
from servicekit.errors import ErrorTable
from servicekit.server import run_service
from servicekit.settings.auth import Scope
from servicekit.settings.load import LoadedSettings
from servicekit.settings.root import Settings
from servicekit.telemetry import Telemetry, start_telemetry

SERVICE_NAME = cascade_service_pb2.DESCRIPTOR.services_by_name["CascadeService"].full_name
METHOD_SCOPES: Mapping[str, Scope] = {
    "Complete": "complete",
    "StreamComplete": "complete",
    "SubmitFeedback": "feedback",
    "GetDecision": "read",
    "ListModels": "read",
}
"""What a caller's API key must be good for, by method."""
_ROUTER = router_service_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
_JUDGE = judge_service_pb2.DESCRIPTOR.services_by_name["JudgeService"].full_name
_STORE_WAITS_S = (0.5, 1.0, 2.0, 4.0)
_PEER_WAIT_S = 1.0
_NONCE_BYTES = 8

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeService:
    """The service, ready to be added to a server. ``warm_up`` before it serves, ``aclose`` after the last call."""

    servicer: CascadeServicer
    errors: ErrorTable
    store: SqlDecisionStore
    recorder: Recorder
    models: Mapping[str, ChatModel]
    channels: Mapping[str, grpc.aio.Channel]

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Registers the servicer and returns the names of its services."""
        cascade_service_pb2_grpc.add_CascadeServiceServicer_to_server(self.servicer, server)
        return (SERVICE_NAME,)

    async def warm_up(self) -> None:
        """Returns when the store is ready. Raises ``StoreUnavailable`` after some tries. Peers that are down are only logged."""
        for wait_s in (*_STORE_WAITS_S, None):
            try:
                await self.store.prepare()
                break
            except StoreUnavailable:
                if wait_s is None:
                    raise
                await asyncio.sleep(wait_s)
        await asyncio.gather(*(_report_peer(name, channel) for name, channel in self.channels.items()))

    async def aclose(self) -> None:
        """Finishes the records under way and closes connections."""
        await self.recorder.drain()
        for channel in self.channels.values():
            await channel.close()
        for model in self.models.values():
            await model.aclose()
        await self.store.aclose()


def build_service(loaded: LoadedSettings, *, telemetry: Telemetry) -> CascadeService:
    """The service of a configuration. Must run inside the event loop; blocks on key files and recordings."""
    settings = loaded.settings
    clock = SystemClock()
    channels = {name: _channel(name, loaded=loaded, telemetry=telemetry) for name in (_ROUTER, _JUDGE)}
    models = build_models(settings, secrets=loaded.secrets, tracer=telemetry.tracer, meter=telemetry.meter)
    known_models = catalogue(settings, model_availability(settings, loaded.secrets))
    store_settings = settings.cascade.store
    store = open_store(store_settings.url, timeout_s=store_settings.write_timeout_ms / 1e3)
    recorder = Recorder(store, timeout_s=store_settings.write_timeout_ms / 1e3, record_text=store_settings.record_text)
    parts = CascadeParts(
        router=RouterOverGrpc(channels[_ROUTER]),
        judge=JudgeOverGrpc(channels[_JUDGE]),
        models={name: ProviderModel(model) for name, model in models.items()},
        catalogue=known_models,
        clock=clock,
        rules=cascade_rules(settings),
        decomposition=DecompositionOptions(
            splitter=_splitter(settings, models),
            parallel_max=settings.cascade.decomposition.parallel_max,
            timeout_s=settings.cascade.decomposition.timeout_ms / 1e3,
            watch=PartSpans(telemetry.tracer),
        ),
    )
    cascade = InstrumentedCascade(Cascade(parts, recorder), meters=CascadeMeters(telemetry.meter), clock=clock)
    defaults = request_defaults(settings)
    servicer = CascadeServicer(
        ServicerParts(
            cascade=cascade,
            store=store,
            catalogue=known_models,
            rules=RequestRules(limits=settings.limits, models=known_models, policies=defaults.policies),
            reader=RequestReader(defaults, new_id=lambda: uuid.uuid4().hex),
            clock=clock,
            trace_id=current_trace_id,
        )
    )
    return CascadeService(servicer=servicer, errors=error_table(), store=store, recorder=recorder, models=models, channels=channels)


def access_rules(loaded: LoadedSettings) -> AccessRules:
    """Who may call the service."""
    return AccessRules(
        callers=frozenset(loaded.settings.services.cascade.allowed_callers),
        scopes={f"{SERVICE_NAME}/{method}": scope for method, scope in METHOD_SCOPES.items()},
        secrets=loaded.secrets,
    )


async def serve(loaded: LoadedSettings) -> None:
    """Serves until SIGTERM or SIGINT, then drains."""
    settings = loaded.settings
    telemetry = start_telemetry("cascade_service", settings.telemetry)
    service = build_service(loaded, telemetry=telemetry)
    await run_service(
        "cascade_service",
        add_services=service.add_to,
        settings=settings.server,
        listen=settings.services.cascade.listen,
        errors=service.errors,
        telemetry=telemetry,
        access=access_rules(loaded),
        warm_up=service.warm_up,
        on_drain=service.aclose,
    )


def _splitter(settings: Settings, models: Mapping[str, ChatModel]) -> Splitter:
    name = settings.cascade.decomposition.model
    if name is None:
        return RuleSplitter()
    if name not in models:
        _log.warning("splitter_model_disabled", model=name, effect="compound requests are answered whole")
        return UnusableSplitter()
    return ModelSplitter(models[name], new_nonce=lambda: secrets.token_hex(_NONCE_BYTES))


def _channel(name: str, *, loaded: LoadedSettings, telemetry: Telemetry) -> grpc.aio.Channel:
    settings = loaded.settings
    listen = settings.services.router if name == _ROUTER else settings.services.judge
    return open_channel(
        listen.target, server=settings.server, service_names=(name,), telemetry=telemetry, credentials=PeerCredentials.of(loaded)
    )


async def _report_peer(name: str, channel: grpc.aio.Channel) -> None:
    try:
        async with asyncio.timeout(_PEER_WAIT_S):
            await channel.channel_ready()
    except TimeoutError:
        _log.warning("peer_not_ready", peer=name, effect="requests that need it fail or fall back until it is")
