"""Puts the cascade service together: the only place that constructs things."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc
from emafusion.judge.v1 import judge_service_pb2
from emafusion.router.v1 import router_service_pb2

from cascade_service.adapters.decision_store import SqlDecisionStore, open_store
from cascade_service.adapters.instrumented import CascadeMeters, InstrumentedCascade, current_trace_id
from cascade_service.adapters.judge_over_grpc import JudgeOverGrpc
from cascade_service.adapters.onnx_gain import open_gain_model
from cascade_service.adapters.provider_model import ProviderModel
from cascade_service.adapters.risk_file import certificates_of
from cascade_service.adapters.router_over_grpc import RouterOverGrpc
from cascade_service.adapters.system_clock import SystemClock
from cascade_service.config import cascade_rules, catalogue, request_defaults
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.errors import StoreUnavailable
from cascade_service.domain.gain import GainModel
from cascade_service.domain.recording import Recorder
from cascade_service.domain.rules import CascadeParts
from cascade_service.transport.errors import error_table
from cascade_service.transport.requests import RequestReader
from cascade_service.transport.servicer import CascadeServicer, ServicerParts
from cascade_service.transport.validation import RequestRules
from providers.build import build_models, model_availability
from providers.port import ChatModel
from servicekit.access import AccessRules
from servicekit.artifacts import ArtifactError
from servicekit.channels import open_channel
from servicekit.credentials import PeerCredentials
from servicekit.errors import ErrorTable
from servicekit.server import run_service
from servicekit.settings.auth import Scope
from servicekit.settings.cascade import ValuePolicySettings
from servicekit.settings.load import ConfigurationError, LoadedSettings
from servicekit.settings.root import Settings
from servicekit.settings.schema import Problem
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
        gain_model=_gain_model(settings),
    )
    cascade = InstrumentedCascade(Cascade(parts, recorder), meters=CascadeMeters(telemetry.meter), clock=clock)
    defaults = request_defaults(settings, certificates_of(settings))
    kinds = {name: policy.kind for name, policy in defaults.policies.items()}
    servicer = CascadeServicer(
        ServicerParts(
            cascade=cascade,
            store=store,
            catalogue=known_models,
            rules=RequestRules(
                limits=settings.limits,
                models=known_models,
                policies=kinds,
                default_policy=defaults.default_policy,
                certified=frozenset(policy.name for policy in settings.cascade.policies if policy.risk is not None),
            ),
            reader=RequestReader(defaults, new_id=lambda: uuid.uuid4().hex),
            clock=clock,
            trace_id=current_trace_id,
        )
    )
    return CascadeService(servicer=servicer, errors=error_table(), store=store, recorder=recorder, models=models, channels=channels)


def _gain_model(settings: Settings) -> GainModel | None:
    """The gain model, which nobody needs without value policies. Raises ``ConfigurationError`` naming the policy that can't be had."""
    names = [policy.name for policy in settings.cascade.policies if isinstance(policy, ValuePolicySettings)]
    if not names:
        return None
    try:
        return open_gain_model(Path(settings.artifacts.directory) / settings.cascade.gain_model)
    except ArtifactError as error:
        raise ConfigurationError(
            [Problem(f"cascade.policies.{names[0]}", f"a policy of kind value needs its gain model: {error}")]
        ) from error


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
