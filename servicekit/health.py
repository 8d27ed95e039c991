"""Health of a server and its services, `grpc.health.v1`: NOT_SERVING until ready, SERVING, and NOT_SERVING for good once it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

_OVERALL: Final = ""
_SET_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Health:
    """What the server says about itself: overall, under the empty name, and for each of ``services``."""

    def __init__(self, services: Sequence[str]) -> None:
        self._names = (_OVERALL, *services)
        # grpcio-health-checking has no types for its aio part.
        self._servicer = cast("Any", health).aio.HealthServicer()

    async def attach(self, server: grpc.aio.Server) -> None:
        """Registers the health service; it says NOT_SERVING."""
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)
        cast("Any", health_pb2_grpc).add_HealthServicer_to_server(self._servicer, server)

    async def serving(self) -> None:
        """Says SERVING from now on, unless draining has begun."""
        await self._say(health_pb2.HealthCheckResponse.SERVING)

    async def waiting(self) -> None:
        """Says NOT_SERVING until `serving` is said again."""
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def draining(self) -> None:
        """Says NOT_SERVING for good."""
        # The servicer tells watchers one by one under a lock; one that does not read must not hold up the shutdown.
        try:
            async with asyncio.timeout(_SET_S):
                await self._servicer.enter_graceful_shutdown()
        except TimeoutError:
            _log.warning("a health watcher does not read", waited_s=_SET_S)

    async def _say(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in self._names:
            await self._servicer.set(name, status)
