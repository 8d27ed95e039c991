"""Puts the cascade service together: the only place that constructs things."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import structlog
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc
from emafusion.judge.v1 import judge_service_pb2
from emafusion.router.v1 import router_service_pb2
from opentelemetry.metrics import Meter

from cascade_service.adapters.decision_store import open_store
from cascade_service.adapters.durable_store import DurableStore, StoreMeters
from cascade_service.adapters.engines import open_engine
from cascade_service.adapters.instrumented import CascadeMeters, InstrumentedCascade, current_trace_id
from cascade_service.adapters.judge_over_grpc import JudgeOverGrpc
from cascade_service.adapters.judge_room import JudgeRoom
from cascade_service.adapters.model_splitter import ModelSplitter, UnusableSplitter
from cascade_service.adapters.onnx_gain import open_gain_model
from cascade_service.adapters.part_spans import PartSpans
from cascade_service.adapters.peers import report_peer, serves
from cascade_service.adapters.provider_model import ProviderModel
from cascade_service.adapters.quota_store import SqlQuotaStore
from cascade_service.adapters.quotas_kept import KeptQuotas, QuotaMeters, QuotaTimes
from cascade_service.adapters.risk_file import certificates_of
from cascade_service.adapters.router_over_grpc import RouterOverGrpc
from cascade_service.adapters.spool import left_over, open_spool
from cascade_service.adapters.system_clock import SystemClock
from cascade_service.config import caller_of, cascade_rules, catalogue, quota_rules, request_defaults
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.decomposition.options import DecompositionOptions
from cascade_service.domain.decomposition.rule_splitter import RuleSplitter
from cascade_service.domain.decomposition.splitting import Splitter
from cascade_service.domain.errors import StoreUnavailable
from cascade_service.domain.gain import GainModel
from cascade_service.domain.gate import GatedCascade
from cascade_service.domain.metering import MeteredCascade
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
from servicekit.calls import current_call
from servicekit.channels import open_channel
from servicekit.credentials import PeerCredentials
from servicekit.errors import ErrorTable
from servicekit.server import Readiness, run_service
from servicekit.settings.auth import Scope
from servicekit.settings.cascade import CascadeSettings, StoreSettings, ValuePolicySettings
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
    "ListQuotas": "usage",
}
"""What a caller's API key must be good for, by method."""
_ROUTER = router_service_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
_JUDGE = judge_service_pb2.DESCRIPTOR.services_by_name["JudgeService"].full_name
_STORE_WAITS_S = (0.5, 1.0, 2.0, 4.0)
_PEERS = {"router": _ROUTER, "judge": _JUDGE}
_NONCE_BYTES = 8

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeService:
    """The service, ready to be added to a server. ``warm_up`` before it serves, ``aclose`` after the last call."""

    servicer: CascadeServicer
    errors: ErrorTable
    store: DurableStore
    recorder: Recorder
    quotas: KeptQuotas
    metered: MeteredCascade
    models: Mapping[str, ChatModel]
    channels: Mapping[str, grpc.aio.Channel]
    settings: CascadeSettings
    background: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Registers the servicer and returns the names of its services."""
        cascade_service_pb2_grpc.add_CascadeServiceServicer_to_server(self.servicer, server)
        return (SERVICE_NAME,)

    async def warm_up(self) -> None:
        """Returns when records can be kept, and starts what runs beside the requests. Peers that are down are only logged.

        Raises ``StoreUnavailable`` after some tries; where records can be spooled a store that is down is only logged.
        """
        if self.settings.store.when_down == "spool":
            await self.store.look()
            self.store.check_ready()
        else:
            await self._wait_for_store()
        every_s = self.settings.readiness.look_every_ms / 1e3
        self.background.append(asyncio.create_task(self.store.run(look_every_s=every_s), name="store"))
        self.background.append(asyncio.create_task(self.quotas.run(), name="quotas"))
        await asyncio.gather(*(report_peer(name, channel) for name, channel in self.channels.items()))

    async def ready(self) -> bool:
        """Whether what the configuration names is there."""
        needs, timeout_s = self.settings.readiness.needs, self.settings.readiness.look_every_ms / 1e3
        if "store" in needs and not self.store.ready:
            return False
        peers = [self.channels[_PEERS[name]] for name in needs if name in _PEERS]
        return all(await asyncio.gather(*(serves(channel, timeout_s=timeout_s) for channel in peers)))

    async def aclose(self) -> None:
        """Finishes the records under way, settles what was used, and closes connections."""
        await self.metered.drain()
        await self.recorder.drain()
        for task in self.background:
            task.cancel()
        if self.background:
            await asyncio.wait(self.background)
        for channel in self.channels.values():
            await channel.close()
        for model in self.models.values():
            await model.aclose()
        await self.quotas.aclose()
        await self.store.aclose()

    async def _wait_for_store(self) -> None:
        for wait_s in (*_STORE_WAITS_S, None):
            try:
                await self.store.prepare()
                break
            except StoreUnavailable:
                if wait_s is None:
                    raise
                await asyncio.sleep(wait_s)


def build_service(loaded: LoadedSettings, *, telemetry: Telemetry) -> CascadeService:
    """The service of a configuration. Must run inside the event loop; blocks on files. Raises ``StoreUnavailable`` for a spool in use."""
    settings = loaded.settings
    clock = SystemClock()
    room = JudgeRoom(candidate_chars_max=settings.limits.candidate_chars_max, message_bytes_max=settings.server.message_bytes_max)
    channels = {name: _channel(name, loaded=loaded, telemetry=telemetry) for name in (_ROUTER, _JUDGE)}
    models = build_models(settings, secrets=loaded.secrets, tracer=telemetry.tracer, meter=telemetry.meter)
    known_models = catalogue(settings, model_availability(settings, loaded.secrets))
    store = _store(settings.cascade.store, telemetry.meter)
    recorder = _recorder(store, settings.cascade.store)
    quotas = _quotas(settings.cascade, clock)
    parts = CascadeParts(
        router=RouterOverGrpc(channels[_ROUTER]),
        judge=JudgeOverGrpc(channels[_JUDGE], room),
        models={name: ProviderModel(model) for name, model in models.items()},
        catalogue=known_models,
        clock=clock,
        rules=cascade_rules(settings),
        gain_model=_gain_model(settings),
        decomposition=DecompositionOptions(
            splitter=_splitter(settings, models),
            parallel_max=settings.cascade.decomposition.parallel_max,
            timeout_s=settings.cascade.decomposition.timeout_ms / 1e3,
            watch=PartSpans(telemetry.tracer),
        ),
    )
    metered = MeteredCascade(Cascade(parts, recorder), quotas, quota_rules(settings), clock=clock, telling=QuotaMeters(telemetry.meter))
    gated = GatedCascade(metered, store.check_ready)
    defaults = request_defaults(settings, certificates_of(settings))
    kinds = {name: policy.kind for name, policy in defaults.policies.items()}
    servicer = CascadeServicer(
        ServicerParts(
            cascade=InstrumentedCascade(gated, meters=CascadeMeters(telemetry.meter), clock=clock),
            store=store,
            accounts=quotas,
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
            caller=lambda: caller_of(current_call()),
        )
    )
    return CascadeService(
        servicer=servicer,
        errors=error_table(),
        store=store,
        recorder=recorder,
        quotas=quotas,
        metered=metered,
        models=models,
        channels=channels,
        settings=settings.cascade,
    )


def _store(settings: StoreSettings, meter: Meter) -> DurableStore:
    folder, spools = Path(settings.spool_directory), settings.when_down == "spool"
    # What an earlier process left is replayed whatever the configuration says now.
    spool = open_spool(folder, bytes_max=settings.spool_max_mb << 20) if spools or left_over(folder) else None
    timeout_s = settings.write_timeout_ms / 1e3
    store = open_store(settings.url, timeout_s=timeout_s)
    return DurableStore(store, spool, spools=spools, write_s=timeout_s, meters=StoreMeters(meter))


def _recorder(store: DurableStore, settings: StoreSettings) -> Recorder:
    write_s = settings.write_timeout_ms / 1e3
    # The store's time may pass before a record goes to the spool, which then has as long.
    timeout_s = 2 * write_s if settings.when_down == "spool" else write_s
    return Recorder(store, timeout_s=timeout_s, record_text=settings.record_text)


def _quotas(settings: CascadeSettings, clock: SystemClock) -> KeptQuotas:
    timeout_s = settings.store.write_timeout_ms / 1e3
    limits = settings.caller_limits
    times = QuotaTimes(write_s=timeout_s, look_every_s=limits.count_every_ms / 1e3, hold_s=limits.hold_ms / 1e3)
    return KeptQuotas(SqlQuotaStore(open_engine(settings.store.url, timeout_s=timeout_s, counters=True)), clock=clock, times=times)


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
        readiness=Readiness(look=service.ready, look_every_s=settings.cascade.readiness.look_every_ms / 1e3),
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
