"""Texts that are made to hang or to crash whoever reads them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain.candidates import AnswerForm, Contract
from judge_service.domain.checks import PYTHON_CHARS_MAX, form_problem
from router_service.adapters.slow_classifier import parse_reply
from router_service.domain.taxonomy import Axis
from tests.support.hostile_texts import UNITS

PARTS = 4


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_expression_is_done_with_any_text_in_bounded_time(part: int) -> None:
    assert len(UNITS) > PARTS
    command = [sys.executable, "-m", "tests.support.hostile_texts", str(part), str(PARTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)  # noqa: S603 - our own module
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr[-2_000:]


@pytest.mark.parametrize("source", ["f'" + "{a}" * 70_000 + "'", "1," * PYTHON_CHARS_MAX])
def test_source_that_takes_python_too_long_is_not_parsed(source: str) -> None:
    assert "longer than" in form_problem(source, Contract(form=AnswerForm.PYTHON), JsonSchemaValidator())


def test_a_deeply_nested_reply_is_no_opinion_of_the_classifier() -> None:
    assert parse_reply('{"domain": ' + "[" * 100_000 + "}", {Axis.DOMAIN: ("math",)}) == {}
