"""Calls that bring more messages than their method takes. A call without any is known to wait for its deadline, see SECURITY.md."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.support.fuzzing import check
from tests.support.judge_server import judge_settings, serving


@pytest.mark.parametrize("method", ["Judge", "StreamJudge", "ListJudges", "Nonsense"])
async def test_more_messages_than_one_end_in_a_status(method: str, tmp_path: Path) -> None:
    async with serving(judge_settings(tmp_path)) as served:
        path = f"/emafusion.judge.v1.JudgeService/{method}"
        assert await check(served.channel, path, [b""] * 2) in grpc.StatusCode
