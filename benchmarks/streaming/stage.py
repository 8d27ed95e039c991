"""The real cascade over recorded answers, with doubles only where a recording has nothing to say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cascade_service.adapters.provider_model import ProviderModel
from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.ceilings import Ceilings, TimeLimits
from cascade_service.domain.chat import GenerationParams, Message, OutputContract, Role
from cascade_service.domain.decision import Decision, Feedback
from cascade_service.domain.errors import DecisionNotFound, JudgeUnavailable, RouterUnavailable
from cascade_service.domain.events import DeliveryMode
from cascade_service.domain.plan import Constraints, Plan
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.ports import JointQuestion, JudgeQuestion, RouteQuestion
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.pricing import Price
from cascade_service.domain.recording import Recorder
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts, CascadeRules
from cascade_service.domain.verdict import Defect, Verdict
from judge_service.adapters.calibration_file import load_calibration
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import checks
from judge_service.domain.aggregation import Score, confidence
from judge_service.domain.candidates import Candidate, Case
from providers.port import ModelCard
from providers.port import Price as ProviderPrice
from providers.recorded import RecordedModel
from providers.recording import Recording

_LONG_S = 1e6
_OUTPUT_TOKENS_MAX = 65_536
CHECKS = "checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A way to deliver. ``prefix_threshold`` is 0.0 to 1.0."""

    name: str
    delivery: DeliveryMode
    hold_tokens: int = 48
    checkpoint_tokens: int = 64
    prefix_threshold: float = 1.0


@dataclass(frozen=True, slots=True)
class Item:
    """A question, and which models were recorded to answer it rightly."""

    prompt: str
    right: Mapping[str, bool]


class _NoRouter:
    async def route(self, question: RouteQuestion, *, timeout_s: float) -> Plan:
        del question, timeout_s
        raise RouterUnavailable("plans are fixed")


class _NoStore:
    async def save(self, decision: Decision) -> None:
        pass

    async def get(self, decision_id: str) -> Decision:
        raise DecisionNotFound(decision_id)

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        del opinion
        raise DecisionNotFound(decision_id)


class _LoopClock:
    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return datetime.now(UTC)


class PerfectPanel:
    """Knows of whole answers whether they are right; beginnings are judged by the real checks with the real calibration.

    So what the modes differ in is delivery, not the quality of a panel.
    """

    def __init__(self, calibration: Path, items: Mapping[str, Item], *, panel_s: float) -> None:
        self._calibration = load_calibration(calibration)
        self._items = items
        self._panel_s = panel_s
        self._schemas = JsonSchemaValidator()

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        """The verdict, after ``panel_s`` seconds for a whole answer."""
        del timeout_s
        if not question.judges:
            await asyncio.sleep(self._panel_s)
            right = self._items[question.messages[-1].content].right[question.candidate.model]
            return Verdict(confidence=1.0 if right else 0.0)
        return self._of_beginning(question)

    async def judge_all(self, question: JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        """Raises ``JudgeUnavailable``: no policy here has answers judged together."""
        del question, timeout_s
        raise JudgeUnavailable("this panel judges one answer at a time")

    def _of_beginning(self, question: JudgeQuestion) -> Verdict:
        opinion = checks.opinion_of(Case(conversation=(), candidate=Candidate(id="it", text=question.candidate.text)), self._schemas)
        sure = confidence(self._calibration, [Score(CHECKS, opinion.score or 0.0)], opinion.defects)
        return Verdict(confidence=sure, defects=tuple(Defect[defect.name] for defect in opinion.defects))


def recorded_models(recording: Recording, names: Sequence[str], *, tokens_per_second: float) -> dict[str, ProviderModel]:
    """The models of the ladder at the given pace; none can continue text of another."""
    return {name: ProviderModel(RecordedModel(_card(name), recording, tokens_per_second=tokens_per_second)) for name in names}


def _card(name: str) -> ModelCard:
    return ModelCard(
        name=name,
        provider="recorded",
        upstream_model=name,
        price=ProviderPrice(),
        context_tokens=_OUTPUT_TOKENS_MAX,
        max_output_tokens=_OUTPUT_TOKENS_MAX,
    )


def cascade_of(models: Mapping[str, ProviderModel], panel: PerfectPanel) -> Cascade:
    """The cascade as served, less router, store and network."""
    catalogue = {
        name: ConfiguredModel(
            name=name, provider="recorded", price=Price(), context_tokens=_OUTPUT_TOKENS_MAX, max_output_tokens=_OUTPUT_TOKENS_MAX
        )
        for name in models
    }
    parts = CascadeParts(
        router=_NoRouter(),
        judge=panel,
        models=models,
        catalogue=catalogue,
        clock=_LoopClock(),
        rules=CascadeRules(
            times=TimeLimits(attempt_s=_LONG_S, attempt_min_s=0.0, margin_s=0.0),
            router_timeout_s=1.0,
            judge_timeout_s=_LONG_S,
            cheap_judges=(CHECKS,),
        ),
    )
    return Cascade(parts, Recorder(_NoStore(), timeout_s=_LONG_S, record_text=False))


def request_of(item: Item, setting: Setting, ladder: Sequence[str], *, now_s: float) -> CascadeRequest:
    """The request that asks ``item`` of the ladder."""
    return CascadeRequest(
        decision_id="it",
        messages=(Message(Role.USER, item.prompt),),
        params=GenerationParams(),
        output=OutputContract(),
        constraints=Constraints(),
        ceilings=Ceilings(cost_max_nano_usd=1, attempts_max=len(ladder), output_tokens_max=_OUTPUT_TOKENS_MAX * len(ladder)),
        policy=ThresholdPolicy(name="bench", threshold=0.5, prefix_threshold=setting.prefix_threshold),
        delivery=setting.delivery,
        fixed_plan=tuple(ladder),
        deadline_at_s=now_s + _LONG_S,
        prefix=PrefixRules(hold_tokens=setting.hold_tokens, checkpoint_tokens=setting.checkpoint_tokens),
    )
