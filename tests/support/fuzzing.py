"""Bytes and odd messages for servicers, and what any answer to them must look like."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicekit.errors import read_status
from tests.support.servers import Served

CALL_S: Final = 60.0
"""Whatever is not answered by then hangs."""
FAULTS: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.DATA_LOSS})
DEPTH_MAX: Final = 5

Plausible = Mapping[str, st.SearchStrategy[Any]]
Serving = Callable[[], AbstractAsyncContextManager[Served]]

_ODD_TEXTS = st.sampled_from(
    [
        "",
        " ",
        "x",
        "0",
        "\x00",
        "\u200b",
        "é" * 300,
        "𝔘",
        "x" * 5_000,
        "{}",
        "[" * 3_000,
        '{"type": "object"}',
        "<!--",
        "a,b",
        "../..",
        "%s",
    ]
)
_TEXTS = _ODD_TEXTS | st.text(max_size=40)
_FLOATS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e308, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324]) | st.floats()
_BITS: Final = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: (-(2**31), 2**31 - 1),
}


def messages(name: str, plausible: Plausible) -> st.SearchStrategy[Message]:
    """Messages of the type with that full name: any fields, any values; ``plausible`` has better values by a field's full name."""
    return _message(Default().FindMessageTypeByName(name), plausible, 0)


def wires(name: str, plausible: Plausible) -> st.SearchStrategy[bytes]:
    """Bytes: of messages, of messages with changes, and any at all."""
    whole = messages(name, plausible).map(lambda message: message.SerializeToString())
    return (
        whole
        | st.builds(_spoiled, whole, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), st.booleans())
        | (st.binary(max_size=300))
    )


def _spoiled(raw: bytes, changes: Sequence[tuple[int, int]], cut: bool) -> bytes:
    spoiled = bytearray(raw)
    for at, value in changes:
        if spoiled:
            spoiled[at % len(spoiled)] = value
    return bytes(spoiled[: len(spoiled) * 2 // 3] if cut else spoiled)


@st.composite
def _message(draw: st.DrawFn, kind: Descriptor, plausible: Plausible, depth: int) -> Message:
    message = GetMessageClass(kind)()
    for field in kind.fields:
        if draw(st.integers(0, 3)) == 0 and field.full_name not in plausible:
            continue
        value = plausible[field.full_name] if field.full_name in plausible else _value(field, plausible, depth)
        if value is not None:
            _set(message, field, draw(st.lists(value, max_size=3) if field.is_repeated else value))
    return message


def _value(field: FieldDescriptor, plausible: Plausible, depth: int) -> st.SearchStrategy[Any] | None:
    if field.message_type is not None:
        return _message(field.message_type, plausible, depth + 1) if depth < DEPTH_MAX else None
    if field.type == FieldDescriptor.TYPE_STRING:
        return _TEXTS
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type in _BITS:
        low, high = _BITS[field.type]
        return st.sampled_from([0, 1, 2, 3, low, high]) | st.integers(low, high)
    return _FLOATS


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def fuzz(serving: Serving, method: str, requests: st.SearchStrategy[bytes], *, examples: int) -> None:
    """Sends ``examples`` requests to ``method`` of one server, one after the other.

    Each must end with a message or with a status of the contract, and the server must be healthy afterwards.
    """
    with asyncio.Runner() as runner:
        world = serving()
        served = runner.run(_entered(world))
        try:

            @settings(
                max_examples=examples,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
                database=None,
            )
            @given(requests)
            def one(raw: bytes) -> None:
                runner.run(check(served.channel, method, [raw]))

            one()
            runner.run(_healthy(served.channel))
        finally:
            runner.run(_left(world, sys.exception()))


async def _entered(world: AbstractAsyncContextManager[Served]) -> Served:
    return await world.__aenter__()


async def _left(world: AbstractAsyncContextManager[Served], error: BaseException | None) -> None:
    await world.__aexit__(type(error) if error else None, error, None)


async def check(channel: grpc.aio.Channel, method: str, requests: Sequence[bytes]) -> grpc.StatusCode:
    """Sends ``requests`` in one call, however many the method expects, and returns the status; fails the test when it is none of ours."""

    async def sent() -> AsyncIterator[bytes]:
        for request in requests:
            yield request

    call = channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)(sent(), timeout=CALL_S)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        status = read_status(error)
        assert status.code not in FAULTS, f"{method}: {status}"
        assert status.reason, f"{method} ended with {status.code} and no ErrorInfo: {status.message}"
        return status.code
    return grpc.StatusCode.OK


async def _healthy(channel: grpc.aio.Channel) -> None:
    stub: Any = cast("Any", health_pb2_grpc).HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=CALL_S)
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        pytest.fail(f"the server says {reply.status}")
