"""The gRPC face of the router: validate, call, map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from emafusion.router.v1 import router_service_pb2, router_service_pb2_grpc

from router_service.config import ConstraintDefaults
from router_service.domain.errors import RoutingError
from router_service.domain.models import CandidateModel
from router_service.domain.routing import Plan, Query, Router
from router_service.transport.errors import item_error
from router_service.transport.mapping import model_to_wire, plan_to_wire, query_from_wire, timing_to_wire
from router_service.transport.validation import RequestRules
from servicekit.calls import queue_wait_s
from servicekit.errors import ErrorTable, InvalidField, InvalidFields

_Context = grpc.aio.ServicerContext[Any, Any]
_Problem = RoutingError | InvalidField | InvalidFields


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicerParts:
    """What the servicer works with. ``clock`` gives seconds that never go back."""

    router: Router
    rules: RequestRules
    defaults: ConstraintDefaults
    models: Sequence[CandidateModel]
    errors: ErrorTable
    clock: Callable[[], float]


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """``emafusion.router.v1.RouterService``. Errors are raised; the interceptors map them."""

    def __init__(self, parts: ServicerParts) -> None:
        self._parts = parts

    async def Route(  # noqa: N802 - the contract's name
        self,
        request: router_service_pb2.RouteRequest,
        context: _Context,  # noqa: ARG002 - gRPC passes it
    ) -> router_service_pb2.RouteResponse:
        """Plans one request."""
        started = self._parts.clock()
        self._parts.rules.check_route(request)
        plan = await self._parts.router.plan(query_from_wire(request, self._parts.defaults))
        timing = timing_to_wire(
            queue_s=queue_wait_s() + plan.queue_s,
            inference_s=plan.inference_s,
            total_s=queue_wait_s() + self._parts.clock() - started,
        )
        return router_service_pb2.RouteResponse(plan=plan_to_wire(plan), timing=timing)

    async def BatchRoute(  # noqa: N802 - the contract's name
        self,
        request: router_service_pb2.BatchRouteRequest,
        context: _Context,  # noqa: ARG002 - gRPC passes it
    ) -> router_service_pb2.BatchRouteResponse:
        """Plans several requests; each has its own outcome. The times of the batch are those of its slowest request."""
        started = self._parts.clock()
        self._parts.rules.check_batch(request)
        checked = [self._query_or_problem(one) for one in request.requests]
        answers = iter(await self._parts.router.plan_all([query for query in checked if isinstance(query, Query)]))
        outcomes = [next(answers) if isinstance(query, Query) else query for query in checked]
        plans = [outcome for outcome in outcomes if isinstance(outcome, Plan)]
        timing = timing_to_wire(
            queue_s=queue_wait_s() + max((plan.queue_s for plan in plans), default=0.0),
            inference_s=max((plan.inference_s for plan in plans), default=0.0),
            total_s=queue_wait_s() + self._parts.clock() - started,
        )
        return router_service_pb2.BatchRouteResponse(outcomes=[self._outcome(outcome) for outcome in outcomes], timing=timing)

    async def ListModels(  # noqa: N802 - the contract's name
        self,
        request: router_service_pb2.ListModelsRequest,  # noqa: ARG002 - gRPC passes it
        context: _Context,  # noqa: ARG002 - gRPC passes it
    ) -> router_service_pb2.ListModelsResponse:
        """Lists the models of the configuration, in order of name."""
        return router_service_pb2.ListModelsResponse(models=[model_to_wire(model) for model in self._parts.models])

    def _query_or_problem(self, request: router_service_pb2.RouteRequest) -> Query | InvalidField | InvalidFields:
        try:
            self._parts.rules.check_route(request)
        except (InvalidField, InvalidFields) as problem:
            return problem
        return query_from_wire(request, self._parts.defaults)

    def _outcome(self, outcome: Plan | _Problem) -> router_service_pb2.RouteOutcome:
        if isinstance(outcome, Plan):
            return router_service_pb2.RouteOutcome(plan=plan_to_wire(outcome))
        return router_service_pb2.RouteOutcome(error=item_error(outcome, self._parts.errors))
