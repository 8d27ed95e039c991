"""Overrides from environment variables.

`EMAFUSION__CASCADE__CEILINGS__ATTEMPTS_MAX=2` sets `cascade.ceilings.attempts_max`: the prefix, then the path in upper case, its steps
parted by two underscores. An entry of a list is named by its index or, where it has one, by its name in upper case with every other
character replaced by an underscore: `EMAFUSION__MODELS__SMOLLM2_135M__ENABLED=false`. A variable that names no key is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import yaml

from servicekit.settings.base import Section
from servicekit.settings.schema import ListNode, MappingNode, Node, Problem, ScalarNode, SectionNode, child, nearest

PREFIX: Final = "EMAFUSION__"
_SEPARATOR: Final = "__"


class _UnknownVariable(Exception):
    """A variable names no key; the text says what would be valid."""


def apply_overrides(root: type[Section], data: dict[str, Any], environ: Mapping[str, str]) -> list[Problem]:
    """Writes every override into ``data`` and returns what is wrong with the variables. Values are checked later, with the rest."""
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        try:
            _Override(name, environ[name]).into(SectionNode((root,)), data, name.removeprefix(PREFIX).split(_SEPARATOR), PREFIX)
        except _UnknownVariable as error:
            problems.append(Problem(name, str(error)))
    return problems


class _Override:
    """One variable on its way down the configuration."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text

    def into(self, node: Node, data: Any, steps: list[str], trail: str) -> None:  # noqa: ANN401 - YAML data is of any type
        """Sets what ``steps`` lead to; ``trail`` is the part of the name that led here."""
        match node:
            case SectionNode():
                self._into_section(node, data, steps, trail)
            case ListNode():
                self._into_list(node, data, steps, trail)
            case MappingNode():
                if not isinstance(data, dict):
                    raise _UnknownVariable("is below a key that holds no mapping")
                data[_SEPARATOR.join(steps).lower()] = _parsed(self._text, scalar=False)
            case ScalarNode():
                raise _UnknownVariable(f"`{trail.removesuffix(_SEPARATOR)}` is a single value and has no keys below it")

    def _into_section(self, node: SectionNode, data: Any, steps: list[str], trail: str) -> None:  # noqa: ANN401 - YAML data
        if not isinstance(data, dict):
            raise _UnknownVariable("is below a key that holds no section")
        mapping = cast("dict[str, Any]", data)
        section = node.choose(mapping)
        if section is None:
            raise _UnknownVariable("is below an entry whose `kind` is not known")
        step, rest = steps[0], steps[1:]
        key = step.lower()
        if key not in section.model_fields:
            valid = [field.upper() for field in section.model_fields]
            raise _UnknownVariable(f"no such key; {nearest(step, valid, prefix=trail)}")
        below = child(section, key)
        if not rest:
            mapping[key] = _parsed(self._text, scalar=isinstance(below, ScalarNode))
            return
        if mapping.get(key) is None and not isinstance(below, ScalarNode):
            mapping[key] = _default_of(section, key, below)
        self.into(below, mapping.get(key), rest, trail + step + _SEPARATOR)

    def _into_list(self, node: ListNode, data: Any, steps: list[str], trail: str) -> None:  # noqa: ANN401 - YAML data
        if not isinstance(data, list):
            raise _UnknownVariable("is below a key that holds no list")
        entries = cast("list[Any]", data)
        step, rest = steps[0], steps[1:]
        names = [list(_names_of(entry, index)) for index, entry in enumerate(entries)]
        index = next((place for place, known in enumerate(names) if step.upper() in known), None)
        if index is None:
            raise _UnknownVariable(f"no such entry; {nearest(step, [known[0] for known in names], prefix=trail)}")
        if not rest:
            entries[index] = _parsed(self._text, scalar=isinstance(node.item, ScalarNode))
            return
        self.into(node.item, entries[index], rest, trail + step + _SEPARATOR)


def _names_of(entry: object, index: int) -> Iterator[str]:
    """What an entry is called in variables: its name first, then its index. A judge without a name is called by its kind."""
    if isinstance(entry, dict):
        mapping = cast("dict[str, object]", entry)
        name = mapping.get("name", mapping.get("kind"))
        if isinstance(name, str):
            yield re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    yield str(index)


def _default_of(section: type[Section], key: str, below: Node) -> Any:  # noqa: ANN401 - YAML data is of any type
    """What a key that the file leaves out stands for, so that an override can change a part of it."""
    field = section.model_fields[key]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if isinstance(below, SectionNode):
        return default.model_dump(mode="json") if isinstance(default, Section) else {}
    if isinstance(below, ListNode):
        entries = cast("tuple[object, ...]", default or ())
        return [entry.model_dump(mode="json") if isinstance(entry, Section) else entry for entry in entries]
    return dict(default or {})


def _parsed(text: str, *, scalar: bool) -> object:
    """The value of a variable: as it stands for a single value (its type decides how it is read), as YAML for anything else."""
    if scalar:
        return None if text in {"null", "~"} else text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
