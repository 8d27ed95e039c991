"""JSON Schema, draft 2020-12, through `jsonschema`, in a bounded number of steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Any, Final, cast

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from judge_service.domain.errors import BadSchema
from servicekit.json_schemas import BadJsonSchema, compile_pattern, depth_exceeds, read_schema

STEPS_MAX: Final = 100_000
"""Keywords looked at and entries compared in one check, a fraction of a second: schemas can ask for exponentially many."""
VALUE_DEPTH_MAX: Final = 128
"""Levels of lists and objects in a value; Python's stack ends not far beyond."""

_PATTERNS_KEPT: Final = 256
_PROBLEMS_MAX: Final = 64
_PATH_PARTS_MAX = 8
_PART_CHARS_MAX = 40

_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
_steps: ContextVar[list[int]] = ContextVar("json_schema_steps")


class TooManySteps(Exception):
    """A check ran out of steps."""


class JsonSchemaValidator:
    """Checks values against schemas. References to other documents are never fetched; such a schema is unusable."""

    def problem(self, value: object, schema: str) -> str:
        """The first thing wrong with ``value``: the rule and the place, never the value. Raises ``BadSchema``."""
        validator = _validator(schema)
        if depth_exceeds(value, VALUE_DEPTH_MAX):
            return f"it is nested more than {VALUE_DEPTH_MAX} levels deep"
        _steps.set([STEPS_MAX])
        try:
            errors = list(islice(cast("Iterator[ValidationError]", validator.iter_errors(value)), _PROBLEMS_MAX))
        except (Unresolvable, RecursionError, BadJsonSchema) as error:
            raise BadSchema("a reference of the schema can't be resolved") from error
        except ArithmeticError as error:
            raise BadSchema("a number of the value can't be reckoned with") from error
        except TooManySteps as error:
            raise BadSchema(f"checking takes more than {STEPS_MAX:,} steps") from error
        if not errors:
            return ""
        first = min(errors, key=lambda found: len(list(found.absolute_path)))
        return f"rule `{_rule(first)}` at `{_place(first)}`"

    def check(self, schema: str) -> None:
        """Raises ``BadSchema`` when ``schema`` is no JSON Schema that is supported."""
        _validator(schema)


def _validator(schema: str) -> Any:  # noqa: ANN401 - a class made at run time
    try:
        return _Bounded(read_schema(schema), registry=cast("Any", Registry)())
    except BadJsonSchema as error:
        raise BadSchema(f"the schema is {error}") from error


def _spend(steps: int) -> None:
    left = _steps.get()
    left[0] -= steps
    if left[0] < 0:
        raise TooManySteps


def _counted(keyword: _Keyword) -> _Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:  # noqa: ANN401 - as in `jsonschema`
        _spend(1 + (len(cast("list[object]", value)) if isinstance(value, list) else 0))
        yield from keyword(validator, value, instance, schema) or ()

    return counted


@lru_cache(maxsize=_PATTERNS_KEPT)
def _compiled(pattern: str) -> Callable[[str], object | None]:
    return compile_pattern(pattern).search


def _pattern(_: Any, pattern: str, instance: object, __: Any) -> Iterator[ValidationError]:  # noqa: ANN401 - as in `jsonschema`
    if isinstance(instance, str) and not _compiled(pattern)(instance):
        yield ValidationError("a text does not match")


def _pattern_properties(validator: Any, patterns: Mapping[str, object], instance: object, _: Any) -> Iterator[ValidationError]:  # noqa: ANN401 - as in `jsonschema`
    if not isinstance(instance, dict):
        return
    entries = cast("dict[str, object]", instance)
    for pattern, schema in patterns.items():
        _spend(len(entries))
        for name in filter(_compiled(pattern), entries):
            yield from validator.descend(entries[name], schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, more: object, instance: object, schema: Mapping[str, Any]) -> Iterator[ValidationError]:  # noqa: ANN401 - as in `jsonschema`
    if not isinstance(instance, dict):
        return
    entries = cast("dict[str, object]", instance)
    patterns = [_compiled(pattern) for pattern in schema.get("patternProperties", ())]
    _spend(len(entries) * (1 + len(patterns)))
    for name in entries:
        if name in schema.get("properties", ()) or any(search(name) for search in patterns):
            continue
        if more is False:
            yield ValidationError("a property too many")
        else:
            yield from validator.descend(entries[name], more, path=name)


def _unique_items(_: Any, unique: bool, instance: object, __: Any) -> Iterator[ValidationError]:  # noqa: ANN401, FBT001 - as in `jsonschema`
    if unique and isinstance(instance, list):
        items = [json.dumps(_canonical(item), sort_keys=True) for item in cast("list[object]", instance)]
        if len(set(items)) < len(items):
            yield ValidationError("an item twice")


def _canonical(value: object) -> object:
    """``value`` with 1.0 as 1, which are the same to JSON Schema."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _canonical(inner) for name, inner in cast("dict[str, object]", value).items()}
        case list():
            return [_canonical(inner) for inner in cast("list[object]", value)]
        case _:
            return value


_LINEAR: Final[Mapping[str, _Keyword]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_KEYWORDS: Final = {**cast("Mapping[str, _Keyword]", Draft202012Validator.VALIDATORS), **_LINEAR}
_Bounded: Any = cast("Any", validators).extend(Draft202012Validator, {name: _counted(keyword) for name, keyword in _KEYWORDS.items()})


def _rule(error: ValidationError) -> str:
    return str(cast("object", error.validator))[:_PART_CHARS_MAX]


def _place(error: ValidationError) -> str:
    parts = [str(part)[:_PART_CHARS_MAX] for part in list(error.absolute_path)[:_PATH_PARTS_MAX]]
    return ".".join(["$", *parts])
