"""A gain model as an ONNX graph, written by hand: ``q·(1 - p_top) - price``, with nothing said as 0."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from cascade_service.domain.gain import GAIN_FEATURES
from servicekit.artifacts import write_manifest

_FLOAT, _INT64 = 1, 7


def write_gain_model(folder: Path, *, features: Sequence[str] = GAIN_FEATURES, output: str = "net_gain") -> Path:
    """Writes the artifact into ``folder`` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gain.onnx").write_bytes(_model(output))
    write_manifest(
        folder,
        name="value",
        files=["gain.onnx"],
        created_by="tests.support.gain_graph",
        command="python -m training.value",
        licence="Apache-2.0",
        parameters={"features": list(features)},
    )
    return folder


def _model(output: str) -> bytes:
    places = {name: GAIN_FEATURES.index(name) for name in ("q", "p_top", "price")}
    nodes = [
        *(_node("Gather", ("rows", f"at_{name}"), name, axis=1) for name in places),
        _node("IsNaN", ("p_top",), "nothing_said"),
        _node("Where", ("nothing_said", "zero", "p_top"), "support"),
        _node("Sub", ("one", "support"), "open"),
        _node("Mul", ("q", "open"), "gain"),
        _node("Sub", ("gain", "price"), output),
    ]
    tensors = [
        *(_tensor(f"at_{name}", _INT64, struct.pack("<q", place)) for name, place in places.items()),
        _tensor("zero", _FLOAT, struct.pack("<f", 0.0)),
        _tensor("one", _FLOAT, struct.pack("<f", 1.0)),
    ]
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, b"gain") + b"".join(_bytes(5, tensor) for tensor in tensors)
    graph += _bytes(11, _value("rows", (None, len(GAIN_FEATURES)))) + _bytes(12, _value(output, (None,)))
    return _int(1, 8) + _bytes(7, graph) + _bytes(8, _int(2, 17))


def _node(kind: str, inputs: Sequence[str], output: str, *, axis: int | None = None) -> bytes:
    node = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, output.encode()) + _bytes(4, kind.encode())
    return node if axis is None else node + _bytes(5, _bytes(1, b"axis") + _int(3, axis) + _int(20, 2))


def _tensor(name: str, kind: int, raw: bytes) -> bytes:
    return _int(2, kind) + _bytes(8, name.encode()) + _bytes(9, raw)


def _value(name: str, shape: Sequence[int | None]) -> bytes:
    dimensions = b"".join(_bytes(1, _bytes(2, b"n") if size is None else _int(1, size)) for size in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, _FLOAT) + _bytes(2, dimensions)))


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
