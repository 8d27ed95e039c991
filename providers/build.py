"""Makes the configured models: the one place where adapters and wrappers are put together."""

from __future__ import annotations

import importlib.util
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import urlsplit

import httpx
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from providers.anthropic import AnthropicDialect
from providers.breaker import BreakerPolicy, BreakerState, BreakingModel
from providers.dialect import Dialect
from providers.first_chunk import HedgePolicy
from providers.gemini import GeminiDialect
from providers.hedged import HedgedModel
from providers.http import HttpChatModel
from providers.instrumented import InstrumentedModel
from providers.instruments import Instruments
from providers.limit import ConcurrencyLimit, LimitedModel
from providers.openai import OpenAIDialect
from providers.patience import Timeouts
from providers.port import ChatModel, ModelCard
from providers.pricing import to_price
from providers.recorded import RecordedModel
from providers.recording import QUESTIONS_FILE, Recording
from providers.retry import RetryingModel, RetryPolicy
from servicekit.settings.load import ConfigurationError
from servicekit.settings.models import ModelSettings
from servicekit.settings.root import Settings
from servicekit.settings.schema import Problem
from servicekit.settings.secrets import Secret, SecretSource

PUBLIC_ENDPOINTS: Final[Mapping[str, str]] = {
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
}
"""Endpoints of providers that have one of their own."""
OPENAI_HOST: Final = "api.openai.com"
_DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


def model_availability(settings: Settings, secrets: SecretSource) -> dict[str, str]:
    """For every configured model why it can't be used; empty when it can. Blocks on secret files."""
    return {model.name: _unavailable(model, secrets) for model in settings.models}


def build_models(settings: Settings, *, secrets: SecretSource, tracer: Tracer, meter: Meter) -> dict[str, ChatModel]:
    """The models that can be used, by name, in the order of the configuration.

    A model that is switched off, or whose key is missing and may be, is left out. Raises ``ConfigurationError`` with all problems for
    a missing key that must be there, a missing recording, or a missing optional package. Blocks on files; call it before serving.
    """
    problems = [problem for model in settings.models for problem in _problems(model, secrets)]
    if problems:
        raise ConfigurationError(problems)
    usable = [model for model in settings.models if not _unavailable(model, secrets)]
    recordings = {model.recording: Recording(Path(model.recording)) for model in usable if model.recording is not None}
    tls = httpx.create_ssl_context()
    instruments = Instruments(meter)
    models: dict[str, ChatModel] = {}
    for model in usable:
        if model.recording is not None:
            pace = model.recorded_tokens_per_second
            adapters: list[ChatModel] = [RecordedModel(model_card(model), recordings[model.recording], tokens_per_second=pace)]
        else:
            key = None if model.api_key is None else secrets.read(model.api_key)
            adapters = [_http_model(model, endpoint, key, tls) for endpoint in (_endpoint(model) or "", *model.replicas)]
        models[model.name] = wrap(adapters, model, tracer=tracer, instruments=instruments, record_text=settings.telemetry.record_text)
    return models


def wrap(adapters: Sequence[ChatModel], model: ModelSettings, *, tracer: Tracer, instruments: Instruments, record_text: bool) -> ChatModel:
    """The stack around the adapters, one per endpoint, from the inside: limit and breaker for each, hedge, retry, instrument.

    Each retry takes a new slot and asks the breaker anew; one span covers a call with all its retries.
    """
    retry = model.retry
    guarded = [_guarded(adapter, model, on_change=instruments.breaker_listener(model.name, i)) for i, adapter in enumerate(adapters)]
    retrying = RetryingModel(
        HedgedModel(guarded, _hedge_policy(model)) if len(guarded) > 1 else guarded[0],
        RetryPolicy(
            attempts_max=retry.attempts_max,
            backoff_initial_s=_seconds(retry.backoff_initial_ms),
            backoff_max_s=_seconds(retry.backoff_max_ms),
        ),
    )
    return InstrumentedModel(retrying, tracer=tracer, instruments=instruments, clock=time.monotonic, record_text=record_text)


