"""How many examples a fuzz target tries."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/fuzz/" in str(item.path):
            item.add_marker(pytest.mark.fuzz)


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    return int(str(request.config.getoption("--fuzz-examples")))
