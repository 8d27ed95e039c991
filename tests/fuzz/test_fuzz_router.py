"""Anything at all, sent to the router service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from hypothesis import strategies as st

from tests.support.fuzzing import fuzz, wires
from tests.support.router_server import LOCAL, serving
from tests.support.servers import Served

SERVICE = "emafusion.router.v1"
PLAUSIBLE = {
    "emafusion.common.v1.Message.role": st.sampled_from([1, 2, 3, 2, 2]),
    "emafusion.common.v1.Message.content": st.sampled_from(["How many?", "Which? (A) 1\n(B) 2", "x"]),
    "emafusion.router.v1.Constraints.allow_models": st.sampled_from(LOCAL),
    "emafusion.router.v1.Constraints.deny_models": st.sampled_from(LOCAL),
    "emafusion.router.v1.Constraints.models_max": st.integers(0, 17),
    "emafusion.router.v1.Constraints.suitability_min": st.floats(0, 1),
    "emafusion.common.v1.GenerationParams.max_output_tokens": st.integers(1, 100),
    "emafusion.common.v1.GenerationParams.temperature": st.floats(0, 2),
    "emafusion.common.v1.GenerationParams.top_p": st.floats(0.1, 1),
    "emafusion.common.v1.GenerationParams.stop": st.just("x"),
}


@pytest.mark.parametrize("method", ["Route", "BatchRoute", "ListModels", "Nonsense"])
def test_router(method: str, examples: int, tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    @asynccontextmanager
    async def world() -> AsyncGenerator[Served]:
        async with serving(tmp_path, blocked_event_loop_is_an_error) as served:
            yield served

    request_type = f"{SERVICE}.{'RouteRequest' if method == 'Nonsense' else f'{method}Request'}"
    fuzz(world, f"/{SERVICE}.RouterService/{method}", wires(request_type, PLAUSIBLE), examples=examples)
