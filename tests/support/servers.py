"""A real server in this process, on a free port, and a channel to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from servicekit.access import NO_ACCESS_RULES, AccessRules
from servicekit.channels import open_channel
from servicekit.errors import ErrorTable
from servicekit.server import RunningServer, start_server
from servicekit.settings.serving import ServerSettings
from servicekit.telemetry import Telemetry

LOOPBACK = "127.0.0.1:0"
QUICK = ServerSettings(drain_grace_ms=2_000)
"""Settings of the product, but for a short drain."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server in this process with a channel to it; the channel is the one that services use among each other."""

    server: RunningServer
    channel: grpc.aio.Channel

    @property
    def target(self) -> str:
        return f"dns:///127.0.0.1:{self.server.port}"


@asynccontextmanager
async def serve(
    add_services: Callable[[grpc.aio.Server], Sequence[str]],
    *,
    errors: ErrorTable | None = None,
    settings: ServerSettings = QUICK,
    telemetry: Telemetry | None = None,
    ready: bool = True,
    access: AccessRules = NO_ACCESS_RULES,
    listen: str = LOOPBACK,
) -> AsyncGenerator[Served]:
    """Serves what ``add_services`` registers until the block ends; then drains."""
    telemetry = telemetry or Telemetry.off()
    names: list[str] = []

    def add(server: grpc.aio.Server) -> Sequence[str]:
        names.extend(add_services(server))
        return names

    server = await start_server(
        add_services=add,
        settings=settings,
        listen=listen,
        errors=errors or ErrorTable(),
        telemetry=telemetry,
        access=access,
        ready=ready,
    )
    channel = open_channel(f"dns:///127.0.0.1:{server.port}", server=settings, service_names=names, telemetry=telemetry)
    try:
        yield Served(server, channel)
    finally:
        await channel.close()
        await server.stop()
