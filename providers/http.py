"""The one HTTP layer: a streaming POST, its timeouts, its errors and its end, for every dialect."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from providers.dialect import AnswerReader, Dialect
from providers.errors import ConnectionBroken, MalformedResponse, ProviderError, ProviderTimeout
from providers.estimate import believable, estimate_usage
from providers.failures import error_from_response
from providers.patience import Patience, Timeouts
from providers.port import ChatEvent, ChatRequest, Finished, ModelCard
from providers.traced import trace_headers

ERROR_BODY_BYTES_MAX = 65_536
"""No more than this is read of the body of an HTTP error."""
ANSWER_BYTES_BASE = 1_048_576
ANSWER_BYTES_PER_TOKEN = 8_192
"""A stream may have ``ANSWER_BYTES_BASE`` + this times the token limit; twenty alternatives with bytes take about 3 kB per token."""
DRAIN_S = 0.1
"""How long the end of the HTTP body is waited for after the end of the answer, so that the connection can be used again."""


def utc_now() -> datetime:
    """The time of day, for Retry-After dates."""
    return datetime.now(UTC)


class HttpChatModel:
    """A model behind a streaming HTTP API.

    Owns ``client``, which must have no timeouts of its own but the one for connecting, and must not follow redirects. Closing the
    generator closes the HTTP response and with it the connection; that is how a cancel reaches the provider.
    """

    def __init__(
        self,
        card: ModelCard,
        *,
        endpoint: str,
        dialect: Dialect,
        client: httpx.AsyncClient,
        timeouts: Timeouts,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._card = card
        self._endpoint = endpoint.rstrip("/")
        self._dialect = dialect
        self._client = client
        self._timeouts = timeouts
        self._now = now
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def card(self) -> ModelCard:
        """What is known of the model."""
        return self._card

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answers ``request`` as ``ChatModel.stream`` demands; raises ``ProviderError`` only."""
        clock = asyncio.get_running_loop().time
        patience = Patience(self._timeouts, request.timeout_s, model=self._card.name, clock=clock)
        reader = self._dialect.reader(request)
        chars, tokens = 0, 0
        async with self._post(request, patience) as response, aclosing(self._events(response, patience, reader)) as events:
            async for event in events:
                for chunk in reader.read(event):
                    chars += len(chunk.text)
                    tokens += len(chunk.logprobs)
                    yield chunk
                patience.heard(reader.progress)
        ending = reader.ending()
        usage = ending.usage
        if usage is None or not believable(usage, request, self._card, answer_chars=chars):
            usage = estimate_usage(request, answer_chars=chars, answer_tokens=tokens)
        yield Finished(
            finish_reason=ending.finish_reason,
            usage=usage,
            cost_nano_usd=self._card.price.cost_nano_usd(usage),
            response_id=ending.response_id,
            response_model=ending.response_model,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _post(self, request: ChatRequest, patience: Patience) -> AsyncGenerator[httpx.Response]:
        """An open response with status 200; anything else is raised as the error it means."""
        call = self._dialect.call(request)
        headers = {"accept": "text/event-stream", "accept-encoding": "identity", **trace_headers(request), **call.headers}
        http_request = self._client.build_request("POST", self._endpoint + call.path, headers=headers, json=call.body)
        with self._translated(patience):
            async with asyncio.timeout_at(patience.deadline()):
                response = await self._client.send(http_request, stream=True)
        try:
            if response.status_code != HTTPStatus.OK:
                raise await self._refusal(response, patience)
            bytes_max = ANSWER_BYTES_BASE + ANSWER_BYTES_PER_TOKEN * request.max_output_tokens
            plain = response.headers.get("content-encoding", "identity") == "identity"
            response.stream = _CheckedStream(response.stream, bytes_max=bytes_max, model=self._card.name, utf8=plain)
            response.encoding = "utf-8"  # what event streams are always in, whatever the head says
            yield response
        finally:
            await self._close(response)

    async def _close(self, response: httpx.Response) -> None:
        """Closes the response, and with it an unfinished connection, even when the caller is cancelled once more meanwhile.

        A gRPC handler whose caller leaves while it is blocked in a write has been seen to be cancelled twice. A close that is cut
        short would leave the connection open and the provider writing.
        """
        closing = asyncio.create_task(response.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def _events(self, response: httpx.Response, patience: Patience, reader: AnswerReader) -> AsyncGenerator[ServerSentEvent, None]:
        """The response's events until the answer is over; a break after the answer is complete is an end like any other."""
        async with aclosing(EventSource(response).aiter_sse()) as events:
            while not reader.over:
                try:
                    with self._translated(patience):
                        async with asyncio.timeout_at(patience.deadline()):
                            event = await anext(events)
                except StopAsyncIteration:
                    return
                except (ConnectionBroken, ProviderTimeout):
                    if reader.complete:
                        return
                    raise
                yield event
            with suppress(TimeoutError, httpx.HTTPError, ProviderError):
                async with asyncio.timeout(DRAIN_S):
                    async for _ in events:
                        pass

    async def _refusal(self, response: httpx.Response, patience: Patience) -> ProviderError:
        body = b""
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout_at(patience.deadline()):
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) >= ERROR_BODY_BYTES_MAX:
                        break
        body = body[:ERROR_BODY_BYTES_MAX]
        return error_from_response(self._card.name, status=response.status_code, headers=response.headers, body=body, now=self._now())

    @contextmanager
    def _translated(self, patience: Patience) -> Generator[None]:
        """Turns the exceptions of the layers below into ``ProviderError``. The texts of theirs are left behind: they quote URLs."""
        name = self._card.name
        try:
            yield
        except TimeoutError:
            raise patience.error() from None
        except httpx.TimeoutException:
            limit = self._timeouts.connect_s
            raise ProviderTimeout(f"{name}: no connection within {limit:g} s", model=name) from None
        except SSEError:
            raise MalformedResponse(f"{name}: the answer is no stream of server-sent events", model=name) from None
        except httpx.DecodingError:
            raise MalformedResponse(f"{name}: the answer's content encoding is broken", model=name) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            what = "can't connect" if isinstance(error, httpx.ConnectError) else "the connection broke"
            raise ConnectionBroken(f"{name}: {what} ({type(error).__name__})", model=name) from None


class _CheckedStream(httpx.AsyncByteStream):
    """The bytes of a response, up to a bound; a line that never ends can't fill the memory.

    With ``utf8`` bytes that are none are garbage: a decoder would put replacement characters into the answer without a word.
    """

    def __init__(self, stream: object, *, bytes_max: int, model: str, utf8: bool) -> None:
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError("an asynchronous response has an asynchronous stream")
        self._stream = stream
        self._bytes_max = bytes_max
        self._model = model
        self._decoder = codecs.getincrementaldecoder("utf-8")() if utf8 else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for data in self._stream:
            received += len(data)
            if received > self._bytes_max:
                raise MalformedResponse(f"{self._model}: the answer is longer than {self._bytes_max} bytes", model=self._model)
            self._check(data)
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _check(self, data: bytes) -> None:
        try:
            if self._decoder is not None:
                self._decoder.decode(data)
        except UnicodeDecodeError:
            raise MalformedResponse(f"{self._model}: the answer is not UTF-8", model=self._model) from None
