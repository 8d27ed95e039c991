"""How a request gets its plan: from the caller, from the router, or from the configuration when the router is down."""

from __future__ import annotations

from dataclasses import replace

from cascade_service.domain.errors import RouterUnavailable
from cascade_service.domain.plan import Plan
from cascade_service.domain.planning import plan_without_router
from cascade_service.domain.ports import RouteQuestion
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts


async def make_plan(request: CascadeRequest, parts: CascadeParts) -> tuple[Plan, bool]:
    """The plan, and whether it is the static plan of the configuration.

    Raises ``RouterUnavailable`` without a static plan, ``RouterRejected`` and ``EmptyPlan``.
    """
    if request.fixed_plan:
        reason = "the caller fixed the order of models"
        return plan_without_router(request.fixed_plan, request=request, catalogue=parts.catalogue, reason=reason), False
    try:
        return await _ask_router(request, parts), False
    except RouterUnavailable:
        static_plan = parts.rules.static_plan
        if not static_plan:
            raise
    reason = "the router can't be reached: static plan of the configuration"
    return plan_without_router(static_plan, request=request, catalogue=parts.catalogue, reason=reason), True


async def _ask_router(request: CascadeRequest, parts: CascadeParts) -> Plan:
    time_left_s = request.deadline_at_s - parts.clock.monotonic_s() - parts.rules.times.margin_s
    timeout_s = min(parts.rules.router_timeout_s, time_left_s)
    if timeout_s <= 0:
        raise RouterUnavailable("the deadline leaves no time to ask the router")
    # A threshold policy states no worth: its plans climb from cheap to dear.
    constraints = replace(request.constraints, answer_worth_nano_usd=request.policy.answer_worth_nano_usd)
    question = RouteQuestion(messages=request.messages, params=request.params, constraints=constraints)
    plan = await parts.router.route(question, timeout_s=timeout_s)
    if not plan.models:
        raise RouterUnavailable("the router answered with an empty plan")
    return plan
