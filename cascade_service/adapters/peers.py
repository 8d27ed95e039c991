"""Whether the services that the cascade asks can be reached."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
import structlog
from grpc_health.v1 import health_pb2

_CHECK = "/grpc.health.v1.Health/Check"
_READY_S = 1.0

_log = structlog.get_logger(__name__)


async def serves(channel: grpc.aio.Channel, *, timeout_s: float) -> bool:
    """True when a server behind ``channel`` says SERVING within ``timeout_s`` seconds."""
    ask = cast("Any", channel).unary_unary(
        _CHECK,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = await ask(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except grpc.aio.AioRpcError:
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def report_peer(name: str, channel: grpc.aio.Channel) -> None:
    """Logs when the peer can't be reached at the start."""
    try:
        async with asyncio.timeout(_READY_S):
            await channel.channel_ready()
    except TimeoutError:
        _log.warning("peer_not_ready", peer=name, effect="requests that need it fail or fall back until it is")
