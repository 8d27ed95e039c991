"""Rules on the source tree: telemetry names in one file, interceptors in one order, a manual that is up to date."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from servicekit import semconv
from servicekit.errors import ErrorTable
from servicekit.interceptors.chain import ORDER, assert_order, build_chain
from servicekit.settings.document import TARGET, main, render
from servicekit.settings.serving import ServerSettings

ROOT = Path(__file__).parents[3]
PACKAGES = ("servicekit", "providers", "router_service", "judge_service", "cascade_service")
# `emafusion.yaml` and such are file names; telemetry names have a second step, as in `emafusion.cascade.tier`.
TELEMETRY_NAME = re.compile(r"^(gen_ai\.|emafusion\.[a-z_]+\.[a-z_])")
# Full names of gRPC services look alike and are none.
CONTRACT_NAME = re.compile(r"^emafusion\.(common|router|judge|cascade)\.v\d+\.")


def literals(tree: ast.AST) -> Iterator[ast.Constant]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def telemetry_literals(source: str) -> list[str]:
    names = [str(node.value) for node in literals(ast.parse(source))]
    return [name for name in names if TELEMETRY_NAME.match(name) and not CONTRACT_NAME.match(name)]


def test_telemetry_names_stand_in_one_file_only() -> None:
    offenders = {
        str(path.relative_to(ROOT)): found
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "semconv.py" and (found := telemetry_literals(path.read_text()))
    }
    assert offenders == {}


def test_the_rule_catches_what_it_forbids() -> None:
    source = """
span.set_attribute("gen_ai.request.model", 1)
span.add_event("emafusion.cascade.escalated")
SERVICE = "emafusion.router.v1.RouterService"
"""
    assert telemetry_literals(source) == ["gen_ai.request.model", "emafusion.cascade.escalated"]


def test_every_telemetry_name_is_used() -> None:
    sources = "".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "semconv.py")
    used = set(re.findall(r"\bsemconv\.([A-Z0-9_]+)\b", sources)) | set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", sources))
    assert {name for name in vars(semconv) if name.isupper()} - used == set()


def test_our_own_names_are_in_our_namespace() -> None:
    names = {name: value for name, value in vars(semconv).items() if name.startswith("EMAFUSION_")}
    assert names
    assert all(str(value).startswith("emafusion.") for value in names.values())


async def test_every_server_has_the_interceptors_in_order() -> None:
    chain = build_chain(
        ServerSettings(), errors=ErrorTable(), tracer=NoOpTracerProvider().get_tracer("t"), meter=NoOpMeterProvider().get_meter("t")
    )
    assert tuple(interceptor.name for interceptor in chain.interceptors) == ORDER
    with pytest.raises(ValueError, match="interceptors must be trace > access_log > errors > auth > deadline > admission"):
        assert_order(chain.interceptors[::-1])


def test_the_manual_is_up_to_date() -> None:
    assert TARGET.read_text() == render()
    assert main(["--check"]) == 0


def test_the_manual_has_defaults_bounds_and_meanings() -> None:
    page = render()
    assert "| `attempts_max` | integer | `4` | ≥ 1, ≤ 16 | Most attempts. |" in page
    assert "| `listen` | text | `127.0.0.1:50053` |" in page
    assert "## `judge.judges[] (kind: llm)`" in page
    assert "|  |  |  |" not in page
