"""Anything at all, sent to the judge service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from hypothesis import strategies as st

from tests.support.fuzzing import fuzz, wires
from tests.support.judge_server import judge_settings, serving
from tests.support.servers import Served

SERVICE = "emafusion.judge.v1"
PLAUSIBLE = {
    "emafusion.common.v1.Message.role": st.sampled_from([1, 2, 3, 2, 2]),
    "emafusion.common.v1.Message.content": st.sampled_from(["How many?", "Which? (A) 1\n(B) 2", "x"]),
    "emafusion.judge.v1.Candidate.id": st.uuids().map(str),
    "emafusion.judge.v1.Candidate.finish_reason": st.integers(0, 3),
    "emafusion.judge.v1.Panel.judges": st.sampled_from(["checks", "agreement"]),
    "emafusion.judge.v1.Panel.accept_threshold": st.floats(0, 1),
    "emafusion.common.v1.OutputContract.kind": st.integers(0, 4),
    "emafusion.common.v1.LogprobSummary.tokens": st.integers(0, 3),
}


@pytest.mark.parametrize(
    ("method", "request_type"),
    [("Judge", "JudgeRequest"), ("StreamJudge", "StreamJudgeRequest"), ("ListJudges", "ListJudgesRequest"), ("Nonsense", "JudgeRequest")],
)
def test_judge(method: str, request_type: str, examples: int, tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> None:
    @asynccontextmanager
    async def world() -> AsyncGenerator[Served]:
        async with serving(judge_settings(tmp_path)) as served:
            yield served

    fuzz(world, f"/{SERVICE}.JudgeService/{method}", wires(f"{SERVICE}.{request_type}", PLAUSIBLE), examples=examples)
