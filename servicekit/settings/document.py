"""Writes `docs/configuration.md` from the settings classes: `python -m servicekit.settings.document [--check]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

from pydantic.fields import FieldInfo

from servicekit.settings.base import Section
from servicekit.settings.root import Settings
from servicekit.settings.schema import ListNode, MappingNode, Node, ScalarNode, SectionNode, kinds_of, node_of

TARGET: Final = Path(__file__).parents[2] / "docs" / "configuration.md"
_COMMAND: Final = "python -m servicekit.settings.document"
_INTRO: Final = f"""\
<!-- Written by `{_COMMAND}`; change the settings classes in `servicekit/settings/`, not this file. -->

# Configuration

One YAML file configures all three services. They look for it in this order: the `--config` argument, the environment variable
`EMAFUSION_CONFIG`, `./emafusion.yaml`. The file is checked as a whole before anything starts: an unknown key, a key given twice, a value
out of bounds or a name that refers to nothing is an error that names the key and, for a misspelt one, the nearest valid name. All
problems are reported at once. `emafusion config validate` checks a file, `emafusion config show` prints what is in force.

Relative paths start at the folder of the file. Names end with their unit: `_ms` is milliseconds, `_nano_usd` is 10⁻⁹ USD, `_usd_per_mtok`
is USD per million tokens.

## Overrides from the environment

A variable `EMAFUSION__` + the key's path in upper case, its steps parted by two underscores, overrides one key:

| variable | sets |
| --- | --- |
| `EMAFUSION__CASCADE__CEILINGS__ATTEMPTS_MAX=2` | `cascade.ceilings.attempts_max` |
| `EMAFUSION__MODELS__SMOLLM2_135M__ENABLED=false` | `enabled` of the model named `smollm2-135m` |
| `EMAFUSION__MODELS__0__ENABLED=false` | `enabled` of the first model |
| `EMAFUSION__SERVER={{in_flight_max: 8}}` | the whole section `server`, as YAML |

An entry of a list goes by its name in upper case, every other character replaced by an underscore, or by its index; a judge without a
name goes by its kind. `null` sets an optional key back to none. A variable that names no key is an error.

## Secrets

No secret stands in the file. A key that needs one says where it is kept: `{{env: NAME}}` for an environment variable, `{{file: PATH}}` for
the first line of a file. Secrets, and passwords inside URLs, never appear in logs, errors, telemetry or `emafusion config show`.
"""


# Attributes of pydantic's constraints, whatever class carries them.
_BOUND_FORMS: Final = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "min_length": "length ≥ {}",
    "max_length": "length ≤ {}",
    "pattern": "matches `{}`",
}


def render() -> str:
    """The whole page."""
    return _INTRO + "".join(_section("", Settings, Settings.__doc__ or ""))


def _section(path: str, section: type[Section], meaning: str, instance: Section | None = None) -> Iterator[str]:
    """A section and those below it. ``instance`` is what stands for the section when the file leaves it out."""
    title = f"`{path}`" if path else "The file"
    yield f"\n## {title}\n\n{meaning.strip()}\n\n| key | type | default | bounds | meaning |\n| --- | --- | --- | --- | --- |\n"
    for key, field in section.model_fields.items():
        yield _row(key, field, instance)
    for key, field in section.model_fields.items():
        default = getattr(instance, key) if instance is not None else field.get_default(call_default_factory=True)
        below = default if isinstance(default, Section) else None
        yield from _below(f"{path}.{key}" if path else key, node_of(field.annotation), field.description or "", below)


def _below(path: str, node: Node, meaning: str, instance: Section | None = None) -> Iterator[str]:
    match node:
        case SectionNode((section,)):
            yield from _section(path, section, meaning, instance)
        case SectionNode(alternatives):
            for section in alternatives:
                yield from _section(f"{path} (kind: {' or '.join(kinds_of(section))})", section, section.__doc__ or meaning)
        case ListNode(item):
            yield from _below(f"{path}[]", item, meaning)
        case MappingNode() | ScalarNode():
            return


def _row(key: str, field: FieldInfo, instance: Section | None) -> str:
    meaning = " ".join((field.description or "").split())
    cells = (f"`{key}`", _type(field.annotation), _default(key, field, instance), _bounds(field.annotation, field.metadata), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _type(annotation: object) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0])
    if origin in {Union, UnionType}:
        names = dict.fromkeys(_type(member) for member in args if member is not NoneType)
        return " or ".join(names)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in {tuple, frozenset}:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"mapping to {_type(args[1])}"
    return _name_of(annotation)


def _name_of(annotation: object) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    names: dict[object, str] = {str: "text", int: "integer", float: "number", bool: "true or false", datetime: "date and time"}
    return names[annotation]


def _default(key: str, field: FieldInfo, instance: Section | None) -> str:
    if instance is not None:
        return _shown(getattr(instance, key))
    return "**required**" if field.is_required() else _shown(field.get_default(call_default_factory=True))


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case Section():
            return "see below"
        case tuple() | frozenset() | dict():
            entries = cast("tuple[object, ...]", value)
            return ", ".join(f"`{getattr(entry, 'name', entry)}`" for entry in entries) or "empty"
        case _:
            return f"`{value}`"


def _bounds(annotation: object, metadata: list[Any]) -> str:
    own = [text for item in metadata for text in _bound(item)]
    return ", ".join(dict.fromkeys([*own, *_inner_bounds(annotation)]))


def _inner_bounds(annotation: object) -> Iterator[str]:
    """Bounds inside the type: of an optional value, or of each entry of a list."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for item in args[1:]:
            for constraint in item.metadata if isinstance(item, FieldInfo) else (item,):
                yield from _bound(constraint)
    elif origin is not Literal:
        each = "" if origin in {Union, UnionType} else "each "
        for member in args:
            yield from (each + bound for bound in _inner_bounds(member))


def _bound(item: object) -> Iterator[str]:
    for attribute, form in _BOUND_FORMS.items():
        value = getattr(item, attribute, None)
        if value is not None:
            yield form.format(_number(value))


def _number(value: Any) -> str:  # noqa: ANN401 - bounds are of any comparable type
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) or value.is_integer() else f"{value:g}"


def main(arguments: list[str]) -> int:
    """Writes the page, or with `--check` says whether it is up to date."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is out of date")
    check: bool = parser.parse_args(arguments).check
    page = render()
    if not check:
        TARGET.write_text(page, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page:
        return 0
    sys.stderr.write(f"{TARGET} is out of date; run `{_COMMAND}`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
