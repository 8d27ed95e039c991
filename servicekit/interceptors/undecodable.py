"""Requests that can't be decoded: the caller learns which field is at fault instead of reading INTERNAL.

gRPC turns an exception in a request decoder into INTERNAL. Here the decoder returns an `Undecodable` instead, which the errors
interceptor shows as INVALID_ARGUMENT. The usual cause is a string that is not UTF-8; its path is found by walking the wire format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from servicekit.errors import InvalidField

_VARINT_BYTES_MAX: Final = 10
_DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands in for a request that can't be decoded."""

    problem: InvalidField


def tolerant(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The decoder, returning `Undecodable` where it would raise."""

    def decode_or_explain(raw: bytes) -> Any:  # noqa: ANN401 - messages are of any type here
        try:
            return decode(raw)
        except (DecodeError, UnicodeDecodeError):
            return Undecodable(_explain(raw, getattr(decode, "__self__", None)))

    return decode_or_explain


def _explain(raw: bytes, kind: object) -> InvalidField:
    if isinstance(kind, type) and issubclass(kind, Message):
        path = _find_bad_text(raw, kind.DESCRIPTOR)
        if path:
            return InvalidField(path, "a text that is not UTF-8", "UTF-8 text")
    return InvalidField("request", "not a protobuf message of this method", "a message as the contract defines it")


def _find_bad_text(raw: bytes, descriptor: Any, depth: int = 0) -> str:  # noqa: ANN401 - protobuf has a descriptor type per backend
    """Path of the first string that is not UTF-8; empty when there is none or the bytes are no message."""
    if depth > _DEPTH_MAX:
        return ""
    seen: dict[int, int] = {}
    try:
        for number, payload in _length_delimited(raw):
            field = descriptor.fields_by_number.get(number)
            if field is None:
                continue
            index = seen.get(number, 0)
            seen[number] = index + 1
            name = f"{field.name}[{index}]" if field.is_repeated else field.name
            if field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(payload):
                return name
            if field.type == FieldDescriptor.TYPE_MESSAGE and (below := _find_bad_text(payload, field.message_type, depth + 1)):
                return f"{name}.{below}"
    except (IndexError, ValueError):
        return ""
    return ""


def _length_delimited(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers and payloads of all length-delimited fields. Raises IndexError or ValueError where the bytes are no message."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        match tag & 7:
            case 0:  # varint
                _, at = _varint(raw, at)
            case 1:  # 64 bit
                at += 8
            case 2:  # length-delimited
                length, at = _varint(raw, at)
                if at + length > len(raw):
                    raise ValueError("length beyond the end")
                yield tag >> 3, raw[at : at + length]
                at += length
            case 5:  # 32 bit
                at += 4
            case _:
                raise ValueError("wire type that proto3 does not have")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_VARINT_BYTES_MAX):
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, at
    raise ValueError("varint too long")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
