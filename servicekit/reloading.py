"""A channel that is opened anew when the files behind its credentials change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import grpc
import structlog

from servicekit.settings.load import ConfigurationError
from servicekit.tls import Stamp

LOOK_EVERY_S: Final = 1.0

_Credentials = TypeVar("_Credentials")

_log = structlog.get_logger(__name__)


class ReloadingChannel(grpc.aio.Channel):
    """Makes each call over the newest channel. Calls under way stay on theirs, which closes after them or after ``grace_s``.

    ``stamp`` says in which state the files are, ``read`` makes credentials of them, both block; ``connect`` opens a channel. While
    the files are wrong, the last channel that could be opened stays. Must be made inside the event loop; the first reading blocks it
    and raises `ConfigurationError`.
    """

    def __init__(
        self,
        *,
        stamp: Callable[[], Stamp],
        read: Callable[[], _Credentials],
        connect: Callable[[_Credentials], grpc.aio.Channel],
        grace_s: float,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._stamp = stamp
        self._seen = stamp()
        self._channel = connect(read())
        self._grace_s = grace_s
        self._closing: set[asyncio.Task[None]] = set()

        async def reopened() -> grpc.aio.Channel:
            return connect(await asyncio.to_thread(read))

        self._watch = asyncio.create_task(self._follow(reopened, look_every_s), name="channel credentials")

    async def _follow(self, reopened: Callable[[], Awaitable[grpc.aio.Channel]], look_every_s: float) -> None:
        while True:
            await asyncio.sleep(look_every_s)
            stamp = await asyncio.to_thread(self._stamp)
            if stamp != self._seen:
                await self._replace(reopened, stamp)

    async def _replace(self, reopened: Callable[[], Awaitable[grpc.aio.Channel]], stamp: Stamp) -> None:
        try:
            fresh = await reopened()
        except ConfigurationError as error:
            _log.warning("channel_not_reopened", cause=str(error))
            return
        old, self._channel, self._seen = self._channel, fresh, stamp
        _log.info("channel_reopened")
        closing = asyncio.create_task(old.close(self._grace_s))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self, grace: float | None = None) -> None:
        """Closes the newest channel after ``grace`` seconds at most, and older ones at once."""
        self._watch.cancel()
        for closing in tuple(self._closing):
            closing.cancel()
        await asyncio.wait({self._watch, *self._closing})
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - as inherited
        """State of the newest channel."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the newest channel's state changes."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when the newest channel is connected."""
        await self._channel.channel_ready()

    def unary_unary(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on as they come
        """A unary call of the newest channel."""
        return self._late("unary_unary", method, options)

    def unary_stream(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on as they come
        """A call of the newest channel whose answer is a stream."""
        return self._late("unary_stream", method, options)

    def stream_unary(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on as they come
        """A call of the newest channel whose request is a stream."""
        return self._late("stream_unary", method, options)

    def stream_stream(self, *method: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on as they come
        """A call of the newest channel with streams both ways."""
        return self._late("stream_stream", method, options)

    def _late(self, kind: str, method: tuple[Any, ...], options: dict[str, Any]) -> Callable[..., Any]:
        """Chooses the channel when the call is made, not when the stub is."""

        def call(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on as they come
            multicallable = getattr(self._channel, kind)(*method, **options)
            return cast("Callable[..., Any]", multicallable)(*arguments, **more)

        return call
