"""Puts the router service together: the only place that constructs things."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from emafusion.router.v1 import router_service_pb2, router_service_pb2_grpc

from providers.build import build_models, model_availability
from providers.port import ChatModel
from router_service.adapters.batcher import BatchLimits
from router_service.adapters.instrumented import InstrumentedDecider, InstrumentedReader, RouterMeters
from router_service.adapters.newcomer_files import read_adapted, read_prior
from router_service.adapters.onnx_encoder import BatchedReader, open_encoder
from router_service.adapters.onnx_heads import labels_of, open_heads
from router_service.adapters.onnx_quality import OnnxQuality, Surroundings, known_models, open_quality
from router_service.adapters.slow_classifier import LlmClassifier
from router_service.adapters.suitability_artifact import read_suitability
from router_service.config import candidate_models, clear_rule, constraint_defaults, descriptors
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.learned import Blend, LearnedDecider
from router_service.domain.models import CandidateModel
from router_service.domain.newcomers import newcomer
from router_service.domain.ports import SlowClassifier
from router_service.domain.routing import Decider, Router, RoutingPolicy, TaxonomyDecider
from router_service.domain.suitability import SuitabilityTable
from router_service.domain.taxonomy import Axis
from router_service.transport.errors import error_table
from router_service.transport.servicer import RouterServicer, ServicerParts
from router_service.transport.validation import RequestRules
from servicekit.access import AccessRules
from servicekit.artifacts import Manifest, load_manifest, sha256_of
from servicekit.errors import ErrorTable
from servicekit.server import run_service
from servicekit.settings.auth import Scope
from servicekit.settings.load import LoadedSettings
from servicekit.settings.root import Settings
from servicekit.telemetry import Telemetry, start_telemetry

SERVICE_NAME = router_service_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
METHOD_SCOPES: Mapping[str, Scope] = {"Route": "route", "BatchRoute": "route", "ListModels": "read"}
"""What a caller's API key must be good for, by method."""
_WARM_UP_TEXT = "What is the capital of France?"
_NONCE_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterService:
    """The service, ready to be added to a server. ``warm_up`` before it serves, ``aclose`` after the last call."""

    servicer: RouterServicer
    errors: ErrorTable
    reader: BatchedReader
    slow_model: ChatModel | None

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Registers the servicer and returns the names of its services."""
        router_service_pb2_grpc.add_RouterServiceServicer_to_server(self.servicer, server)
        return (SERVICE_NAME,)

    async def warm_up(self) -> None:
        """Encodes one text, so that the first caller does not wait for memory to be allotted."""
        await self.reader.read((_WARM_UP_TEXT,))

    async def aclose(self) -> None:
        """Ends the encoder's thread and closes connections."""
        await self.reader.aclose()
        if self.slow_model is not None:
            await self.slow_model.aclose()


@dataclass(frozen=True, slots=True)
class _Artifacts:
    """Folders of the artifacts with their checked manifests; ``learned`` is None without a learned router."""

    encoder: tuple[Path, Manifest]
    heads: tuple[Path, Manifest]
    suitability: tuple[Path, Manifest]
    learned: tuple[Path, Manifest] | None

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        learned = () if self.learned is None else (self.learned[1],)
        return (self.encoder[1], self.heads[1], self.suitability[1], *learned)


def build_service(loaded: LoadedSettings, *, telemetry: Telemetry) -> RouterService:
    """The service of a configuration; blocks while artifacts load.

    Raises ``ArtifactError`` or ``ArtifactMismatch`` when an artifact is missing, changed, or does not fit the others.
    """
    settings = loaded.settings
    artifacts = _check_artifacts(settings)
    models = candidate_models(settings, model_availability(settings, loaded.secrets))
    slow_model = _slow_model(loaded, telemetry)
    errors = error_table()
    meters = RouterMeters(telemetry.meter)
    reader = _open_reader(settings, artifacts.encoder[0])
    taxonomy = settings.router.taxonomy
    policy = RoutingPolicy(
        clear_rule=clear_rule(taxonomy),
        slow_weight=taxonomy.slow_classifier.weight if taxonomy.slow_classifier else 0.0,
        policy_hash=_fingerprint(loaded, artifacts.manifests),
    )
    slow = _slow_classifier(settings, slow_model, labels=labels_of(*artifacts.heads))
    decider = _decider(settings, models, policy=policy, slow=slow, artifacts=artifacts)
    router = Router(
        InstrumentedReader(reader, tracer=telemetry.tracer, meters=meters),
        InstrumentedDecider(decider, tracer=telemetry.tracer, meters=meters),
    )
    rules = RequestRules(limits=settings.limits, models={model.name for model in models}, batch_max=settings.router.batch_route_max)
    parts = ServicerParts(
        router=router, rules=rules, defaults=constraint_defaults(settings), models=models, errors=errors, clock=time.monotonic
    )
    return RouterService(servicer=RouterServicer(parts), errors=errors, reader=reader, slow_model=slow_model)


def access_rules(loaded: LoadedSettings) -> AccessRules:
    """Who may call the service."""
    return AccessRules(
        callers=frozenset(loaded.settings.services.router.allowed_callers),
        scopes={f"{SERVICE_NAME}/{method}": scope for method, scope in METHOD_SCOPES.items()},
        secrets=loaded.secrets,
    )


