"""The client: one object that knows the services it was given targets for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Self, TypeVar

import grpc
from emafusion.cascade.v1 import cascade_service_pb2, cascade_service_pb2_grpc
from emafusion.judge.v1 import judge_service_pb2, judge_service_pb2_grpc
from emafusion.router.v1 import router_service_pb2, router_service_pb2_grpc

from emafusion_client import decode, decode_cascade, encode
from emafusion_client.answers import Completion, Decision, Feedback, Judgement, JudgePanel, ModelInfo, Routing
from emafusion_client.channel import Tls, open_channel
from emafusion_client.errors import IncompleteStream, decode_error
from emafusion_client.events import Completed, Event
from emafusion_client.quotas import Quota, quota
from emafusion_client.requests import FeedbackNote, JudgeQuestion, PrefixCommit, Question
from emafusion_client.vocabulary import Delivery

_Response = TypeVar("_Response")


class EmafusionClient:
    """Speaks to the services whose targets it is given, such as `dns:///cascade:50053`.

    To be made inside a running event loop, and used as ``async with EmafusionClient(cascade=…) as client``. Every call takes
    ``timeout_s``, the deadline in seconds that holds over all services; without it the service's default applies. Every call
    raises ``EmafusionError``; a call to a service without a target raises ``ValueError``. ``api_key`` goes with every call, so give it only
    with ``tls`` where others could listen.
    """

    def __init__(
        self,
        *,
        cascade: str | None = None,
        router: str | None = None,
        judge: str | None = None,
        tls: Tls | None = None,
        api_key: str | None = None,
    ) -> None:
        self._metadata = None if api_key is None else (("authorization", f"Bearer {api_key}"),)
        self._channels: list[grpc.aio.Channel] = []
        self._cascade = cascade_service_pb2_grpc.CascadeServiceStub(self._open(cascade, tls)) if cascade else None
        self._router = router_service_pb2_grpc.RouterServiceStub(self._open(router, tls)) if router else None
        self._judge = judge_service_pb2_grpc.JudgeServiceStub(self._open(judge, tls)) if judge else None

    def _open(self, target: str, tls: Tls | None) -> grpc.aio.Channel:
        channel = open_channel(target, tls=tls)
        self._channels.append(channel)
        return channel

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all calls and closes the connections."""
        for channel in self._channels:
            await channel.close()

    async def complete(self, question: Question | str, *, timeout_s: float | None = None) -> Completion:
        """The answer, once it is final."""
        request = encode.complete_request(_question(question))
        response = await _answered(_given(self._cascade, "cascade").Complete(request, timeout=timeout_s, metadata=self._metadata))
        return decode_cascade.completion(response.completion)

    async def stream(
        self,
        question: Question | str,
        *,
        delivery: Delivery = Delivery.UNSPECIFIED,
        prefix: PrefixCommit | None = None,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[Event, None]:
        """What happens while the question is answered; ``Completed`` is the last event.

        Closing the generator cancels the call, up to the model that is writing; use it inside ``contextlib.aclosing``, so that it
        is closed however the block is left. Raises ``IncompleteStream`` when the stream ends without ``Completed``, and
        ``EmafusionError`` when the call fails.
        """
        request = encode.stream_request(_question(question), delivery, prefix=prefix)
        call = _given(self._cascade, "cascade").StreamComplete(request, timeout=timeout_s, metadata=self._metadata)
        try:
            async for message in call:
                event = decode_cascade.event(message)
                if event is None:
                    continue
                if isinstance(event, Completed):
                    async for _ in call:  # to the end of the stream, so that the server sees a call that ended well
                        pass
                    yield event
                    return
                yield event
        except grpc.aio.AioRpcError as error:
            raise decode_error(error) from error
        finally:
            call.cancel()
        raise IncompleteStream

    async def route(self, question: Question | str, *, explain: bool = False, timeout_s: float | None = None) -> Routing:
        """The router's plan for the question; with ``explain`` it holds the numbers of every configured model."""
        request = encode.route_request(_question(question), explain=explain)
        return decode.routing(await _answered(_given(self._router, "router").Route(request, timeout=timeout_s, metadata=self._metadata)))

    async def judge(self, question: JudgeQuestion, *, timeout_s: float | None = None) -> Judgement:
        """What the judges say about the candidates."""
        request = encode.judge_request(question)
        return decode.judgement(await _answered(_given(self._judge, "judge").Judge(request, timeout=timeout_s, metadata=self._metadata)))

    async def feedback(self, decision_id: str, note: FeedbackNote, *, timeout_s: float | None = None) -> Feedback:
        """Records how good an answer was, and returns the feedback as recorded."""
        request = encode.feedback_request(decision_id, note)
        response = await _answered(_given(self._cascade, "cascade").SubmitFeedback(request, timeout=timeout_s, metadata=self._metadata))
        return decode_cascade.feedback(response.feedback)

    async def decision(self, decision_id: str, *, timeout_s: float | None = None) -> Decision:
        """The record of a request."""
        request = encode.decision_request(decision_id)
        response = await _answered(_given(self._cascade, "cascade").GetDecision(request, timeout=timeout_s, metadata=self._metadata))
        return decode_cascade.decision(response.decision)

    async def models(self, *, timeout_s: float | None = None) -> tuple[ModelInfo, ...]:
        """The configured models, as the cascade knows them, or the router where there is no cascade."""
        if self._cascade is None:
            listed = await _answered(
                _given(self._router, "router").ListModels(
                    router_service_pb2.ListModelsRequest(), timeout=timeout_s, metadata=self._metadata
                )
            )
            return tuple(decode.model_info(model) for model in listed.models)
        response = await _answered(
            self._cascade.ListModels(cascade_service_pb2.ListModelsRequest(), timeout=timeout_s, metadata=self._metadata)
        )
        return tuple(decode.model_info(model) for model in response.models)

    async def list_quotas(self, *, timeout_s: float | None = None) -> tuple[Quota, ...]:
        """What callers have used, over all replicas, in order of scope."""
        request = cascade_service_pb2.ListQuotasRequest()
        response = await _answered(_given(self._cascade, "cascade").ListQuotas(request, timeout=timeout_s, metadata=self._metadata))
        return tuple(quota(each) for each in response.quotas)

    async def judges(self, *, timeout_s: float | None = None) -> JudgePanel:
        """The panel of judges."""
        request = judge_service_pb2.ListJudgesRequest()
        return decode.judge_panel(
            await _answered(_given(self._judge, "judge").ListJudges(request, timeout=timeout_s, metadata=self._metadata))
        )


def _question(question: Question | str) -> Question:
    return Question.of(question) if isinstance(question, str) else question


def _given(stub: _Response | None, service: str) -> _Response:
    if stub is None:
        raise ValueError(f"this client was made without a target for the {service} service; pass `{service}=`")
    return stub


async def _answered(call: Awaitable[_Response]) -> _Response:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise decode_error(error) from error
