"""JSON Schemas from callers: what is taken, what is refused, and that neither can take for ever."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from servicekit.errors import InvalidField
from servicekit.json_schemas import SCHEMA_VALUES_MAX, BadJsonSchema, check_json_schema, depth_exceeds, read_schema

ORDINARY: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/person",
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"$ref": "#/$defs/age"}, "kin": {"items": {"$ref": "#"}}},
    "patternProperties": {"^x-": {"$ref": "#more"}},
    "additionalProperties": False,
    "required": ["name"],
    "dependentRequired": {"age": ["name"]},
    "$defs": {"age": {"type": ["integer", "null"], "minimum": 0, "multipleOf": 1}, "m/o~re": {"$anchor": "more", "enum": [1, "a", None]}},
    "if": {"minProperties": 1},
    "then": True,
    "anyOf": [{"$ref": "#/$defs/m~1o~0re"}, True],
    "x-own": {"anything": ["goes"]},
}


def test_an_ordinary_schema_is_taken() -> None:
    read = read_schema(json.dumps(ORDINARY))
    assert read["properties"] == ORDINARY["properties"]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("{", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ("NaN", "not JSON"),
        ("3", "a schema is an object or a boolean"),
        (json.dumps({"type": "text"}), "not a type"),
        (json.dumps({"type": []}), "not a type"),
        (json.dumps({"properties": []}), "not an object"),
        (json.dumps({"properties": {"a": 1}}), "a schema is an object"),
        (json.dumps({"items": [{}]}), "a schema is an object"),
        (json.dumps({"allOf": []}), "not a list of schemas"),
        (json.dumps({"required": [0, "a"]}), "not a list of names"),
        (json.dumps({"dependentRequired": {"a": "b"}}), "not a list of names"),
        (json.dumps({"maxItems": -1}), "whole number"),
        (json.dumps({"maxItems": 1.5}), "whole number"),
        (json.dumps({"minimum": "1"}), "not a number"),
        (json.dumps({"minimum": True}), "not a number"),
        (json.dumps({"maximum": 10**400}), "not a number"),
        (json.dumps({"maxItems": 10**400}), ""),
        (json.dumps({"multipleOf": 0}), "not above 0"),
        (json.dumps({"uniqueItems": "yes"}), "not a boolean"),
        (json.dumps({"enum": "a"}), "not a list"),
        (json.dumps({"pattern": 1}), "not a text"),
        (json.dumps({"pattern": "("}), "RE2"),
        (json.dumps({"pattern": "(?=a)b"}), "RE2"),
        (json.dumps({"pattern": r"(a)\1"}), "RE2"),
        (json.dumps({"pattern": "((a{1000}){1000})"}), "RE2"),
        (json.dumps({"pattern": "\ud800"}), "RE2"),
        (json.dumps({"patternProperties": {"(": {}}}), "RE2"),
        (json.dumps({"$ref": "http://127.0.0.1/schema"}), "into the schema itself"),
        (json.dumps({"$ref": "#/x", "x": {"$schema": "http://json-schema.org/draft-07/schema#"}}), "not a reference to a schema"),
        (json.dumps({"$ref": "#/const", "const": {"pattern": "("}}), "not a reference to a schema"),
        (json.dumps({"$anchor": 1}), "not a text"),
        (json.dumps({"items": {"$id": "x", "$ref": "#/c", "c": {}}}), r"`\$id` of its own"),
        (json.dumps({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}), "another draft"),
        (json.dumps({"unevaluatedProperties": False}), "not supported"),
        (json.dumps({"$dynamicRef": "#"}), "not supported"),
        (json.dumps({"enum": [0] * SCHEMA_VALUES_MAX}), "values"),
        (json.dumps({"enum": ["x" * 70_000]}), "bytes"),
        ('{"not":' * 40 + "{}" + "}" * 40, "levels"),
    ],
)
def test_what_is_no_schema_or_is_not_supported_is_refused(schema: str, problem: str) -> None:
    if not problem:
        read_schema(schema)
        return
    with pytest.raises(BadJsonSchema, match=problem):
        read_schema(schema)
    with pytest.raises(InvalidField) as caught:
        check_json_schema("output.json_schema", schema)
    assert caught.value.field == "output.json_schema"


KEYWORDS = st.sampled_from(
    ["type", "properties", "items", "required", "enum", "minimum", "maxItems", "allOf", "uniqueItems", "multipleOf", "not", "$defs"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["string", "object", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_it_agrees_with_the_metaschema(value: Any) -> None:
    try:
        Draft202012Validator.check_schema(value)
    except SchemaError:
        with pytest.raises(BadJsonSchema):
            read_schema(json.dumps(value))
    else:
        read_schema(json.dumps(value))


def test_depth_is_measured_without_a_stack() -> None:
    deep: Any = 0
    for _ in range(50_000):
        deep = [deep]
    assert depth_exceeds(deep, 128)
    assert depth_exceeds([[[0]]], 2)
    assert not depth_exceeds([[[0]]], 3)
    while isinstance(deep, list):  # taken apart step by step, as Python's own way would need a stack
        deep = cast("list[Any]", deep)[0]
