"""Ports of the cascade, played from recordings: models, the panel, the router. The cascade itself is the product's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from benchmarks.decision_quality.pools import Floats
from benchmarks.decision_quality.recordings import Answer, ModelFacts, Question
from cascade_service.domain import ports as cascade_ports
from cascade_service.domain.chat import FinishReason, Message, Usage
from cascade_service.domain.decision import Decision, Feedback
from cascade_service.domain.errors import DecisionNotFound, JudgeUnavailable, RouterUnavailable
from cascade_service.domain.model import AnswerEnd, ModelCall, ModelCard, ModelEvent, TextChunk
from cascade_service.domain.plan import Plan, PlannedModel, RouteKind
from cascade_service.domain.pricing import Price
from cascade_service.domain.verdict import Defect, JudgeOutcome, JudgeStatus, Verdict
from judge_service.adapters.local_judges import LocalJudge
from judge_service.domain.candidates import Candidate, Case, Ending, Speaker, Turn
from judge_service.domain.panel import Panel, PanelRequest
from judge_service.domain.verdicts import NoVerdict, Opinion
from router_service.domain import models as router_models
from router_service.domain.ports import Reading
from router_service.domain.routing import Decider, Query

_Key = tuple[tuple[str, float | None], ...]
"""Models and their predicted qualities: of the candidate, then of the others."""

OUTPUT_TOKENS_MAX = 65_536
JUDGE_DEADLINE_S = 600.0


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """Gives the recorded answer in one piece at its recorded cost."""

    answer: Answer
    prompt_tokens: int

    @property
    def card(self) -> ModelCard:
        """Its name; the ceilings of a benchmark never bind, so the price does not matter."""
        return ModelCard(name=self.answer.model, max_output_tokens=OUTPUT_TOKENS_MAX, price=Price())

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        """The answer and its end."""
        del call
        yield TextChunk(self.answer.text)
        yield AnswerEnd(
            finish_reason=FinishReason.LENGTH if self.answer.truncated else FinishReason.STOP,
            usage=Usage(input_tokens=self.prompt_tokens, output_tokens=self.answer.output_tokens),
            cost_nano_usd=self.answer.cost_nano_usd,
        )


@dataclass(frozen=True, slots=True)
class SilentJudge:
    """Never has a verdict: for methods that choose before anything was answered."""

    async def judge(self, question: cascade_ports.JudgeQuestion, *, timeout_s: float) -> Verdict:
        """Raises ``JudgeUnavailable``."""
        del question, timeout_s
        raise JudgeUnavailable("this method does not judge")

    async def judge_all(self, question: cascade_ports.JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        """Raises ``JudgeUnavailable``."""
        del question, timeout_s
        raise JudgeUnavailable("this method does not judge")


@dataclass(frozen=True, slots=True)
class InlineJudge:
    """A judge that asks no model, on the event loop itself: nothing else wants to run, and threads cost more than they bring."""

    judge_of: LocalJudge

    @property
    def name(self) -> str:
        """Name of the judge."""
        return self.judge_of.name

    @property
    def kind(self) -> str:
        """Kind of the judge."""
        return self.judge_of.kind

    @property
    def model(self) -> str:
        """None."""
        return ""

    @property
    def timeout_s(self) -> float | None:
        """No limit of its own."""
        return self.judge_of.timeout_s

    @property
    def finds_defects(self) -> bool:
        """True when it looks for defects."""
        return self.judge_of.finds_defects

    def cost_max_nano_usd(self, case: Case) -> int:
        """Nothing."""
        return self.judge_of.cost_max_nano_usd(case)

    async def judge(self, case: Case) -> Opinion:
        """Judges one candidate."""
        return self.judge_of.opinion_of(case)


@dataclass(slots=True)
class PanelInProcess:
    """The judge service's panel.

    A verdict depends on the answers and not on their order, so the same answers to the same prompt are judged once.
    """

    panel: Panel
    _prompt: str = ""
    _known: dict[_Key, Verdict] = field(default_factory=dict[_Key, Verdict])

    async def judge(self, question: cascade_ports.JudgeQuestion, *, timeout_s: float) -> Verdict:
        """The panel's verdict. Raises ``JudgeUnavailable`` when it has none."""
        del timeout_s
        return await self._verdict(question.messages, question.candidate, question.peers)

    async def judge_all(self, question: cascade_ports.JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        """The panel's verdict on each candidate beside the others."""
        del timeout_s
        answers = question.candidates
        return tuple(
            [
                await self._verdict(question.messages, answer, (*answers[:place], *answers[place + 1 :]))
                for place, answer in enumerate(answers)
            ]
        )

    async def _verdict(
        self, messages: tuple[Message, ...], candidate: cascade_ports.Answer, peers: tuple[cascade_ports.Answer, ...]
    ) -> Verdict:
        if messages[-1].content != self._prompt:
            self._prompt, self._known = messages[-1].content, {}
        known = self._known  # parts of one request are judged side by side: another may come in between
        ids = {answer.model: answer.id for answer in (candidate, *peers)}
        others = sorted(peers, key=lambda answer: answer.model)
        key = tuple((answer.model, answer.predicted_quality) for answer in (candidate, *others))
        if key not in known:
            named = [replace(answer, id=answer.model) for answer in (candidate, *others)]
            known[key] = await self._ask(messages, named[0], tuple(named[1:]))
        found = known[key]
        said = (replace(one, same_answer_as=tuple(ids[model] for model in one.same_answer_as)) for one in found.outcomes)
        return replace(found, outcomes=tuple(said))

    async def _ask(
        self, messages: tuple[Message, ...], candidate: cascade_ports.Answer, peers: tuple[cascade_ports.Answer, ...]
    ) -> Verdict:
        case = Case(
            conversation=tuple(Turn(Speaker.USER, message.content) for message in messages),
            candidate=_candidate(candidate),
            others=tuple(_candidate(peer) for peer in peers),
        )
        (result,) = await self.panel.judge(PanelRequest(cases=(case,), deadline_s=JUDGE_DEADLINE_S))
        if isinstance(result, NoVerdict):
            raise JudgeUnavailable("every judge failed")
        return Verdict(
            confidence=result.confidence,
            disagreement=result.disagreement,
            outcomes=tuple(
                JudgeOutcome(
                    judge=outcome.judge,
                    status=JudgeStatus(outcome.status.value),
                    score=outcome.score,
                    same_answer_as=outcome.same_answer_as,
                )
                for outcome in result.outcomes
            ),
            defects=tuple(Defect(defect.value) for defect in result.defects),
            evidence=result.evidence,
            calibration=result.calibration,
        )


def _candidate(answer: cascade_ports.Answer) -> Candidate:
    return Candidate(
        id=answer.id,
        text=answer.text,
        model=answer.model,
        ending=Ending(_ENDINGS[answer.finish_reason]),
        predicted_quality=answer.predicted_quality,
    )


_ENDINGS: Mapping[FinishReason, str] = {
    FinishReason.UNSPECIFIED: "unknown",
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
}


@dataclass(frozen=True, slots=True)
class RouterInProcess:
    """The router service's decision on one question whose embedding is known."""

    decider: Decider
    reading: Reading
    answer_worth_nano_usd: int | None = None

    async def route(self, question: cascade_ports.RouteQuestion, *, timeout_s: float) -> Plan:
        """The router's plan."""
        del timeout_s
        wanted = question.constraints
        constraints = router_models.Constraints(
            models_max=wanted.models_max or 1,
            suitability_min=wanted.suitability_min or 0.0,
            allow=frozenset(wanted.allow_models),
            deny=frozenset(wanted.deny_models),
            answer_worth_nano_usd=wanted.answer_worth_nano_usd or self.answer_worth_nano_usd,
        )
        plan = await self.decider.decide(Query(tuple(message.content for message in question.messages), constraints), self.reading)
        models = tuple(
            PlannedModel(
                model=planned.estimate.model.name,
                predicted_quality=planned.estimate.quality,
                predicted_cost_nano_usd=planned.estimate.cost_nano_usd,
                reason=planned.reason,
            )
            for planned in plan.order.planned
        )
        return Plan(models=models, kind=RouteKind(plan.kind.value), reasons=plan.reasons, input_tokens=plan.input_tokens)


@dataclass(frozen=True, slots=True)
class NoRouter:
    """For methods with a fixed plan."""

    async def route(self, question: cascade_ports.RouteQuestion, *, timeout_s: float) -> Plan:
        """Raises ``RouterUnavailable``."""
        del question, timeout_s
        raise RouterUnavailable("this method has a fixed plan")


@dataclass(frozen=True, slots=True)
class NoStore:
    """Keeps nothing."""

    async def save(self, decision: Decision) -> None:
        """Forgets the record."""

    async def get(self, decision_id: str) -> Decision:
        """Raises ``DecisionNotFound``."""
        raise DecisionNotFound(decision_id)

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        """Raises ``DecisionNotFound``."""
        del opinion
        raise DecisionNotFound(decision_id)


@dataclass(frozen=True, slots=True)
class StandingClock:
    """A clock that stands still: recordings take no time."""

    def monotonic_s(self) -> float:
        """Zero."""
        return 0.0

    def now(self) -> datetime:
        """Some moment."""
        return datetime(2000, 1, 1, tzinfo=UTC)


def candidate_of(facts: ModelFacts) -> router_models.CandidateModel:
    """A recorded model as the router sees a configured one."""
    return router_models.CandidateModel(
        name=facts.name,
        provider=facts.provider,
        input_nano_usd_per_mtok=facts.input_nano_usd_per_mtok,
        output_nano_usd_per_mtok=facts.output_nano_usd_per_mtok,
        context_tokens=facts.context_tokens,
        max_output_tokens=min(OUTPUT_TOKENS_MAX, facts.context_tokens // 2),
    )


def reading_of(question: Question, vector: Floats) -> Reading:
    """What the encoder makes of a question whose embedding ``(dimensions,)`` is known."""
    tokens = max(1, question.prompt_tokens)
    return Reading(vector=vector.astype(np.float32), input_tokens=tokens, queue_s=0.0, inference_s=0.0, batch_size=1)
