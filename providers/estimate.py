"""Token counts for providers that report none, or none that can be believed."""

from __future__ import annotations

from providers.port import ChatRequest, ModelCard, Usage

CHARS_PER_TOKEN = 4
"""Characters per token of English text, the rule of thumb of the large vocabularies; too few tokens for code and other scripts."""
TOKENS_PER_MESSAGE = 4
"""What chat templates add to each message."""


def estimate_tokens(text: str) -> int:
    """Estimated number of tokens of ``text``; 0 for an empty text, else 1 or more."""
    return -(-len(text) // CHARS_PER_TOKEN)


def believable(usage: Usage, request: ChatRequest, card: ModelCard, *, answer_chars: int) -> bool:
    """Whether a provider can have counted ``usage`` for an answer of ``answer_chars`` characters.

    A call reads something, writes something where there is text, and reads and writes no more than the context window holds or, where
    that is configured too small, than there are bytes to read and tokens to write.
    """
    if usage.input_tokens < 1 or usage.output_tokens < (answer_chars > 0):
        return False
    sent = sum(len(message.content.encode()) + TOKENS_PER_MESSAGE for message in request.messages)
    return usage.input_tokens + usage.output_tokens <= max(card.context_tokens, sent + request.max_output_tokens)


def estimate_usage(request: ChatRequest, *, answer_chars: int, answer_tokens: int) -> Usage:
    """Estimated usage of an answer of ``answer_chars`` characters.

    ``answer_tokens``, if not 0, is the number of tokens that came with log-probabilities; it is taken for the output as it is.
    """
    return Usage(
        input_tokens=sum(estimate_tokens(message.content) + TOKENS_PER_MESSAGE for message in request.messages),
        output_tokens=answer_tokens or -(-answer_chars // CHARS_PER_TOKEN),
        estimated=True,
    )
