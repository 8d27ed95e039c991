"""The gRPC face of the cascade: validate, call, map."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc

from cascade_service.domain.decision import Feedback
from cascade_service.domain.errors import RouterRejected
from cascade_service.domain.events import Completed, Completion, DeliveryMode
from cascade_service.domain.metering import Accounts
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.ports import Answering, Clock, DecisionStore
from cascade_service.domain.quotas import nanoseconds
from cascade_service.domain.request import Caller
from cascade_service.transport.errors import under_field
from cascade_service.transport.mapping import completion_to_wire, event_to_wire
from cascade_service.transport.records import decision_to_wire, feedback_from_wire, feedback_to_wire, model_to_wire, quota_to_wire
from cascade_service.transport.requests import Circumstances, RequestReader
from cascade_service.transport.validation import RequestRules, check_decision_id, check_feedback
from servicekit.calls import queue_wait_s
from servicekit.deadline import remaining_s

_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicerParts:
    """What the servicer works with. ``trace_id`` tells the current trace, 32 hex digits or empty; ``caller`` who makes the call."""

    cascade: Answering
    store: DecisionStore
    catalogue: Mapping[str, ConfiguredModel]
    rules: RequestRules
    reader: RequestReader
    clock: Clock
    trace_id: Callable[[], str]
    caller: Callable[[], Caller]
    accounts: Accounts


class CascadeServicer(cascade_service_pb2_grpc.CascadeServiceServicer):
    """``emafusion.cascade.v1.CascadeService``. Errors are raised; the interceptors map them."""

    def __init__(self, parts: ServicerParts) -> None:
        self._parts = parts

    async def Complete(  # noqa: N802 - the contract's name
        self, request: cascade_service_pb2.CompleteRequest, context: _Context
    ) -> cascade_service_pb2.CompleteResponse:
        """Answers one request: the last event of the same stream, buffered."""
        self._parts.rules.check_complete(request)
        question = self._parts.reader.read(request, self._circumstances(context), delivery=DeliveryMode.BUFFERED)
        completion: Completion | None = None
        async with aclosing(self._parts.cascade.answer(question)) as events:
            async for event in events:
                if isinstance(event, Completed):
                    completion = event.completion
        if completion is None:
            raise RuntimeError("the cascade ended without `Completed`")
        return cascade_service_pb2.CompleteResponse(completion=completion_to_wire(completion))

    async def StreamComplete(  # noqa: N802 - the contract's name
        self, request: cascade_service_pb2.StreamCompleteRequest, context: _Context
    ) -> AsyncGenerator[cascade_service_pb2.StreamCompleteResponse, None]:
        """Answers one request and streams what happens.

        Nothing is sent before the first event, so that an earlier failure is a failure without headers and may be retried. The
        next event is made only when the last one has been written: a slow reader slows the model's stream down.
        """
        self._parts.rules.check_stream_complete(request)
        delivery = self._parts.reader.delivery(request.delivery)
        question = self._parts.reader.read(request.request, self._circumstances(context), delivery=delivery, prefix=request.prefix)
        try:
            async with aclosing(self._parts.cascade.answer(question)) as events:
                async for event in events:
                    yield event_to_wire(event)
        except RouterRejected as rejected:
            raise under_field(rejected, "request") from rejected

    async def SubmitFeedback(  # noqa: N802 - the contract's name
        self,
        request: cascade_service_pb2.SubmitFeedbackRequest,
        context: _Context,  # noqa: ARG002 - gRPC passes it
    ) -> cascade_service_pb2.SubmitFeedbackResponse:
        """Records how good an answer was."""
        check_feedback(request)
        feedback: Feedback = feedback_from_wire(request.feedback, create_time=self._parts.clock.now())
        await self._parts.store.add_feedback(request.decision_id, feedback)
        return cascade_service_pb2.SubmitFeedbackResponse(feedback=feedback_to_wire(feedback))

    async def GetDecision(  # noqa: N802 - the contract's name
        self,
        request: cascade_service_pb2.GetDecisionRequest,
        context: _Context,  # noqa: ARG002 - gRPC passes it
    ) -> cascade_service_pb2.GetDecisionResponse:
        """Fetches the record of one request."""
        check_decision_id(request.decision_id)
        decision = await self._parts.store.get(request.decision_id)
        return cascade_service_pb2.GetDecisionResponse(decision=decision_to_wire(decision))

    async def ListModels(  # noqa: N802 - the contract's name
        self,
        request: cascade_service_pb2.ListModelsRequest,  # noqa: ARG002 - gRPC passes it
        context: _Context,  # noqa: ARG002 - gRPC passes it
    ) -> cascade_service_pb2.ListModelsResponse:
        """Lists the models of the configuration, in order of name."""
        catalogue = self._parts.catalogue
        return cascade_service_pb2.ListModelsResponse(models=[model_to_wire(catalogue[name]) for name in sorted(catalogue)])

    async def ListQuotas(  # noqa: N802 - the contract's name
        self,
        request: cascade_service_pb2.ListQuotasRequest,  # noqa: ARG002 - gRPC passes it
        context: _Context,  # noqa: ARG002 - gRPC passes it
    ) -> cascade_service_pb2.ListQuotasResponse:
        """Lists what callers have used up, in order of scope."""
        now_ns = nanoseconds(self._parts.clock.now())
        accounts = await self._parts.accounts.accounts()
        return cascade_service_pb2.ListQuotasResponse(quotas=[quota_to_wire(account, now_ns=now_ns) for account in accounts])

    def _circumstances(self, context: _Context) -> Circumstances:
        return Circumstances(
            deadline_at_s=self._parts.clock.monotonic_s() + remaining_s(context),
            queue_s=queue_wait_s(),
            trace_id=self._parts.trace_id(),
            caller=self._parts.caller(),
        )
