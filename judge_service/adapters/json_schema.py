"""JSON Schema, draft 2020-12, through `jsonschema`."""

from __future__ import annotations

import json
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from judge_service.domain.errors import BadSchema

_PATH_PARTS_MAX = 8
_PART_CHARS_MAX = 40


class JsonSchemaValidator:
    """Checks values against schemas. References to other documents are never fetched; such a schema is unusable."""

    def problem(self, value: object, schema: str) -> str:
        """The first thing wrong with ``value``: the rule and the place, never the value. Raises ``BadSchema``."""
        validator = _validator(schema)
        try:
            errors = list(validator.iter_errors(cast("Any", value)))  # pyright: ignore[reportUnknownMemberType] typed in part only
        except (Unresolvable, RecursionError) as error:
            raise BadSchema("a reference of the schema can't be resolved") from error
        if not errors:
            return ""
        first = min(errors, key=lambda found: len(list(found.absolute_path)))
        return f"rule `{_rule(first)}` at `{_place(first)}`"

    def check(self, schema: str) -> None:
        """Raises ``BadSchema`` when ``schema`` is no JSON Schema."""
        _validator(schema)


def _validator(schema: str) -> Draft202012Validator:
    try:
        parsed: Any = json.loads(schema)
        Draft202012Validator.check_schema(parsed)
    except ValueError as error:
        raise BadSchema("the schema is not JSON") from error
    except SchemaError as error:
        raise BadSchema(f"the schema is not valid at `{_place(error)}`") from error
    except RecursionError as error:
        raise BadSchema("the schema is nested too deeply") from error
    return Draft202012Validator(parsed, registry=Registry())


def _rule(error: ValidationError) -> str:
    return str(cast("object", error.validator))[:_PART_CHARS_MAX]


def _place(error: ValidationError | SchemaError) -> str:
    parts = [str(part)[:_PART_CHARS_MAX] for part in list(error.absolute_path)[:_PATH_PARTS_MAX]]
    return ".".join(["$", *parts])
