"""The router service with the learned router and models that it was not trained on, behind a real server and channel."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from blockbuster import BlockBuster
from emafusion.common.v1 import chat_pb2
from emafusion.router.v1 import plan_pb2, router_service_pb2, router_service_pb2_grpc

from router_service import bootstrap
from router_service.adapters.newcomer_files import read_prior, write_adapted
from router_service.adapters.onnx_encoder import open_encoder
from router_service.adapters.onnx_quality import open_quality
from router_service.bootstrap import RouterService, build_service
from router_service.domain.descriptors import Descriptors
from router_service.domain.errors import ArtifactMismatch
from router_service.domain.newcomers import newcomer
from servicekit.artifacts import load_manifest
from servicekit.settings.load import load_settings
from servicekit.telemetry import Telemetry
from tests.support.servers import serve
from tests.support.suite import blocking_allowed

ARTIFACTS = Path(__file__).parents[3] / "artifacts"
RECORDED, ADAPTED, CARD_ONLY, MEASURED = "gpt-4o-2024-05-13", "adapted", "card-only", "smollm2-135m"
ENCODER = cache(open_encoder)
ANSWERS = 60


@pytest.fixture(autouse=True)
def encoder_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "open_encoder", ENCODER)


def model(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "provider": "openai_compatible", "endpoint": "http://127.0.0.1:9/v1", "max_output_tokens": 4_096, **more}


def build(folder: Path, learned: dict[str, Any]) -> RouterService:
    dear = {"input_usd_per_mtok": 2.0, "output_usd_per_mtok": 8.0}
    models = [
        model(RECORDED, price={"input_usd_per_mtok": 5.0, "output_usd_per_mtok": 15.0}, context_tokens=128_000),
        model(ADAPTED, price=dear, context_tokens=128_000),
        model(CARD_ONLY, price=dear, context_tokens=128_000, upstream_model="vendor/claude-5-haiku", reasoning=True),
        model(MEASURED),
    ]
    path = folder / "emafusion.yaml"
    path.write_text(
        yaml.safe_dump({"models": models, "artifacts": {"directory": str(ARTIFACTS)}, "router": {"learned": learned}}), encoding="utf-8"
    )
    return build_service(load_settings(path, {}), telemetry=Telemetry.off())


def write_beliefs(path: Path, *, right: bool, learned: str | None = None) -> None:
    folder = ARTIFACTS / "learned"
    manifest, encoder = load_manifest(folder), load_manifest(ARTIFACTS / "encoder")
    vectors = np.random.default_rng(0).normal(size=(ANSWERS, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = open_quality(folder, manifest).evidence(vectors, ADAPTED, right=[right] * ANSWERS, tokens=[300.0] * ANSWERS)
    card = Descriptors(
        name=ADAPTED, upstream_name=ADAPTED, input_usd_per_mtok=2.0, output_usd_per_mtok=8.0, context_tokens=128_000, reasoning=False
    )
    beliefs = newcomer(read_prior(folder, manifest), card, answers)
    write_adapted(path, [beliefs], encoder=encoder.fingerprint, learned=learned or manifest.fingerprint)


async def plan_of(service: RouterService, only: str) -> plan_pb2.Plan:
    request = router_service_pb2.RouteRequest(
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content="What is 17 * 23?")],
        constraints=router_service_pb2.Constraints(allow_models=[only]),
    )
    try:
        await service.warm_up()
        async with serve(service.add_to, errors=service.errors, telemetry=Telemetry.off()) as running:
            return (await router_service_pb2_grpc.RouterServiceStub(running.channel).Route(request)).plan
    finally:
        await service.aclose()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (RECORDED, "from 7,"),
        (ADAPTED, f"from {ANSWERS} answers"),
        (CARD_ONLY, "never measured"),
        (MEASURED, "answers"),
    ],
)
async def test_every_plan_says_what_its_quality_rests_on(
    name: str, source: str, tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster
) -> None:
    with blocking_allowed(blocked_event_loop_is_an_error):
        write_beliefs(tmp_path / "adapted.json", right=True)
        service = build(tmp_path, {"adapted": str(tmp_path / "adapted.json")})
    plan = await plan_of(service, name)
    assert [entry.model for entry in plan.models] == [name]
    assert source in plan.models[0].reason
    assert plan.kind == plan_pb2.ROUTE_KIND_LEARNED
    assert "3 of 4 models was predicted for this request, of 1 from price" in " ".join(plan.reasons)


async def test_labelled_answers_move_the_predicted_quality(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    qualities: list[float] = []
    for right in (False, True):
        with blocking_allowed(blocked_event_loop_is_an_error):
            write_beliefs(tmp_path / "adapted.json", right=right)
            service = build(tmp_path, {"adapted": str(tmp_path / "adapted.json")})
        qualities.append((await plan_of(service, ADAPTED)).models[0].predicted_quality)
    assert qualities[0] < qualities[1] - 0.3


def test_beliefs_made_for_another_learned_router_stop_the_start(tmp_path: Path) -> None:
    write_beliefs(tmp_path / "adapted.json", right=True, learned="000000000000")
    with pytest.raises(ArtifactMismatch, match=r"made for learned 000000000000"):
        build(tmp_path, {"adapted": str(tmp_path / "adapted.json")})


def test_a_missing_file_of_beliefs_stops_the_start_with_what_mends_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMismatch, match=r"none\.json can't be read.*training\.adapt"):
        build(tmp_path, {"adapted": str(tmp_path / "none.json")})
