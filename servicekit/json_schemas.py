"""JSON Schemas from callers (draft 2020-12), read so that neither reading nor using them can take unbounded time.

Reading is one pass over a bounded number of values and runs on the event loop; the metaschema of `jsonschema` takes milliseconds for each
value and is not used. Patterns are RE2's, which matches in linear time; Python's own expressions can take for ever.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote

import re2  # pyright: ignore[reportMissingTypeStubs] - has none

from servicekit.errors import InvalidField

SCHEMA_BYTES_MAX: Final = 64 * 1024
SCHEMA_DEPTH_MAX: Final = 32
SCHEMA_VALUES_MAX: Final = 4_096
"""Objects, lists, strings, numbers and so on in a schema, the whole included."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_PATTERN_MEMORY_BYTES: Final = 1 << 20
_SHOWN_MAX: Final = 60
_ROOT: Final = "#"
_TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})
_REFUSED: Final = frozenset(
    {"unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}
)


class BadJsonSchema(ValueError):
    """A text is no JSON Schema that is supported; the message says why, without values from it."""


class Pattern(Protocol):
    """A compiled pattern."""

    def search(self, text: str) -> object | None:
        """What was found in ``text``, None for nothing."""
        ...


def check_json_schema(field: str, text: str) -> None:
    """Raises ``InvalidField`` for ``field`` when ``text`` is no JSON Schema that is supported."""
    try:
        read_schema(text)
    except BadJsonSchema as error:
        allowed = (
            f"a JSON Schema of draft 2020-12 up to {SCHEMA_BYTES_MAX:,} bytes, {SCHEMA_VALUES_MAX:,} values and {SCHEMA_DEPTH_MAX} levels, "
            "with references into itself and RE2 patterns only"
        )
        raise InvalidField(field, str(error), allowed) from error


def read_schema(text: str) -> Any:  # noqa: ANN401 - a JSON value
    """The schema without its `$schema`: a mapping or a boolean. Raises ``BadJsonSchema``."""
    size = len(text.encode("utf-8", "replace"))
    if size > SCHEMA_BYTES_MAX:
        raise BadJsonSchema(f"{size:,} bytes long")
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadJsonSchema("not JSON") from error
    _check_size(value)
    reading = _Reading()
    reading.schema(value, _ROOT)
    reading.finish()
    return value


def compile_pattern(pattern: str) -> Pattern:
    """``pattern`` in RE2's syntax. Raises ``BadJsonSchema``."""
    library: Any = re2
    options = library.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY_BYTES
    try:
        return cast("Pattern", library.compile(pattern, options))
    except (library.error, ValueError, UnicodeError) as error:
        raise BadJsonSchema("with a pattern that RE2 does not have") from error


def depth_exceeds(value: object, depth_max: int) -> bool:
    """True when lists and objects in a JSON value stand inside each other more than ``depth_max`` deep. Needs no stack."""
    level = [value]
    for _ in range(depth_max + 1):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return False
    return True


def _check_size(value: object) -> None:
    level, count = [value], 1
    for _ in range(SCHEMA_DEPTH_MAX):
        level = [inner for outer in level for inner in _inner(outer)]
        count += len(level)
        if count > SCHEMA_VALUES_MAX:
            raise BadJsonSchema(f"more than {SCHEMA_VALUES_MAX:,} values")
        if not level:
            return
    raise BadJsonSchema(f"nested more than {SCHEMA_DEPTH_MAX} levels deep")


def _inner(value: object) -> list[object]:
    match value:
        case dict():
            return list(cast("dict[str, object]", value).values())
        case list():
            return cast("list[object]", value)
        case _:
            return []


@dataclass(slots=True)
class _Reading:
    """The places of a schema that are schemas, as JSON pointers from `#`, and what refers to them."""

    places: set[str] = field(default_factory=set[str])
    anchors: set[str] = field(default_factory=set[str])
    references: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def schema(self, value: object, place: str) -> None:
        """A schema at ``place``. Raises ``BadJsonSchema``, as all others do."""
        self.places.add(place)
        if isinstance(value, bool):
            return
        if not isinstance(value, dict):
            raise _wrong(place, "a schema is an object or a boolean")
        entries = cast("dict[str, object]", value)
        if entries.pop("$schema", DIALECT) != DIALECT:
            raise _wrong(place, "with a `$schema` of another draft")
        if "$id" in entries and place != _ROOT:
            raise _wrong(place, "with an `$id` of its own")
        for keyword, argument in entries.items():
            if keyword in _REFUSED:
                raise _wrong(place, f"with `{keyword}`, which is not supported")
            if (read := _INNER.get(keyword)) is not None:
                read(self, argument, f"{place}/{keyword}")
            elif (check := _CHECKS.get(keyword)) is not None:
                check(argument, f"{place}/{keyword}")

    def schemas(self, value: object, place: str) -> None:
        """A list of schemas."""
        if not isinstance(value, list) or not value:
            raise _wrong(place, "not a list of schemas")
        for index, schema in enumerate(cast("list[object]", value)):
            self.schema(schema, f"{place}/{index}")

    def by_name(self, value: object, place: str) -> None:
        """Schemas by name."""
        for name, schema in _object(value, place).items():
            self.schema(schema, f"{place}/{name.replace('~', '~0').replace('/', '~1')}")

    def by_pattern(self, value: object, place: str) -> None:
        """Schemas by pattern."""
        for pattern in _object(value, place):
            compile_pattern(pattern)
        self.by_name(value, place)

    def reference(self, value: object, place: str) -> None:
        """A reference."""
        if not isinstance(value, str) or not value.startswith(_ROOT):
            raise _wrong(place, "not a reference into the schema itself")
        self.references.append((value, place))

    def anchor(self, value: object, place: str) -> None:
        """A name that references may use."""
        if not isinstance(value, str):
            raise _wrong(place, "not a text")
        self.anchors.add(f"{_ROOT}{value}")

    def finish(self) -> None:
        """A reference to what was not read as a schema would bring in what was not checked."""
        for target, place in self.references:
            if unquote(target) not in self.places | self.anchors:
                raise _wrong(place, "not a reference to a schema")


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _wrong(place, "not an object")
    return cast("dict[str, object]", value)


def _number(value: object, place: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(_as_float(value)):
        raise _wrong(place, "not a number")


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _positive(value: object, place: str) -> None:
    _number(value, place)
    if cast("float", value) <= 0:
        raise _wrong(place, "not above 0")


def _count(value: object, place: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise _wrong(place, "not a whole number from 0")


def _flag(value: object, place: str) -> None:
    if not isinstance(value, bool):
        raise _wrong(place, "not a boolean")


def _list(value: object, place: str) -> None:
    if not isinstance(value, list):
        raise _wrong(place, "not a list")


def _names(value: object, place: str) -> None:
    if not isinstance(value, list) or any(not isinstance(name, str) for name in cast("list[object]", value)):
        raise _wrong(place, "not a list of names")


def _names_by_name(value: object, place: str) -> None:
    for names in _object(value, place).values():
        _names(names, place)


def _type(value: object, place: str) -> None:
    names: list[object] = cast("list[object]", value) if isinstance(value, list) else [value]
    if not names or any(not isinstance(name, str) or name not in _TYPES for name in names):
        raise _wrong(place, "not a type of JSON values")


def _pattern(value: object, place: str) -> None:
    if not isinstance(value, str):
        raise _wrong(place, "not a text")
    compile_pattern(value)


def _wrong(place: str, problem: str) -> BadJsonSchema:
    return BadJsonSchema(f"wrong at `{place[:_SHOWN_MAX]}`: {problem}")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_INNER: Final[Mapping[str, Callable[[_Reading, object, str], None]]] = {
    **dict.fromkeys(("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"), _Reading.schema),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _Reading.schemas),
    **dict.fromkeys(("properties", "dependentSchemas", "$defs", "definitions"), _Reading.by_name),
    "patternProperties": _Reading.by_pattern,
    "$ref": _Reading.reference,
    "$anchor": _Reading.anchor,
}
"""Keywords that hold schemas or refer to them."""
_CHECKS: Final[Mapping[str, Callable[[object, str], None]]] = {
    **dict.fromkeys(("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"), _number),
    **dict.fromkeys(
        ("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties", "maxContains", "minContains"), _count
    ),
    "multipleOf": _positive,
    "uniqueItems": _flag,
    "enum": _list,
    "required": _names,
    "dependentRequired": _names_by_name,
    "type": _type,
    "pattern": _pattern,
}
"""What the value of a keyword must be; keywords that are named nowhere say nothing and are let through."""
