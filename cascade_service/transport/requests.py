"""Requests as the domain takes them: messages in, every default filled in. They have been validated before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from emafusion.cascade.v1 import cascade_service_pb2, event_pb2
from emafusion.common.v1 import chat_pb2
from emafusion.router.v1 import router_service_pb2

from cascade_service.config import RequestDefaults
from cascade_service.domain.ceilings import Ceilings
from cascade_service.domain.chat import GenerationParams, Message, OutputContract, OutputKind, Role
from cascade_service.domain.events import DeliveryMode
from cascade_service.domain.plan import Constraints
from cascade_service.domain.policy import Policy
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.request import Caller, CascadeRequest
from cascade_service.domain.value import ValuePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a request brings besides its message: a deadline as ``Clock.monotonic_s`` counts, a wait in seconds, a trace, a caller."""

    deadline_at_s: float
    queue_s: float
    trace_id: str
    caller: Caller


class RequestReader:
    """Reads requests. ``new_id`` makes the ids of decision records: unique, 1 to 64 characters."""

    def __init__(self, defaults: RequestDefaults, *, new_id: Callable[[], str]) -> None:
        self._defaults = defaults
        self._new_id = new_id

    def read(
        self,
        request: cascade_service_pb2.CompleteRequest,
        circumstances: Circumstances,
        *,
        delivery: DeliveryMode,
        prefix: cascade_service_pb2.PrefixCommit | None = None,
    ) -> CascadeRequest:
        """The request in the domain's terms, under a new decision id."""
        return CascadeRequest(
            decision_id=self._new_id(),
            messages=tuple(_message_from_wire(message) for message in request.messages),
            params=_params_from_wire(request.params),
            output=_output_from_wire(request.output),
            constraints=_constraints_from_wire(request.constraints),
            ceilings=self._ceilings(request.ceilings),
            policy=self._policy(request),
            delivery=delivery,
            fixed_plan=tuple(request.fixed_plan),
            deadline_at_s=circumstances.deadline_at_s,
            prefix=self._prefix(prefix),
            queue_s=circumstances.queue_s,
            trace_id=circumstances.trace_id,
            caller=circumstances.caller,
            parts_max=self._parts_max(request),
        )

    def delivery(self, mode: int) -> DeliveryMode:
        """The delivery mode that a streamed request asks for, or the configured one."""
        if mode == event_pb2.DELIVERY_MODE_UNSPECIFIED:
            return self._defaults.delivery
        return DeliveryMode[event_pb2.DeliveryMode.Name(mode).removeprefix("DELIVERY_MODE_")]

    def _ceilings(self, ceilings: cascade_service_pb2.Ceilings) -> Ceilings:
        return self._defaults.ceilings.lowered_to(
            cost_nano_usd=ceilings.cost_max_nano_usd if ceilings.HasField("cost_max_nano_usd") else None,
            attempts=ceilings.attempts_max if ceilings.HasField("attempts_max") else None,
            output_tokens=ceilings.output_tokens_max if ceilings.HasField("output_tokens_max") else None,
        )

    def _prefix(self, asked: cascade_service_pb2.PrefixCommit | None) -> PrefixRules:
        rules = self._defaults.prefix
        if asked is None:
            return rules
        return replace(
            rules,
            hold_tokens=asked.hold_tokens if asked.HasField("hold_tokens") else rules.hold_tokens,
            checkpoint_tokens=asked.checkpoint_tokens if asked.HasField("checkpoint_tokens") else rules.checkpoint_tokens,
        )

    def _parts_max(self, request: cascade_service_pb2.CompleteRequest) -> int | None:
        if not request.HasField("decompose"):
            return None
        asked, parts_max = request.decompose, self._defaults.parts_max
        return min(asked.parts_max, parts_max) if asked.HasField("parts_max") else parts_max

    def _policy(self, request: cascade_service_pb2.CompleteRequest) -> Policy:
        policy = self._defaults.policies[request.policy or self._defaults.default_policy]
        if isinstance(policy, ValuePolicy) and request.HasField("answer_worth_nano_usd"):
            policy = replace(policy, answer_worth_nano_usd=request.answer_worth_nano_usd)
        return replace(policy, threshold=request.accept_threshold) if request.HasField("accept_threshold") else policy


def _message_from_wire(message: chat_pb2.Message) -> Message:
    return Message(role=Role[chat_pb2.Role.Name(message.role).removeprefix("ROLE_")], content=message.content)


def _params_from_wire(params: chat_pb2.GenerationParams) -> GenerationParams:
    return GenerationParams(
        max_output_tokens=params.max_output_tokens if params.HasField("max_output_tokens") else None,
        temperature=params.temperature if params.HasField("temperature") else None,
        top_p=params.top_p if params.HasField("top_p") else None,
        seed=params.seed if params.HasField("seed") else None,
        stop=tuple(params.stop),
    )


def _output_from_wire(output: chat_pb2.OutputContract) -> OutputContract:
    kind = OutputKind[chat_pb2.OutputContract.Kind.Name(output.kind).removeprefix("KIND_")]
    return OutputContract(kind=kind, json_schema=output.json_schema)


def _constraints_from_wire(constraints: router_service_pb2.Constraints) -> Constraints:
    cost = constraints.attempt_cost_max_nano_usd if constraints.HasField("attempt_cost_max_nano_usd") else None
    return Constraints(
        attempt_cost_max_nano_usd=cost,
        allow_models=tuple(constraints.allow_models),
        deny_models=tuple(constraints.deny_models),
        required_capabilities=tuple(constraints.required_capabilities),
        models_max=constraints.models_max if constraints.HasField("models_max") else None,
        suitability_min=constraints.suitability_min if constraints.HasField("suitability_min") else None,
    )
