"""The router service as the cascade's router."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import structlog
from emafusion.router.v1 import router_service_pb2_grpc

from cascade_service.adapters.wire import NotUnderstood, plan_from_wire, route_request_to_wire
from cascade_service.domain.errors import RouterRejected, RouterUnavailable
from cascade_service.domain.plan import Plan
from cascade_service.domain.ports import RouteQuestion
from servicekit.errors import read_status

if TYPE_CHECKING:
    from emafusion.router.v1.router_service_pb2_grpc import RouterServiceAsyncStub

_log = structlog.get_logger(__name__)

# The caller's fault. Every other status means that the router can't help just now.
_REJECTIONS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION})


class RouterOverGrpc:
    """Asks the router service. A cancelled caller cancels the call."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: RouterServiceAsyncStub = router_service_pb2_grpc.RouterServiceStub(channel)

    async def route(self, question: RouteQuestion, *, timeout_s: float) -> Plan:
        """The router's plan. Raises ``RouterRejected`` and ``RouterUnavailable``."""
        try:
            response = await self._stub.Route(route_request_to_wire(question), timeout=timeout_s)
            return plan_from_wire(response.plan)
        except grpc.aio.AioRpcError as error:
            status = read_status(error)
            if status.code in _REJECTIONS and status.reason:
                raise RouterRejected(status.message, reason=status.reason, status=status) from error
            _log.warning("router_unavailable", code=status.code.name, detail=status.message)
            raise RouterUnavailable(f"the router did not answer: {status.code.name}") from error
        except NotUnderstood as error:
            _log.warning("router_not_understood", detail=str(error))
            raise RouterUnavailable(f"the router's plan can't be understood: {error}") from error
