"""Anything at all, sent to the cascade service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.support.cascade_served import cascade_world
from tests.support.fuzzing import fuzz, wires
from tests.support.servers import Served
from tests.support.upstream import FakeUpstream, answers

SERVICE = "emafusion.cascade.v1"
PLAUSIBLE = {
    "emafusion.common.v1.Message.role": st.sampled_from([1, 2, 3, 2, 2]),
    "emafusion.common.v1.Message.content": st.sampled_from(["How many?", "Which? (A) 1\n(B) 2", "x"]),
    "emafusion.cascade.v1.CompleteRequest.fixed_plan": st.sampled_from(["small", "large"]),
    "emafusion.cascade.v1.CompleteRequest.policy": st.sampled_from(["", "balanced"]),
    "emafusion.cascade.v1.CompleteRequest.accept_threshold": st.floats(0, 1),
    "emafusion.cascade.v1.StreamCompleteRequest.delivery": st.integers(0, 3),
    "emafusion.router.v1.Constraints.allow_models": st.just("small"),
    "emafusion.router.v1.Constraints.deny_models": st.just("large"),
    "emafusion.common.v1.OutputContract.kind": st.integers(0, 4),
    "emafusion.common.v1.GenerationParams.max_output_tokens": st.integers(1, 100),
    "emafusion.common.v1.GenerationParams.temperature": st.floats(0, 2),
    "emafusion.common.v1.GenerationParams.stop": st.just("x"),
}


@pytest.mark.parametrize("method", ["Complete", "StreamComplete", "GetDecision", "SubmitFeedback", "ListModels", "Nonsense"])
def test_cascade(method: str, examples: int, tmp_path: Path) -> None:
    @asynccontextmanager
    async def world() -> AsyncGenerator[Served]:
        upstreams = {"small": FakeUpstream(default=answers("4", "1")), "large": FakeUpstream(default=answers("42"))}
        async with cascade_world(tmp_path, upstreams) as served:
            yield served.served

    request_type = f"{SERVICE}.{'CompleteRequest' if method == 'Nonsense' else f'{method}Request'}"
    fuzz(world, f"/{SERVICE}.CascadeService/{method}", wires(request_type, PLAUSIBLE), examples=examples)
