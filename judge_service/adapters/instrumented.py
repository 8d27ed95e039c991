"""A judge under observation: one span and one evaluation event per judge and candidate, and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from judge_service.domain.candidates import Case
from judge_service.domain.errors import JudgeFailed
from judge_service.domain.ports import Judge
from judge_service.domain.verdicts import Opinion
from servicekit import semconv

_log = structlog.get_logger(__name__)

GOOD_FROM = 0.5
"""From this score on, the evaluation's label is `pass`."""


@dataclass(frozen=True, slots=True)
class JudgeInstruments:
    """Metrics of all judges; labels are the judge's name, its kind and the state in which it ended."""

    outcomes: Counter
    duration: Histogram

    @staticmethod
    def of(meter: Meter) -> JudgeInstruments:
        """The instruments of ``meter``."""
        return JudgeInstruments(
            outcomes=meter.create_counter(semconv.METRIC_JUDGE_OUTCOMES, unit="{outcome}", description="What came of asking judges."),
            duration=meter.create_histogram(
                semconv.METRIC_JUDGE_DURATION,
                unit="s",
                description="Time that judges take.",
                explicit_bucket_boundaries_advisory=list(semconv.GENERATION_SECONDS_BUCKETS),
            ),
        )


class InstrumentedJudge:
    """Wraps a judge. Unforeseen errors are logged in full here and leave as ``JudgeFailed`` without their text."""

    def __init__(self, judge: Judge, *, tracer: Tracer, instruments: JudgeInstruments, clock: Callable[[], float]) -> None:
        self._judge = judge
        self._tracer = tracer
        self._instruments = instruments
        self._clock = clock

    @property
    def name(self) -> str:
        """Name in the configuration."""
        return self._judge.name

    @property
    def kind(self) -> str:
        """Kind of judge."""
        return self._judge.kind

    @property
    def model(self) -> str:
        """Model that the judge asks, if any."""
        return self._judge.model

    @property
    def timeout_s(self) -> float | None:
        """Longest wait for the judge in seconds."""
        return self._judge.timeout_s

    @property
    def finds_defects(self) -> bool:
        """True when the judge may name defects."""
        return self._judge.finds_defects

    def cost_max_nano_usd(self, case: Case) -> int:
        """Most that judging ``case`` can cost."""
        return self._judge.cost_max_nano_usd(case)

    async def judge(self, case: Case) -> Opinion:
        """Judges one candidate inside a span. Raises ``JudgeFailed``."""
        started = self._clock()
        state = "failed"
        attributes = {
            semconv.EMAFUSION_JUDGE_NAME: self.name,
            semconv.EMAFUSION_JUDGE_KIND: self.kind,
            semconv.EMAFUSION_JUDGE_CANDIDATE_ID: case.candidate.id,
        }
        name = f"{semconv.SPAN_JUDGE} {self.name}"
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.INTERNAL, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                opinion = await self._judge.judge(case)
                state = "scored" if opinion.score is not None else "abstained"
            except asyncio.CancelledError:
                state = "stopped"
                raise
            except JudgeFailed as error:
                _mark_failed(span, "judge_failed", str(error))
                raise
            except Exception as error:
                _log.exception("judge failed", judge=self.name)
                _mark_failed(span, type(error).__qualname__, "a fault of the judge")
                raise JudgeFailed(f"fault of the judge: {type(error).__name__}") from error
            finally:
                self._count(state, self._clock() - started)
                span.set_attribute(semconv.EMAFUSION_JUDGE_STATE, state)
            _evaluate(span, self.name, opinion)
        return opinion

    def _count(self, state: str, seconds: float) -> None:
        labels = {semconv.EMAFUSION_JUDGE_NAME: self.name, semconv.EMAFUSION_JUDGE_KIND: self.kind, semconv.EMAFUSION_JUDGE_STATE: state}
        self._instruments.outcomes.add(1, labels)
        self._instruments.duration.record(seconds, labels)


def _evaluate(span: Span, name: str, opinion: Opinion) -> None:
    """The event of the GenAI conventions; an abstention has a label and no score."""
    attributes: dict[str, str | float] = {
        semconv.GEN_AI_EVALUATION_NAME: name,
        semconv.GEN_AI_EVALUATION_EXPLANATION: opinion.explanation,
    }
    if opinion.score is None:
        attributes[semconv.GEN_AI_EVALUATION_SCORE_LABEL] = "abstained"
    else:
        attributes[semconv.GEN_AI_EVALUATION_SCORE_VALUE] = opinion.score
        attributes[semconv.GEN_AI_EVALUATION_SCORE_LABEL] = "pass" if opinion.score >= GOOD_FROM else "fail"
    span.add_event(semconv.EVENT_GEN_AI_EVALUATION_RESULT, attributes)


def _mark_failed(span: Span, kind: str, message: str) -> None:
    span.set_attribute(semconv.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, message))
