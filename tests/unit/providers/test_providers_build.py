"""From the configuration to models: which are usable, what is around them, and what is wrong at start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from providers.build import build_models, model_availability, model_card
from providers.errors import CircuitOpen, ConcurrencyExceeded, ServerFault
from providers.port import ChatModel
from servicekit.settings.load import ConfigurationError
from servicekit.settings.models import ModelSettings
from servicekit.settings.root import Settings
from servicekit.settings.secrets import SecretSource
from servicekit.telemetry import Telemetry
from tests.support.chat_models import KEY, PROMPT, ask
from tests.support.models import collect
from tests.support.spans import record_telemetry
from tests.support.upstream import FakeUpstream, answers, fails, stalls_after

LOCAL: dict[str, Any] = {"name": "local", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:1/v1"}
CLAUDE: dict[str, Any] = {"name": "claude", "provider": "anthropic", "api_key": {"env": "ANTHROPIC_API_KEY"}}
GEMINI: dict[str, Any] = {"name": "gemini", "provider": "gemini", "api_key": {"env": "GEMINI_API_KEY"}, "when_key_missing": "disable"}
OFF: dict[str, Any] = {**LOCAL, "name": "off", "enabled": False}


def settings(*models: dict[str, Any], **sections: object) -> Settings:
    return Settings.model_validate({"models": models, **sections})


def secrets(**environ: str) -> SecretSource:
    return SecretSource(environ, Path("/nowhere"))


def build(configured: Settings, source: SecretSource) -> dict[str, ChatModel]:
    telemetry = Telemetry.off()
    return build_models(configured, secrets=source, tracer=telemetry.tracer, meter=telemetry.meter)


def test_availability_says_why_not() -> None:
    configured = settings(LOCAL, CLAUDE, GEMINI, OFF)
    reasons = model_availability(configured, secrets(ANTHROPIC_API_KEY=KEY))
    assert reasons["local"] == ""
    assert reasons["claude"] == ""
    assert "GEMINI_API_KEY" in reasons["gemini"]
    assert "enabled: false" in reasons["off"]


async def test_only_usable_models_are_built_in_their_order() -> None:
    models = build(settings(CLAUDE, OFF, GEMINI, LOCAL), secrets(ANTHROPIC_API_KEY=KEY))
    assert list(models) == ["claude", "local"]
    for model in models.values():
        await model.aclose()


def test_a_missing_key_that_must_be_there_stops_the_start() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(settings(CLAUDE, {**CLAUDE, "name": "other", "api_key": {"env": "OTHER_KEY"}}), secrets())
    assert "models.claude.api_key" in str(caught.value)
    assert "ANTHROPIC_API_KEY" in str(caught.value)
    assert "OTHER_KEY" in str(caught.value)


def test_a_missing_recording_stops_the_start(tmp_path: Path) -> None:
    recorded = {"name": "old", "provider": "recorded", "recording": str(tmp_path / "responses.parquet")}
    with pytest.raises(ConfigurationError, match=r"models\.old\.recording.*responses\.parquet does not exist"):
        build(settings(recorded), secrets())


@pytest.mark.parametrize(
    ("changes", "address", "port"),
    [
        ({}, "127.0.0.1", 1),
        ({"endpoint": "https://api.openai.com/v1"}, "api.openai.com", 443),
        ({"endpoint": "http://[::1]:8080/v1"}, "::1", 8080),
        ({"provider": "anthropic", "endpoint": None}, "api.anthropic.com", 443),
        ({"provider": "gemini", "endpoint": None}, "generativelanguage.googleapis.com", 443),
    ],
)
def test_the_card_names_the_server(changes: dict[str, Any], address: str, port: int) -> None:
    card = model_card(ModelSettings.model_validate({**LOCAL, **changes}))
    assert (card.server_address, card.server_port) == (address, port)


async def test_the_stack_end_to_end() -> None:
    recorder = record_telemetry()
    async with FakeUpstream(fails(503, retry_after="0"), answers("fine", logprob=-0.1)) as upstream:
        endpoint = {
            **LOCAL,
            "endpoint": upstream.base_url,
            "upstream_model": "deep/model",
            "api_key": {"env": "K"},
            "capabilities": ["logprobs"],
            "price": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0},
            "retry": {"backoff_initial_ms": 1},
            "extra_body": {"top_k": 5},
        }
        port = upstream.port
        telemetry = recorder.telemetry
        models = build_models(settings(endpoint), secrets=secrets(K=KEY), tracer=telemetry.tracer, meter=telemetry.meter)
        text, finished = await collect(models["local"].stream(ask(logprobs=True)))
        await models["local"].aclose()
    assert text == "fine"
    assert finished.cost_nano_usd == 12 * 1_000 + 1 * 2_000
    assert len(upstream.requests) == 2
    assert upstream.requests[1].body["model"] == "deep/model"
    assert upstream.requests[1].body["top_k"] == 5
    assert upstream.requests[1].headers["authorization"] == f"Bearer {KEY}"
    assert "traceparent" in upstream.requests[1].headers
    span = recorder.only("chat deep/model")
    assert (span.attributes or {})["server.port"] == port


async def test_the_breaker_is_inside_the_retries() -> None:
    async with FakeUpstream(fails(500), fails(500)) as upstream:
        endpoint = {
            **LOCAL,
            "endpoint": upstream.base_url,
            "retry": {"attempts_max": 5, "backoff_initial_ms": 1},
            "breaker": {"failures_to_open": 2},
        }
        model = build(settings(endpoint), secrets())["local"]
        with pytest.raises(CircuitOpen):
            await collect(model.stream(ask()))
        await model.aclose()
    assert len(upstream.requests) == 2


async def test_the_limit_is_inside_the_breaker() -> None:
    async with FakeUpstream(stalls_after("half"), answers("after")) as upstream:
        endpoint = {
            **LOCAL,
            "endpoint": upstream.base_url,
            "limits": {"concurrency_max": 1, "queue_max": 0},
            "breaker": {"failures_to_open": 1},
        }
        model = build(settings(endpoint), secrets())["local"]
        busy = model.stream(ask())
        await anext(busy)
        with pytest.raises(ConcurrencyExceeded):
            await collect(model.stream(ask()))
        await busy.aclose()
        assert (await collect(model.stream(ask())))[0] == "after"
        await model.aclose()


async def test_the_key_is_nowhere_but_in_the_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    recorder = record_telemetry()
    async with FakeUpstream(fails(500, error={"message": f"{KEY}: {PROMPT}"}), answers("ok")) as upstream:
        endpoint = {**LOCAL, "endpoint": upstream.base_url, "api_key": {"env": "K"}, "retry": {"attempts_max": 1}}
        telemetry = recorder.telemetry
        model = build_models(settings(endpoint), secrets=secrets(K=KEY), tracer=telemetry.tracer, meter=telemetry.meter)["local"]
        with pytest.raises(ServerFault) as caught:
            await collect(model.stream(ask()))
        await collect(model.stream(ask()))
        await model.aclose()
    shown = [str(caught.value), repr(caught.value), repr(model), *(span.to_json() for span in recorder.spans), str(recorder.metrics())]
    for text in shown:
        assert KEY not in text
        assert PROMPT not in text
    assert PROMPT not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"hedge": {}}, "`hedge` needs `replicas`"),
        ({"replicas": ["http://127.0.0.1:1/v1"]}, "endpoints must differ"),
        ({"replicas": ["http://127.0.0.1:2/v1", "http://127.0.0.1:2/v1"]}, "endpoints must differ"),
        ({"replicas": ["127.0.0.1:2"]}, "replicas"),
        ({"provider": "recorded", "endpoint": None, "recording": "r.parquet", "replicas": ["http://127.0.0.1:2/v1"]}, "impossible"),
        ({"replicas": ["http://127.0.0.1:2/v1"], "hedge": {"share_max": 1.1}}, "share_max"),
    ],
)
def test_what_replicas_can_not_be(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        settings({**LOCAL, **more})


async def test_each_endpoint_has_a_breaker_of_its_own() -> None:
    async with FakeUpstream(fails(500)) as first, FakeUpstream(answers("a"), answers("b")) as second:
        local = {**LOCAL, "endpoint": first.base_url, "replicas": [second.base_url], "breaker": {"failures_to_open": 1}}
        (model,) = build(settings({**local, "retry": {"attempts_max": 2, "backoff_initial_ms": 1}}), secrets()).values()
        assert [(await collect(model.stream(ask())))[0] for _ in range(2)] == ["a", "b"]
        await model.aclose()
