"""The two ways in which a question of a sample is answered: in this process, and by the services.

The router reads the prompt on both sides, because that is what a service is sent. A recorded answer costs list price times tokens on both
sides, rounded up, as the service charges it. A model may write as much as the longest of its recorded answers in the sample, so that none
is cut. Everything else on the in-process side is what the other methods of the benchmark run on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from emafusion_client import EmafusionClient, EmafusionError
from emafusion_client import Question as AskedQuestion
from emafusion_client.requests import Constraints as AskedConstraints

from benchmarks.decision_quality.play import CascadeMethod, cascade_events
from benchmarks.decision_quality.pools import Pool
from benchmarks.decision_quality.recordings import Answer, Question
from benchmarks.decision_quality.replay import RouterInProcess, candidate_of
from cascade_service.domain.errors import AllAttemptsFailed, CascadeError
from cascade_service.domain.events import Completed
from cascade_service.domain.ports import Router
from providers.port import Price, Usage
from router_service.adapters.onnx_encoder import SentenceEncoder
from router_service.domain.models import CandidateModel
from router_service.domain.ports import Reading
from router_service.domain.routing import Decider

CONFIDENCE_TOLERANCE = 1e-9
ASK_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one question came to. Without an answer ``outcome`` is the reason of the error, and what it cost is not said.

    ``models`` were asked in this order; after an error they are in order of name. ``text_sha256`` is of the answer given.
    """

    models: tuple[str, ...]
    outcome: str
    model: str = ""
    confidence: float | None = None
    cost_nano_usd: int | None = None
    text_sha256: str = ""

    def agrees(self, other: Given) -> bool:
        """True when all is equal, confidences but for rounding."""
        if self.confidence is None or other.confidence is None:
            return self == other
        near = abs(self.confidence - other.confidence) <= CONFIDENCE_TOLERANCE
        return near and replace(self, confidence=None) == replace(other, confidence=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Questions with what they cost through a service, the models as they are configured, and what the router reads of the prompts."""

    pool: Pool
    models: Mapping[str, CandidateModel]
    readings: tuple[Reading, ...]

    def router(self, decider_of: Callable[[tuple[CandidateModel, ...]], Decider]) -> Callable[[int], Router]:
        """The router by question, in process: it knows the models that answered the question."""
        deciders: dict[tuple[str, ...], Decider] = {}

        def router(index: int) -> Router:
            names = _names(self.pool.answers[index])
            if names not in deciders:
                deciders[names] = decider_of(tuple(self.models[name] for name in names))
            return RouterInProcess(deciders[names], self.readings[index])

        return router


def sample_of(pool: Pool, count: int, encoder: SentenceEncoder) -> Sample:
    """At most ``count`` questions of ``pool``, evenly spread, no two with the same prompt: a recording is searched by prompt."""
    first = {question.prompt.strip(): index for index, question in reversed(tuple(enumerate(pool.questions)))}
    kept = sorted(first.values())
    pool = replace(
        pool, questions=tuple(pool.questions[index] for index in kept), answers=tuple(pool.answers[index] for index in kept)
    ).first(count)
    models = {name: _model(pool, name) for name in sorted({answer.model for row in pool.answers for answer in row})}
    priced = tuple(
        tuple(_priced(answer, question, models[answer.model]) for answer in row)
        for question, row in zip(pool.questions, pool.answers, strict=True)
    )
    readings = tuple(_read(encoder, question.prompt) for question in pool.questions)
    return Sample(pool=replace(pool, answers=priced), models=models, readings=readings)


def _model(pool: Pool, name: str) -> CandidateModel:
    model = candidate_of(pool.facts[name])
    longest = max(answer.output_tokens for row in pool.answers for answer in row if answer.model == name)
    return replace(model, max_output_tokens=max(model.max_output_tokens, longest))


def _priced(answer: Answer, question: Question, model: CandidateModel) -> Answer:
    price = Price(input_nano_usd_per_mtok=model.input_nano_usd_per_mtok, output_nano_usd_per_mtok=model.output_nano_usd_per_mtok)
    usage = Usage(input_tokens=question.prompt_tokens, output_tokens=answer.output_tokens)
    return replace(answer, cost_nano_usd=price.cost_nano_usd(usage))


def _read(encoder: SentenceEncoder, prompt: str) -> Reading:
    (encoded,) = encoder.encode([(prompt,)])
    return Reading(vector=encoded.vector, input_tokens=encoded.input_tokens, queue_s=0.0, inference_s=0.0, batch_size=1)


def _names(answers: Iterable[Answer]) -> tuple[str, ...]:
    return tuple(answer.model for answer in answers)


async def in_process(question: Question, answers: Sequence[Answer], method: CascadeMethod, index: int) -> Given:
    """What the benchmark's own cascade makes of a question."""
    try:
        async with aclosing(cascade_events(question, answers, method, index)) as events:
            async for event in events:
                if isinstance(event, Completed):
                    done = event.completion
                    return Given(
                        models=tuple(attempt.model for attempt in done.attempts),
                        outcome=done.outcome.value,
                        model=done.model,
                        confidence=done.confidence,
                        cost_nano_usd=done.cost_nano_usd,
                        text_sha256=_digest(done.text),
                    )
    except AllAttemptsFailed as error:
        return Given(models=tuple(sorted(error.causes)), outcome=error.reason)
    except CascadeError as error:
        return Given(models=(), outcome=error.reason)
    raise RuntimeError(f"the cascade ended without an answer to {question.id}")


async def through_services(client: EmafusionClient, question: Question, answers: Sequence[Answer], method: CascadeMethod) -> Given:
    """What the services make of it, asked with the method's constraints and policy."""
    asked = replace(
        AskedQuestion.of(question.prompt),
        constraints=AskedConstraints(
            allow_models=_names(answers),
            models_max=method.constraints.models_max,
            suitability_min=method.constraints.suitability_min,
        ),
        policy=method.policy.name,
        answer_worth_nano_usd=method.policy.answer_worth_nano_usd,
    )
    try:
        done = await client.complete(asked, timeout_s=ASK_TIMEOUT_S)
    except EmafusionError as error:
        failed = error.reason == AllAttemptsFailed.reason
        return Given(models=tuple(sorted(error.details.metadata)) if failed else (), outcome=error.reason or str(error))
    return Given(
        models=tuple(attempt.model for attempt in done.attempts),
        outcome=done.outcome.value,
        model=done.model,
        confidence=done.confidence,
        cost_nano_usd=done.cost_nano_usd,
        text_sha256=_digest(done.text),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
