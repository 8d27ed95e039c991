"""One attempt: what a model has written so far, how it ended, what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cascade_service.domain.acceptance import Escalate, visible_defects
from cascade_service.domain.ceilings import Spent
from cascade_service.domain.chat import FinishReason, LogprobSummary, Usage
from cascade_service.domain.errors import FailureClass, ModelFailed
from cascade_service.domain.events import AttemptSummary, EscalationReason, Hedge
from cascade_service.domain.model import AnswerEnd, EndpointUse
from cascade_service.domain.pricing import Price
from cascade_service.domain.verdict import Defect, Verdict

_BILLED_WITHOUT_TEXT = frozenset({FailureClass.TIMEOUT, FailureClass.CANCELLED})


@dataclass(slots=True, kw_only=True)
class Attempt:
    """An attempt under way or done. Times are on the scale of ``Clock.monotonic_s``.

    ``input_tokens_bound``, ``max_output_tokens`` and ``price`` bound what it can cost. ``charged`` is what the ceilings count:
    the actual cost of a finished attempt, the bound of a broken one that may be billed all the same; where a second call was made
    beside a slow one, the bound of that as well.

    ``start`` is final text of earlier attempts that this one continues, the last of them ``continues``. ``given_up`` is set when the
    attempt was broken off because its beginning was hopeless; ``verdict`` is then the one on the beginning. ``part`` is the part that
    it answers of a request that was split.

    ``predicted_quality`` is what the router predicted of the model, None when nobody did. ``expected_gain`` and ``gain_price``, in right
    answers, are those of the step that led to the attempt, where a policy weighed them.
    """

    number: int
    tier: int
    model: str
    started_at_s: float
    input_tokens_bound: int
    max_output_tokens: int
    price: Price
    predicted_quality: float | None = None
    predicted_output_tokens: int = 0
    expected_gain: float | None = None
    gain_price: float | None = None
    start: str = ""
    continues: int | None = None
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
    given_up: Escalate | None = None
    prefix_cost_nano_usd: int = 0
    endpoint_use: EndpointUse | None = None
    part: int | None = None
    _pieces: list[str] = field(default_factory=list[str])
    _chars: int = 0
    _bytes: int = 0

    @property
    def text(self) -> str:
        """What the model wrote, whole or broken off, after the text that it continues."""
        return self.start + "".join(self._pieces)

    @property
    def chars(self) -> int:
        """Length of the text in characters."""
        return len(self.start) + self._chars

    @property
    def written_tokens(self) -> int:
        """Tokens that the model wrote so far: counted where it tells log-probabilities, else four bytes of UTF-8 to a token."""
        return self.logprobs.tokens if self.logprobs is not None else -(-self._bytes // 4)

    @property
    def worst_case(self) -> Spent:
        """The most that the attempt can use up, itself not counted."""
        call, second = self._worst_call, self._worst_second_call
        return Spent(cost_nano_usd=call.cost_nano_usd + second.cost_nano_usd, output_tokens=call.output_tokens + second.output_tokens)

    @property
    def _worst_call(self) -> Spent:
        cost = self.price.bound_nano_usd(input_tokens=self.input_tokens_bound, output_tokens=self.max_output_tokens)
        return Spent(cost_nano_usd=cost, output_tokens=self.max_output_tokens)

    @property
    def _worst_second_call(self) -> Spent:
        return self._worst_call if self._hedged else Spent()

    @property
    def _hedged(self) -> bool:
        return self.endpoint_use is not None and self.endpoint_use.hedged

    @property
    def has_answer(self) -> bool:
        """True when there is an answer to give: a whole one that is more than white space. Half an answer is none."""
        whole = self.failure is None and self.given_up is None and self.ended_at_s is not None
        return whole and (bool(self.start) or any(piece.strip() for piece in self._pieces))

    @property
    def answer_id(self) -> str:
        """Id of its answer before the panel, unique in the request."""
        return answer_id(self.number)

    @property
    def same_answer_as(self) -> frozenset[str]:
        """Ids of the answers that a judge found to say the same."""
        return frozenset() if self.verdict is None else self.verdict.same_answer_as

    @property
    def defects(self) -> frozenset[Defect]:
        """What is wrong with it by its verdict, its finish reason and its bare text."""
        found = () if self.verdict is None else self.verdict.defects
        return visible_defects(self.text, self.finish_reason) | frozenset(found)

    @property
    def confidence(self) -> float | None:
        """Confidence of the verdict, 0.0 to 1.0."""
        return None if self.verdict is None else self.verdict.confidence

    @property
    def judge_cost_nano_usd(self) -> int:
        """Cost of judging it in nano-USD, its beginnings included."""
        if self.verdict is None or self.given_up is not None:
            return self.prefix_cost_nano_usd
        return self.prefix_cost_nano_usd + self.verdict.cost_nano_usd

    @property
    def error(self) -> str:
        """Class of the failure, empty when there is none."""
        return "" if self.failure is None else self.failure.kind

    @property
    def cause(self) -> str:
        """Why the attempt is no answer, as a class: its failure, or an empty answer."""
        return self.error or "empty_answer"

    def add(self, text: str, *, at_s: float, logprobs: LogprobSummary | None = None) -> None:
        """Takes in a piece of text; ``logprobs`` sums up all tokens so far."""
        self.logprobs = logprobs or self.logprobs
        if not text:
            return
        if self.first_chunk_at_s is None:
            self.first_chunk_at_s = at_s
        self._pieces.append(text)
        self._chars += len(text)
        self._bytes += len(text.encode())

    def use_endpoint(self, use: EndpointUse) -> None:
        """Notes which of its model's endpoints the attempt uses."""
        self.endpoint_use = use

    def finish(self, end: AnswerEnd, *, at_s: float) -> None:
        """Ends the attempt with a whole answer."""
        self.ended_at_s = at_s
        self.finish_reason, self.logprobs = end.finish_reason, end.logprobs
        self.usage, self.cost_nano_usd = end.usage, end.cost_nano_usd + self._wasted_nano_usd
        second = self._worst_second_call
        self.charged = Spent(
            cost_nano_usd=end.cost_nano_usd + second.cost_nano_usd, output_tokens=end.usage.output_tokens + second.output_tokens
        )

    def fail(self, failure: ModelFailed, *, at_s: float) -> None:
        """Ends the attempt with a failure.

        Nobody says what a broken call cost. Once text had come, or time had passed, it may be billed: then the record shows an
        estimate from the text, and the ceilings count the most that it can have been.
        """
        self.failure, self.ended_at_s = failure, at_s
        if not self._pieces and not self._hedged and failure.failure_class not in _BILLED_WITHOUT_TEXT:
            return
        self._bill_estimate()

    def judged(self, verdict: Verdict) -> None:
        """Takes in a verdict on the whole answer. What an earlier one cost is added to it."""
        before = 0 if self.verdict is None else self.verdict.cost_nano_usd
        self.verdict = replace(verdict, cost_nano_usd=before + verdict.cost_nano_usd) if before else verdict

    def give_up(self, why: Escalate, verdict: Verdict, *, at_s: float) -> None:
        """Ends the attempt because its beginning is hopeless; billed like a broken one."""
        self.given_up, self.verdict, self.ended_at_s = why, verdict, at_s
        self._bill_estimate()

    @property
    def tokens_saved(self) -> int:
        """Output tokens that giving up saved: those predicted, or else those allowed, less those written."""
        if self.given_up is None:
            return 0
        expected = min(self.predicted_output_tokens or self.max_output_tokens, self.max_output_tokens)
        return max(0, expected - self.written_tokens)

    def _bill_estimate(self) -> None:
        read, written = self._read_tokens, min(self.max_output_tokens, self._bytes // 4)
        self.usage = Usage(input_tokens=read, output_tokens=written, estimated=True)
        self.cost_nano_usd = self.price.estimate_nano_usd(input_tokens=read, output_tokens=written) + self._wasted_nano_usd
        self.charged = self.worst_case

    @property
    def _read_tokens(self) -> int:
        """Estimated input tokens: four bytes to a token."""
        return max(1, self.input_tokens_bound // 4)

    @property
    def _wasted_nano_usd(self) -> int:
        """Estimated cost of the call that lost: it read the conversation and was cancelled before it wrote."""
        return self.price.estimate_nano_usd(input_tokens=self._read_tokens, output_tokens=0) if self._hedged else 0

    def _hedge(self) -> Hedge | None:
        use = self.endpoint_use
        if use is None:
            return None
        wasted = self._wasted_nano_usd
        return Hedge(endpoint=use.endpoint, hedged=use.hedged, wasted_cost_nano_usd=wasted, skipped_endpoints=use.skipped)

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
            aborted_early=self.given_up is not None,
            tokens_saved=self.tokens_saved,
            continues_attempt=self.continues,
            expected_gain=self.expected_gain,
            price=self.gain_price,
            hedge=self._hedge(),
            part=self.part,
        )


def answer_id(number: int) -> str:
    """Id before the panel of the answer of the attempt with this number."""
    return f"attempt-{number}"


def tokens_used(attempts: Iterable[Attempt]) -> int:
    """Tokens, input and output, of all attempts so far; of one under way an estimate from what it has written."""
    return sum(
        attempt.usage.input_tokens + attempt.usage.output_tokens
        if attempt.ended_at_s is not None
        else max(1, attempt.input_tokens_bound // 4) + attempt.written_tokens
        for attempt in attempts
    )


def spent(attempts: Sequence[Attempt], *, running: Spent | None = None) -> Spent:
    """What the ceilings count for ``attempts``, the judging included; ``running`` adds what the last one may still need."""
    running = running or Spent()
    return Spent(
        cost_nano_usd=running.cost_nano_usd + sum(attempt.charged.cost_nano_usd + attempt.judge_cost_nano_usd for attempt in attempts),
        attempts=len(attempts),
        output_tokens=running.output_tokens + sum(attempt.charged.output_tokens for attempt in attempts),
    )
