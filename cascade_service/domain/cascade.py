"""The cascade: answers requests and records every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from cascade_service.domain.decision import DecisionFold, DecisionStatus
from cascade_service.domain.decomposition.run import DecomposedRun
from cascade_service.domain.errors import CascadeError
from cascade_service.domain.events import CascadeEvent, Completed
from cascade_service.domain.recording import Recorder
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts
from cascade_service.domain.run import Run


class Cascade:
    """Runs models from cheap to dear until an answer is good enough, for each part of a request that may be split and is compound.

    The record of a request is durable before its ``Completed`` is given out; on an error or a cancellation it is written after
    all calls to models have been closed.
    """

    def __init__(self, parts: CascadeParts, recorder: Recorder) -> None:
        self._parts = parts
        self._recorder = recorder

    async def answer(self, request: CascadeRequest) -> AsyncGenerator[CascadeEvent, None]:
        """The events of one request, ending with exactly one ``Completed``. Raises ``CascadeError``."""
        run = Run(request, self._parts) if request.parts_max is None else DecomposedRun(request, self._parts)
        request.on_run(run)
        fold = DecisionFold(request, create_time=self._parts.clock.now(), record_text=self._recorder.record_text)
        answered = False
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    fold.apply(event)
                    if isinstance(event, Completed):
                        await self._recorder.write(fold.record(DecisionStatus.COMPLETED, run.attempts))
                        answered = True
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            if not answered:
                run.abandon()
                await self._recorder.write_last(fold.record(DecisionStatus.CANCELLED, run.attempts, error_reason="CANCELLED"))
            raise
        except Exception as error:
            run.abandon()
            reason = error.reason if isinstance(error, CascadeError) else "INTERNAL"
            await self._recorder.write_last(fold.record(DecisionStatus.FAILED, run.attempts, error_reason=reason))
            raise
