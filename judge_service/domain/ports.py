"""What the domain needs from outside."""

from __future__ import annotations

from typing import Protocol

from judge_service.domain.candidates import Case
from judge_service.domain.verdicts import Opinion


class Judge(Protocol):
    """One judge of the panel."""

    @property
    def name(self) -> str:
        """Name in the configuration, unique in the panel."""
        ...

    @property
    def kind(self) -> str:
        """`checks`, `agreement`, `confidence`, `verifier` or `llm`."""
        ...

    @property
    def model(self) -> str:
        """Name of the language model that the judge asks. Empty for judges that ask none."""
        ...

    @property
    def timeout_s(self) -> float | None:
        """Longest wait for this judge in seconds; None leaves it to the panel's deadline."""
        ...

    @property
    def finds_defects(self) -> bool:
        """True when opinions of this judge may name defects, which cap the confidence. Defects that others name are ignored."""
        ...

    def cost_max_nano_usd(self, case: Case) -> int:
        """Most that judging ``case`` can cost, in nano-USD."""
        ...

    async def judge(self, case: Case) -> Opinion:
        """Judges one candidate. Raises ``JudgeFailed`` when that is not possible."""
        ...


class SchemaValidator(Protocol):
    """Checks a JSON value against a JSON Schema."""

    def problem(self, value: object, schema: str) -> str:
        """What is wrong with ``value`` under ``schema`` (JSON text, draft 2020-12), or an empty string.

        The text names places and rules, never values. Raises ``BadSchema`` when the schema itself is unusable.
        """
        ...
