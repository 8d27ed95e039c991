"""Answers against schemas: right verdicts, and an end to every check."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from judge_service.adapters.json_schema import STEPS_MAX, VALUE_DEPTH_MAX, JsonSchemaValidator
from judge_service.domain.errors import BadSchema

SCHEMAS = JsonSchemaValidator()


def problem(value: object, schema: object) -> str:
    return SCHEMAS.problem(value, json.dumps(schema))


@pytest.mark.parametrize(
    ("value", "schema", "found"),
    [
        ("abc", {"pattern": "^a"}, ""),
        ("abc", {"pattern": "^b"}, "rule `pattern` at `$`"),
        ([1, 1.0], {"uniqueItems": True}, "rule `uniqueItems` at `$`"),
        ([1, True, "1", None, [1], {"a": 1}], {"uniqueItems": True}, ""),
        ({"a": 1, "xb": 1}, {"patternProperties": {"^x": {"type": "string"}}}, "rule `type` at `$.xb`"),
        ({"a": 1, "xb": 1}, {"properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": False}, ""),
        ({"c": 1}, {"properties": {"a": {}}, "additionalProperties": False}, "rule `additionalProperties` at `$`"),
        ({"c": 1}, {"additionalProperties": {"type": "string"}}, "rule `type` at `$.c`"),
        ([3], {"items": {"$ref": "#/$defs/small"}, "$defs": {"small": {"maximum": 2}}}, "rule `maximum` at `$.0`"),
    ],
)
def test_problems_are_found(value: object, schema: object, found: str) -> None:
    assert problem(value, schema) == found


def test_a_pattern_that_would_backtrack_for_ever_does_not() -> None:
    assert problem("a" * 200_000 + "b", {"pattern": "^(a+)+$"}) == "rule `pattern` at `$`"


def test_a_schema_that_asks_for_exponentially_many_checks_runs_out_of_steps() -> None:
    doubling = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(60)}
    with pytest.raises(BadSchema, match="steps"):
        problem(0, {"$ref": "#/$defs/d0", "$defs": {**doubling, "d60": {}}})


def test_values_that_differ_by_type_are_compared_in_linear_time() -> None:
    mixed = [item for number in range(40_000) for item in (number, str(number))]
    assert not problem(mixed, {"uniqueItems": True})


def test_long_values_run_out_of_steps_too() -> None:
    with pytest.raises(BadSchema, match="steps"):
        problem([0] * STEPS_MAX, {"items": {"not": {"const": 1}}})


def test_a_value_of_any_depth_is_safe() -> None:
    inner: Any = 0
    for _ in range(VALUE_DEPTH_MAX + 1):
        inner = [inner]
    assert "levels deep" in problem(inner, {"items": {"$ref": "#"}})


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}])
def test_a_schema_that_refers_to_itself_without_end_is_unusable(schema: object) -> None:
    with pytest.raises(BadSchema):
        problem(0, schema)


def test_numbers_beyond_reckoning_are_no_fault_of_the_judge() -> None:
    with pytest.raises(BadSchema):
        problem(10**4_000, {"multipleOf": 0.5})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "a", "ab", "xa", 1.0, 0.5]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "xa", "xb"]), inner, max_size=3),
    max_leaves=8,
)
SOME_SCHEMAS: list[dict[str, Any]] = [
    {"uniqueItems": True},
    {"items": {"uniqueItems": True}, "contains": {"type": "integer"}},
    {"properties": {"a": {"type": "array"}}, "patternProperties": {"^x": {"enum": [1, "a"]}}, "additionalProperties": {"type": "null"}},
    {"patternProperties": {"b$": True}, "additionalProperties": False},
    {"items": {"pattern": "a+$"}, "oneOf": [{"type": "array"}, {"type": "object"}]},
    {"prefixItems": [{"multipleOf": 2}], "minItems": 1, "propertyNames": {"maxLength": 1}},
]


@given(JSON, st.sampled_from(SOME_SCHEMAS))
def test_it_agrees_with_the_library(value: Any, schema: dict[str, Any]) -> None:
    assert bool(problem(value, schema)) is not cast("Any", Draft202012Validator(schema)).is_valid(value)
