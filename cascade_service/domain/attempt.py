"""One attempt: what a model has written so far, how it ended, what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cascade_service.domain.ceilings import Spent
from cascade_service.domain.chat import FinishReason, LogprobSummary, Usage
from cascade_service.domain.errors import FailureClass, ModelFailed
from cascade_service.domain.events import AttemptSummary, EscalationReason
from cascade_service.domain.model import AnswerEnd
from cascade_service.domain.pricing import Price
from cascade_service.domain.verdict import Verdict

_BILLED_WITHOUT_TEXT = frozenset({FailureClass.TIMEOUT, FailureClass.CANCELLED})


@dataclass(slots=True, kw_only=True)
class Attempt:
    """An attempt under way or done. Times are on the scale of ``Clock.monotonic_s``.

    ``input_tokens_bound``, ``max_output_tokens`` and ``price`` bound what it can cost. ``charged`` is what the ceilings count:
    the actual cost of a finished attempt, the bound of a broken one that may be billed all the same.
    """

    number: int
    tier: int
    model: str
    started_at_s: float
    input_tokens_bound: int
    max_output_tokens: int
    price: Price
    first_chunk_at_s: float | None = None
    ended_at_s: float | None = None
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    usage: Usage = field(default_factory=Usage)
    cost_nano_usd: int = 0
    charged: Spent = field(default_factory=Spent)
    logprobs: LogprobSummary | None = None
    failure: ModelFailed | None = None
    verdict: Verdict | None = None
    reason: EscalationReason | None = None
    _pieces: list[str] = field(default_factory=list[str])
    _chars: int = 0

    @property
    def text(self) -> str:
        """What the model wrote, whole or broken off."""
        return "".join(self._pieces)

    @property
    def chars(self) -> int:
        """Length of the text in characters."""
        return self._chars

    @property
    def has_answer(self) -> bool:
        """True when there is an answer to give: a whole one that is more than white space. Half an answer is none."""
        return self.failure is None and self.ended_at_s is not None and any(piece.strip() for piece in self._pieces)

    @property
    def confidence(self) -> float | None:
        """Confidence of the verdict, 0.0 to 1.0."""
        return None if self.verdict is None else self.verdict.confidence

    @property
    def judge_cost_nano_usd(self) -> int:
        """Cost of judging it in nano-USD."""
        return 0 if self.verdict is None else self.verdict.cost_nano_usd

    @property
    def error(self) -> str:
        """Class of the failure, empty when there is none."""
        return "" if self.failure is None else self.failure.kind

    @property
    def cause(self) -> str:
        """Why the attempt is no answer, as a class: its failure, or an empty answer."""
        return self.error or "empty_answer"

    def add(self, text: str, *, at_s: float) -> None:
        """Takes in a piece of text."""
        if not text:
            return
        if self.first_chunk_at_s is None:
            self.first_chunk_at_s = at_s
        self._pieces.append(text)
        self._chars += len(text)

    def finish(self, end: AnswerEnd, *, at_s: float) -> None:
        """Ends the attempt with a whole answer."""
        self.ended_at_s = at_s
        self.finish_reason, self.logprobs = end.finish_reason, end.logprobs
        self.usage, self.cost_nano_usd = end.usage, end.cost_nano_usd
        self.charged = Spent(cost_nano_usd=end.cost_nano_usd, output_tokens=end.usage.output_tokens)

    def fail(self, failure: ModelFailed, *, at_s: float) -> None:
        """Ends the attempt with a failure.

        Nobody says what a broken call cost. Once text had come, or time had passed, it may be billed: then the record shows an
        estimate from the text, and the ceilings count the most that it can have been.
        """
        self.failure, self.ended_at_s = failure, at_s
        if not self._pieces and failure.failure_class not in _BILLED_WITHOUT_TEXT:
            return
        read, bound = max(1, self.input_tokens_bound // 4), self.price.bound_nano_usd
        written = min(self.max_output_tokens, sum(len(piece.encode()) for piece in self._pieces) // 4)
        self.usage = Usage(input_tokens=read, output_tokens=written, estimated=True)
        self.cost_nano_usd = self.price.estimate_nano_usd(input_tokens=read, output_tokens=written)
        worst = bound(input_tokens=self.input_tokens_bound, output_tokens=self.max_output_tokens)
        self.charged = Spent(cost_nano_usd=worst, output_tokens=self.max_output_tokens)

    def summary(self, *, chosen: bool) -> AttemptSummary:
        """The attempt, summed up."""
        first, ended = self.first_chunk_at_s, self.ended_at_s
        return AttemptSummary(
            attempt=self.number,
            tier=self.tier,
            model=self.model,
            chosen=chosen,
            escalation_reason=self.reason,
            confidence=self.confidence,
            finish_reason=self.finish_reason,
            usage=self.usage,
            cost_nano_usd=self.cost_nano_usd,
            judge_cost_nano_usd=self.judge_cost_nano_usd,
            time_to_first_chunk_s=None if first is None else first - self.started_at_s,
            duration_s=0.0 if ended is None else ended - self.started_at_s,
            error=self.error,
        )


def best_seen(attempts: Iterable[Attempt]) -> Attempt | None:
    """The answer with the highest confidence, the stronger model's on a tie; without any verdict the strongest model's answer."""
    answers = [attempt for attempt in attempts if attempt.has_answer]
    judged = [attempt for attempt in answers if attempt.verdict is not None]
    if judged:
        return max(judged, key=lambda attempt: (attempt.confidence or 0.0, attempt.number))
    return answers[-1] if answers else None


def spent(attempts: Sequence[Attempt]) -> Spent:
    """What the ceilings count for ``attempts``, the judging included."""
    return Spent(
        cost_nano_usd=sum(attempt.charged.cost_nano_usd + attempt.judge_cost_nano_usd for attempt in attempts),
        attempts=len(attempts),
        output_tokens=sum(attempt.charged.output_tokens for attempt in attempts),
    )
