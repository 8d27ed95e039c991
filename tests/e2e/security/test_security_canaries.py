"""Keys, prompts and answers appear nowhere but where they belong: planted canaries are looked for in everything that is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from emafusion_client import EmafusionClient, EmafusionError, Question
from emafusion_client.requests import FeedbackNote

from servicekit.keys import hash_of, new_key
from tests.support.otlp import OtlpReceiver, receive_otlp
from tests.support.suite import SuiteAddresses, overrides, process_environ, run_suite, write_config
from tests.support.upstream import FakeUpstream, answers, fails

PROMPT, ANSWER, ECHO = "zyxomorphic-prompt-canary", "quixotane-answer-canary", "grobble-echo-canary"
CALLER, SERVICE, PROVIDER, STRANGER = new_key(), new_key(), "provider-key-canary", "emf_stranger-key-canary"
CANARIES = (PROMPT, ANSWER, ECHO, CALLER, SERVICE, PROVIDER, STRANGER, hash_of(CALLER), hash_of(SERVICE))


@dataclass(frozen=True)
class Scene:
    """Where everything is written, and the services that write it."""

    folder: Path
    receiver: OtlpReceiver
    addresses: SuiteAddresses
    small: FakeUpstream
    large: FakeUpstream

    def client(self, key: str | None = CALLER) -> EmafusionClient:
        return EmafusionClient(cascade=self.addresses.cascade, router=self.addresses.router, judge=self.addresses.judge, api_key=key)


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[Scene]:
    good = answers(ANSWER, " is it.", logprob=-0.1)
    keys = [
        {"id": "caller", "hash": hash_of(CALLER), "scopes": ["complete", "read", "feedback"]},
        {"id": "services", "hash": hash_of(SERVICE), "scopes": ["route", "judge", "read"]},
    ]
    sections: dict[str, Mapping[str, Any]] = {
        "server": {"auth": {"keys": keys}},
        "services": {"api_key": {"env": "SERVICE_KEY"}},
        "logging": {"level": "debug"},
    }
    async with receive_otlp() as receiver, FakeUpstream(default=good) as small, FakeUpstream(default=good) as large:
        urls = {"small": small.base_url, "large": large.base_url}
        config = await asyncio.to_thread(write_config, folder, models=urls, **sections)
        environ = process_environ() | {"SERVICE_KEY": SERVICE, "PROVIDER_KEY": PROVIDER}
        environ |= overrides(telemetry__otlp_endpoint=receiver.endpoint, telemetry__metric_interval_ms=200, telemetry__file="spans.jsonl")
        environ |= overrides(models__small__api_key="{env: PROVIDER_KEY}", models__large__api_key="{env: PROVIDER_KEY}")
        log = await asyncio.to_thread((folder / "log").open, "wb")
        try:
            async with run_suite(config, environ=environ, log=log) as addresses:
                yield Scene(folder, receiver, addresses, small, large)
        finally:
            await asyncio.to_thread(log.close)


async def failure(call: Awaitable[object]) -> EmafusionError:
    with pytest.raises(EmafusionError) as caught:
        await call
    return caught.value


def shown(error: EmafusionError) -> str:
    """Everything that a caller can see of an error, what gRPC says of it included."""
    return f"{error!r} {error.message} {error.details!r} {error.__cause__!r}"


async def use(scene: Scene) -> tuple[list[str], list[EmafusionError]]:
    """Requests of every kind. Returns the decisions and the errors."""
    asked = Question.of(f"What is a {PROMPT}?")
    async with scene.client() as client:
        accepted = await client.complete(asked, timeout_s=60)
        async with aclosing(client.stream(replace(asked, accept_threshold=1.0), timeout_s=60)) as events:
            kinds = [type(event).__name__ async for event in events]
        await client.feedback(accepted.decision_id, FeedbackNote(correct=True, source="user"), timeout_s=20)
        failed = [
            await failure(client.complete(replace(asked, policy="unknown"), timeout_s=20)),
            await failure(client.complete(replace(asked, accept_threshold=7.0), timeout_s=20)),
            await failure(client.decision("none-such", timeout_s=20)),
            await failure(client.route(asked, timeout_s=20)),
        ]
        scene.small.will(fails(400, error={"message": f"{ECHO} {PROMPT} {PROVIDER}"}))
        failed.append(await failure(client.complete(replace(asked, fixed_plan=("small",)), timeout_s=60)))
    assert "Escalated" in kinds, kinds
    for key in (None, STRANGER):
        async with scene.client(key) as client:
            failed.append(await failure(client.complete(asked, timeout_s=20)))
    return [accepted.decision_id], failed


def contents(folder: Path) -> dict[str, bytes]:
    """Files that the services wrote."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "emafusion.yaml"}


async def test_nothing_that_is_written_has_a_key_or_a_text(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        decisions, failed = await use(scene)
        sent = [request.headers.get("authorization", "") for request in (*scene.small.requests, *scene.large.requests)]
        prompts = [str(request.body) for request in scene.small.requests]
    written = await asyncio.to_thread(contents, tmp_path)
    # The canaries did go where they belong, and every place that is searched was written to.
    assert set(sent) == {f"Bearer {PROVIDER}"}
    assert all(PROMPT in prompt for prompt in prompts)
    assert b"call" in written["log"]
    assert decisions[0].encode() in b"".join(content for name, content in written.items() if name.startswith("decisions.sqlite3"))
    assert written["spans.jsonl"]
    assert [error.reason for error in failed] == [
        "UNKNOWN_POLICY",
        "INVALID_FIELD",
        "DECISION_NOT_FOUND",
        "SCOPE_MISSING",
        "PROVIDER_REJECTED",
        "API_KEY_MISSING",
        "API_KEY_UNKNOWN",
    ]
    places = written | {
        "spans": str(scene.receiver.spans).encode(),
        "metrics": str(scene.receiver.metrics).encode(),
        "errors": "".join(map(shown, failed)).encode(),
    }
    assert {"log", "spans.jsonl", "spans", "metrics", "errors"} <= {name for name, content in places.items() if content}
    found = [(canary, name) for canary in CANARIES for name, content in places.items() if canary.encode() in content]
    assert found == []
