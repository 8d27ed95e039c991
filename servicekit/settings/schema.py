"""The shape of the settings classes, for everything that walks a configuration by its keys: overrides, suggestions, the manual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from servicekit.settings.base import Section

_NEAR_CUTOFF = 0.5


@dataclass(frozen=True, slots=True)
class SectionNode:
    """A section, or a choice of sections that `kind` decides between; without `kind`, the one whose kind has a default."""

    alternatives: tuple[type[Section], ...]

    def choose(self, data: Mapping[str, Any]) -> type[Section] | None:
        """The section that the data is meant for; None when its `kind` is none of the known."""
        if len(self.alternatives) == 1:
            return self.alternatives[0]
        if "kind" not in data:
            return next((section for section in self.alternatives if not section.model_fields["kind"].is_required()), None)
        return next((section for section in self.alternatives if data["kind"] in kinds_of(section)), None)


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list of like entries."""

    item: Node


@dataclass(frozen=True, slots=True)
class MappingNode:
    """Free keys with scalar values."""


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value."""


Node = SectionNode | ListNode | MappingNode | ScalarNode


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a configuration: where (a dotted key, empty for the whole) and what."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


def node_of(annotation: object) -> Node:
    """The shape of a field, from its type."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return node_of(args[0])
    if origin in {Union, UnionType}:
        return _node_of_union([node_of(member) for member in args if member is not NoneType])
    if origin in {tuple, list, frozenset}:
        return ListNode(node_of(args[0]))
    if origin is dict:
        return MappingNode()
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return SectionNode((annotation,))
    return ScalarNode()


def _node_of_union(members: list[Node]) -> Node:
    sections = [section for member in members if isinstance(member, SectionNode) for section in member.alternatives]
    if sections:
        return SectionNode(tuple(sections))
    return members[0] if len(members) == 1 else ScalarNode()


def child(section: type[Section], key: str) -> Node:
    """The shape of one field of a section."""
    return node_of(section.model_fields[key].annotation)


def kinds_of(section: type[Section]) -> tuple[str, ...]:
    """Values of `kind` that select the section; empty for one without `kind`."""
    field = section.model_fields.get("kind")
    return tuple(get_args(field.annotation)) if field is not None and get_origin(field.annotation) is Literal else ()


def nearest(name: str, known: list[str], *, prefix: str = "") -> str:
    """A hint that ends an error about an unknown name: the nearest known one, or all of them, each shown with ``prefix``."""
    near = get_close_matches(name.lower(), [candidate.lower() for candidate in known], n=1, cutoff=_NEAR_CUTOFF)
    if near:
        return f"nearest valid name: {prefix}{next(candidate for candidate in known if candidate.lower() == near[0])}"
    return f"valid names: {', '.join(prefix + candidate for candidate in known)}" if known else "nothing is allowed here"


def unknown_keys(node: Node, data: object, path: str = "") -> Iterator[Problem]:
    """Every key of the data that no settings class knows."""
    match node, data:
        case SectionNode(), dict():
            mapping = cast("dict[str, object]", data)
            section = node.choose(mapping)
            if section is None:
                return
            for key, value in mapping.items():
                where = f"{path}.{key}" if path else str(key)
                if key not in section.model_fields:
                    yield Problem(where, f"unknown key; {nearest(str(key), list(section.model_fields))}")
                else:
                    yield from unknown_keys(child(section, key), value, where)
        case ListNode(), list():
            entries = cast("list[object]", data)
            for index, entry in enumerate(entries):
                yield from unknown_keys(node.item, entry, f"{path}.{entry_name(entry, index)}")
        case _:  # a value that does not fit its shape is reported by validation
            return


def entry_name(entry: object, index: int) -> str:
    """How an entry of a list is called in paths: by its name where it has one, else by its index."""
    if isinstance(entry, dict):
        name = cast("dict[str, object]", entry).get("name")
        if isinstance(name, str) and name:
            return name
    return str(index)


def dotted(loc: tuple[int | str, ...], data: object) -> str:
    """The path of a validation error, entries of lists by name, without the tags of tagged unions."""
    parts: list[str] = []
    here = data
    for step in loc:
        if isinstance(here, list) and isinstance(step, int):
            entries = cast("list[object]", here)
            here = entries[step] if step < len(entries) else None
            parts.append(entry_name(here, step))
        elif isinstance(step, str) and step.startswith("kind="):
            continue
        elif isinstance(here, dict):
            mapping = cast("dict[int | str, object]", here)
            if step not in mapping and mapping.get("kind") == step:
                continue
            here = mapping.get(step)
            parts.append(str(step))
        else:
            here = None
            parts.append(str(step))
    return ".".join(parts)