def _guarded(adapter: ChatModel, model: ModelSettings, *, on_change: Callable[[BreakerState], None]) -> BreakingModel:
    limits, breaker = model.limits, model.breaker
    limit = ConcurrencyLimit(
        concurrency_max=limits.concurrency_max, queue_max=limits.queue_max, queue_wait_max_s=_seconds(limits.queue_wait_max_ms)
    )
    policy = BreakerPolicy(failures_to_open=breaker.failures_to_open, open_s=_seconds(breaker.open_ms))
    return BreakingModel(LimitedModel(adapter, limit), policy, clock=time.monotonic, on_change=on_change)


def _hedge_policy(model: ModelSettings) -> HedgePolicy | None:
    hedge = model.hedge
    if hedge is None:
        return None
    return HedgePolicy(
        after_s=None if hedge.after_ms is None else _seconds(hedge.after_ms),
        quantile=hedge.quantile,
        samples_min=hedge.samples_min,
        initial_s=_seconds(hedge.initial_ms),
        floor_s=_seconds(hedge.floor_ms),
        share_max=hedge.share_max,
    )


def model_card(model: ModelSettings) -> ModelCard:
    """What the configuration says of a model."""
    host, port = "", 0
    if (endpoint := _endpoint(model)) is not None:
        url = urlsplit(endpoint)
        host, port = url.hostname or "", url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    return ModelCard(
        name=model.name,
        provider=model.provider,
        upstream_model=model.upstream_name,
        price=to_price(model.price),
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        capabilities=frozenset(model.capabilities),
        server_address=host,
        server_port=port,
    )


def _http_model(model: ModelSettings, endpoint: str, key: Secret | None, tls: ssl.SSLContext) -> HttpChatModel:
    card, limits = model_card(model), model.limits
    client = httpx.AsyncClient(
        verify=tls,
        timeout=httpx.Timeout(None, connect=_seconds(limits.connect_timeout_ms)),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=limits.concurrency_max),
        # A proxy from the environment may be what leads outside; it never leads to this machine.
        trust_env=not _is_loopback(urlsplit(endpoint).hostname or ""),
        headers={"user-agent": "emafusion"},
    )
    timeouts = Timeouts(
        connect_s=_seconds(limits.connect_timeout_ms),
        first_chunk_s=_seconds(limits.first_chunk_timeout_ms),
        idle_s=_seconds(limits.idle_timeout_ms),
        total_s=_seconds(limits.total_timeout_ms),
    )
    return HttpChatModel(card, endpoint=endpoint, dialect=_dialect(model, card, key), client=client, timeouts=timeouts)


def _dialect(model: ModelSettings, card: ModelCard, key: Secret | None) -> Dialect:
    match model.provider:
        case "openai_compatible":
            # OpenAI's own newer models refuse `max_tokens`; many other servers don't know its successor.
            field = "max_completion_tokens" if card.server_address == OPENAI_HOST else "max_tokens"
            return OpenAIDialect(card, api_key=key, extra_body=model.extra_body, token_limit_field=field)
        case "anthropic":
            return AnthropicDialect(card, api_key=key)
        case "gemini":
            return GeminiDialect(card, api_key=key)
        case "recorded":
            raise ValueError("a recording is not reached over HTTP")
        case _:
            assert_never(model.provider)


def _endpoint(model: ModelSettings) -> str | None:
    return model.endpoint or PUBLIC_ENDPOINTS.get(model.provider)


def _unavailable(model: ModelSettings, secrets: SecretSource) -> str:
    if not model.enabled:
        return "switched off in the configuration (enabled: false)"
    return "" if model.api_key is None else secrets.missing(model.api_key)


def _problems(model: ModelSettings, secrets: SecretSource) -> list[Problem]:
    if not model.enabled:
        return []
    problems: list[Problem] = []
    if model.api_key is not None and model.when_key_missing == "fail" and (reason := secrets.missing(model.api_key)):
        hint = "set it, or leave the model out with `when_key_missing: disable`"
        problems.append(Problem(f"models.{model.name}.api_key", f"{reason}; {hint}"))
    if model.recording is not None:
        path = Path(model.recording)
        problems += [
            Problem(f"models.{model.name}.recording", f"{file} does not exist")
            for file in (path, path.with_name(QUESTIONS_FILE))
            if not file.is_file()
        ]
        if importlib.util.find_spec("pyarrow") is None:
            problems.append(Problem(f"models.{model.name}.recording", "needs pyarrow: install emafusion with the extra `recorded`"))
    return problems


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1_000.0


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
