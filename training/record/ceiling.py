"""The most that a recording may cost, kept by holding every call's worst case before it is made."""

from __future__ import annotations

import asyncio

from providers.port import ChatRequest, ModelCard

TEMPLATE_TOKENS_MAX = 64
"""Allowance for what a provider's chat template adds to one message."""


def worst_case_nano_usd(card: ModelCard, request: ChatRequest) -> int:
    """Most that a call can cost in nano-USD: every byte of the prompt a token, the chat template, and the longest answer."""
    input_tokens = sum(len(message.content.encode()) + TEMPLATE_TOKENS_MAX for message in request.messages)
    output_tokens = min(request.max_output_tokens, card.max_output_tokens)
    price = card.price
    dearest = max(price.input_nano_usd_per_mtok, price.cached_input_nano_usd_per_mtok or 0)
    return -(-(input_tokens * dearest + output_tokens * price.output_nano_usd_per_mtok) // 1_000_000)


class CostCeiling:
    """Holds ``spent + worst cases in flight ≤ ceiling`` in nano-USD; a ceiling of None holds nothing back."""

    def __init__(self, ceiling_nano_usd: int | None, *, spent_nano_usd: int) -> None:
        self._ceiling = ceiling_nano_usd
        self._spent = spent_nano_usd
        self._held = 0
        self._settled = asyncio.Condition()

    async def hold(self, worst_nano_usd: int) -> bool:
        """True once the worst case fits and is held; false when it can't fit any more, whatever the calls in flight turn out to cost."""
        async with self._settled:
            while self._ceiling is not None and self._spent + self._held + worst_nano_usd > self._ceiling:
                if self._spent + worst_nano_usd > self._ceiling or self._held == 0:
                    return False
                await self._settled.wait()
            self._held += worst_nano_usd
            return True

    async def settle(self, worst_nano_usd: int, *, cost_nano_usd: int) -> None:
        """Gives back what was held for a call and counts what it cost."""
        async with self._settled:
            self._held -= worst_nano_usd
            self._spent += cost_nano_usd
            self._settled.notify_all()
