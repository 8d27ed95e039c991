"""The LLM classifier inside the served router, asked over HTTP: its opinion is mixed in by λ, its failures are not felt."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from blockbuster import BlockBuster
from emafusion.common.v1 import chat_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2, router_service_pb2_grpc

from router_service.bootstrap import build_service
from servicekit.settings.load import load_settings
from servicekit.telemetry import Telemetry
from tests.support.servers import serve
from tests.support.suite import REPOSITORY, blocking_allowed
from tests.support.upstream import Behaviour, FakeUpstream, answers, fails, hangs

FAST_ONLY = 0.9
"""`general` gets more than this from the fast classifier for the question below."""


async def plan(folder: Path, buster: BlockBuster, upstream: FakeUpstream, *, weight: float) -> plan_pb2.Plan:
    content = {
        "models": [{"name": "slow", "provider": "openai_compatible", "endpoint": upstream.base_url, "retry": {"attempts_max": 1}}],
        "artifacts": {"directory": str(REPOSITORY / "artifacts")},
        "router": {"taxonomy": {"slow_classifier": {"model": "slow", "weight": weight, "timeout_ms": 500}}},
    }
    with blocking_allowed(buster):
        path = folder / "emafusion.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        service = build_service(load_settings(path, {}), telemetry=Telemetry.off())
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content="What is the capital of France?")
    try:
        async with serve(service.add_to, errors=service.errors) as running:
            stub = router_service_pb2_grpc.RouterServiceStub(running.channel)
            response: router_service_pb2.RouteResponse = await stub.Route(router_service_pb2.RouteRequest(messages=[message]))
    finally:
        await service.aclose()
    return response.plan


def probability(found: plan_pb2.Plan, axis: str, label: str) -> float:
    distribution = next(entry.distribution for entry in found.taxonomy.axes if entry.axis == axis)
    return next(entry.probability for entry in distribution if entry.label == label)


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0])
async def test_opinion_is_mixed_in_by_its_weight(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster, weight: float) -> None:
    async with FakeUpstream(answers('{"task_type": "writing", ', '"domain": "law"}')) as upstream:
        found = await plan(tmp_path, blocked_event_loop_is_an_error, upstream, weight=weight)
    law = probability(found, "domain", "law")
    assert weight * 0.8 <= law <= weight * 0.8 + (1 - weight) * (1 - FAST_ONLY)
    assert probability(found, "reasoning_complexity", "low") > FAST_ONLY
    assert found.taxonomy.slow_weight == weight


@pytest.mark.parametrize("behaviour", [fails(500), hangs(), answers("I would say: law!"), answers('{"domain": "law')])
async def test_fast_classifier_decides_alone_when_the_model_is_of_no_help(
    tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster, behaviour: Behaviour
) -> None:
    async with FakeUpstream(behaviour) as upstream:
        found = await plan(tmp_path, blocked_event_loop_is_an_error, upstream, weight=0.5)
    assert found.taxonomy.slow_weight == 0.0
    assert probability(found, "domain", "general") > FAST_ONLY