async def serve(loaded: LoadedSettings) -> None:
    """Serves until SIGTERM or SIGINT, then drains."""
    settings = loaded.settings
    telemetry = start_telemetry("router_service", settings.telemetry)
    service = build_service(loaded, telemetry=telemetry)
    await run_service(
        "router_service",
        add_services=service.add_to,
        settings=settings.server,
        listen=settings.services.router.listen,
        errors=service.errors,
        telemetry=telemetry,
        access=access_rules(loaded),
        warm_up=service.warm_up,
        on_drain=service.aclose,
    )


def _check_artifacts(settings: Settings) -> _Artifacts:
    """Every file is there and unchanged, and they were made for each other."""
    root, taxonomy = Path(settings.artifacts.directory), settings.router.taxonomy
    folders = (root / settings.router.encoder.artifact, root / taxonomy.heads, root / taxonomy.suitability)
    encoder, heads, suitability = (load_manifest(folder) for folder in folders)
    pairs = [(folders[1], heads, "encoder_fingerprint", encoder), (folders[2], suitability, "taxonomy_fingerprint", heads)]
    learned: tuple[Path, Manifest] | None = None
    if settings.router.learned is not None:
        folder = root / settings.router.learned.artifact
        learned = (folder, load_manifest(folder))
        pairs.append((*learned, "encoder_fingerprint", encoder))
    for folder, manifest, key, made_for in pairs:
        if manifest.parameters.get(key) != made_for.fingerprint:
            raise ArtifactMismatch(
                f"{folder / 'manifest.json'} was made for {made_for.name} {manifest.parameters.get(key)}, "
                f"but {made_for.fingerprint} is here; make it again with `{manifest.command}`"
            )
    return _Artifacts((folders[0], encoder), (folders[1], heads), (folders[2], suitability), learned)


def _decider(
    settings: Settings, models: Sequence[CandidateModel], *, policy: RoutingPolicy, slow: SlowClassifier | None, artifacts: _Artifacts
) -> Decider:
    """The taxonomy router, or the learned one on top of it."""
    table, fast = read_suitability(artifacts.suitability[0]), open_heads(*artifacts.heads)
    if artifacts.learned is None or settings.router.learned is None:
        return TaxonomyDecider(models=models, table=table, policy=policy, fast=fast, slow=slow, clock=time.monotonic)
    return LearnedDecider(
        models=models,
        predictor=_predictor(settings, artifacts.learned, encoder=artifacts.encoder[1], table=table),
        blend=Blend(settings.router.learned.weight),
        table=table,
        policy=policy,
        fast=fast,
        slow=slow,
        clock=time.monotonic,
    )


def _predictor(settings: Settings, learned: tuple[Path, Manifest], *, encoder: Manifest, table: SuitabilityTable) -> OnnxQuality:
    """The regression, beside it the adapted models, and from their cards those that were never measured at all."""
    prior = read_prior(*learned)
    adapted = ()
    if settings.router.learned is not None and settings.router.learned.adapted is not None:
        adapted = read_adapted(Path(settings.router.learned.adapted), encoder=encoder, learned=learned[1])
    measured = {model.name for model in (*known_models(*learned), *adapted)} | set(table.models)
    from_cards = (newcomer(prior, card) for card in descriptors(settings) if card.name not in measured)
    return open_quality(*learned, beside=Surroundings((*adapted, *from_cards), prior.tokens_noise))


def _open_reader(settings: Settings, folder: Path) -> BatchedReader:
    encoder = settings.router.encoder
    limits = BatchLimits(encoder.batcher.batch_max, encoder.batcher.batch_wait_max_ms / 1e3, encoder.batcher.queue_max)
    return BatchedReader(open_encoder(folder, tokens_max=encoder.tokens_max, threads=encoder.threads), limits)


def _slow_model(loaded: LoadedSettings, telemetry: Telemetry) -> ChatModel | None:
    """The model of the slow classifier; None when there is none or its key is missing and may be."""
    slow = loaded.settings.router.taxonomy.slow_classifier
    if slow is None:
        return None
    only = loaded.settings.model_copy(update={"models": tuple(model for model in loaded.settings.models if model.name == slow.model)})
    return build_models(only, secrets=loaded.secrets, tracer=telemetry.tracer, meter=telemetry.meter).get(slow.model)


def _slow_classifier(settings: Settings, model: ChatModel | None, *, labels: Mapping[Axis, Sequence[str]]) -> LlmClassifier | None:
    slow = settings.router.taxonomy.slow_classifier
    if slow is None or model is None:
        return None
    return LlmClassifier(
        model,
        labels=labels,
        axes=[Axis(axis) for axis in slow.axes],
        timeout_s=slow.timeout_ms / 1e3,
        new_nonce=lambda: secrets.token_hex(_NONCE_BYTES),
    )


def _fingerprint(loaded: LoadedSettings, manifests: Sequence[Manifest]) -> str:
    """sha256, first 12 hex digits, over the configuration, the artifacts and the adapted models that plans rest on."""
    parts = [loaded.policy_hash, *(manifest.fingerprint for manifest in manifests)]
    learned = loaded.settings.router.learned
    if learned is not None and learned.adapted is not None and Path(learned.adapted).is_file():
        parts.append(sha256_of(Path(learned.adapted)))
    return hashlib.sha256(":".join(parts).encode()).hexdigest()[:12]
