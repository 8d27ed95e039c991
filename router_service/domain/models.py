"""What the router knows of a model and of what a caller wants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateModel:
    """A configured model. Prices are nano-USD per million tokens, the window counts input and output together.

    ``disabled_reason`` is empty for a model that can be used now.
    """

    name: str
    provider: str
    input_nano_usd_per_mtok: int
    output_nano_usd_per_mtok: int
    context_tokens: int
    max_output_tokens: int
    cached_input_nano_usd_per_mtok: int | None = None
    capabilities: frozenset[str] = frozenset()
    disabled_reason: str = ""

    def cost_nano_usd(self, *, input_tokens: int, output_tokens: int) -> int:
        """Price of so many tokens in nano-USD, rounded up so that a ceiling is never exceeded by rounding."""
        total = input_tokens * self.input_nano_usd_per_mtok + output_tokens * self.output_nano_usd_per_mtok
        return -(-total // 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a plan must respect. ``None`` stands for "no limit"; an empty ``allow`` for all enabled models.

    With ``answer_worth_nano_usd``, what a right answer is worth, a plan has the models of greatest predicted net worth, greatest first.
    ``models_max`` is 1 or more, ``suitability_min`` 0.0 to 1.0, ``output_tokens_max`` the caller's limit on one
    answer in tokens.
    """

    models_max: int
    suitability_min: float
    attempt_cost_max_nano_usd: int | None = None
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    required_capabilities: frozenset[str] = frozenset()
    output_tokens_max: int | None = None
    answer_worth_nano_usd: int | None = None
