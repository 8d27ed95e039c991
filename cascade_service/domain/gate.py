"""Turns requests away before anything is paid while their record could not be kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from cascade_service.domain.events import CascadeEvent
from cascade_service.domain.ports import Answering
from cascade_service.domain.request import CascadeRequest


class GatedCascade:
    """Lets requests through while ``check_ready`` does not raise."""

    def __init__(self, inner: Answering, check_ready: Callable[[], None]) -> None:
        self._inner = inner
        self._check_ready = check_ready

    async def answer(self, request: CascadeRequest) -> AsyncGenerator[CascadeEvent, None]:
        """The events of ``inner``. Raises what ``check_ready`` raises, before any of them."""
        self._check_ready()
        async with aclosing(self._inner.answer(request)) as events:
            async for event in events:
                yield event
