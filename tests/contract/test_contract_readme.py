"""What the README shows must work as it stands there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from tests.support.suite import REPOSITORY, serve_suite, write_config
from tests.support.upstream import FakeUpstream, answers


async def test_the_python_example_prints_the_committed_text(
    tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = await asyncio.to_thread((REPOSITORY / "README.md").read_text, encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    async with FakeUpstream(answers("Mer", "cury")) as upstream:
        config = await asyncio.to_thread(write_config, tmp_path, models={"only": upstream.base_url})
        async with serve_suite(config, buster=blocked_event_loop_is_an_error) as addresses:
            source = example.replace("dns:///127.0.0.1:50053", addresses.cascade)
            assert source != example, "the example no longer names the default target"
            outcome = eval(compile(source, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {})  # noqa: S307 - our own README
            assert inspect.isawaitable(outcome)
            await outcome
    assert capsys.readouterr().out.splitlines()[-1] == "Mercury"


def test_every_link_in_the_documentation_leads_somewhere() -> None:
    missing: list[str] = []
    for page in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *REPOSITORY.glob("docs/**/*.md")):
        for link in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not (page.parent / link).exists():
                missing.append(f"{page.relative_to(REPOSITORY)}: {link}")  # noqa: PERF401 - reads better than a nested comprehension
    assert missing == []
