"""Doubles of the cascade's ports, a reader of its event stream, and the checks of its grammar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.cascade import Cascade
from cascade_service.domain.ceilings import Ceilings, TimeLimits
from cascade_service.domain.chat import FinishReason, GenerationParams, LogprobSummary, Message, OutputContract, Role, Usage
from cascade_service.domain.decision import Decision, Feedback
from cascade_service.domain.decomposition.options import DecompositionOptions
from cascade_service.domain.errors import DecisionNotFound, JudgeUnavailable, ModelFailed, StoreUnavailable
from cascade_service.domain.events import (
    AttemptStarted,
    CascadeEvent,
    Committed,
    Completed,
    Completion,
    Decomposed,
    DeliveryMode,
    Delta,
    Escalated,
    Judged,
    Retracted,
    Routed,
)
from cascade_service.domain.gain import GainModel
from cascade_service.domain.model import AnswerEnd, ModelCall, ModelCard, ModelEvent, TextChunk
from cascade_service.domain.plan import Constraints, Plan, PlannedModel, RouteKind
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.policy import Policy
from cascade_service.domain.ports import JointQuestion, JudgeQuestion, RouteQuestion
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.pricing import Price
from cascade_service.domain.recording import Recorder
from cascade_service.domain.request import CascadeRequest
from cascade_service.domain.rules import CascadeParts, CascadeRules
from cascade_service.domain.verdict import Defect, JudgeOutcome, JudgeStatus, Verdict

NOW = datetime(2026, 11, 22, 8, 30, 0, 123456, tzinfo=UTC)
DEADLINE_S = 100.0
EVERY_TOKEN = PrefixRules(hold_tokens=1, checkpoint_tokens=1)
QUESTION = (Message(Role.USER, "What is 6 times 7?"),)


@dataclass
class ManualClock:
    """A clock that stands still until it is told."""

    at_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.at_s

    def now(self) -> datetime:
        return NOW


@dataclass
class ScriptedRouter:
    """Answers with a plan or fails."""

    outcome: Plan | Exception
    questions: list[tuple[RouteQuestion, float]] = field(default_factory=list[tuple[RouteQuestion, float]])

    async def route(self, question: RouteQuestion, *, timeout_s: float) -> Plan:
        self.questions.append((question, timeout_s))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@dataclass
class ScriptedJudge:
    """Gives the verdict on each model's answer that the script has for it; no entry is no verdict.

    ``on_beginnings`` has those on beginnings of answers; without it they are as those on whole answers.
    """

    verdicts: dict[str, Verdict | Exception] = field(default_factory=dict[str, Verdict | Exception])
    on_beginnings: dict[str, Verdict | Exception] | None = None
    questions: list[tuple[JudgeQuestion, float]] = field(default_factory=list[tuple[JudgeQuestion, float]])
    same: tuple[tuple[str, ...], ...] = ()
    joint_questions: list[tuple[JointQuestion, float]] = field(default_factory=list[tuple[JointQuestion, float]])

    async def judge_all(self, question: JointQuestion, *, timeout_s: float) -> tuple[Verdict | None, ...]:
        """The verdict on each model's answer; ``same`` has the models that say the same. All or none: without any it is down."""
        self.joint_questions.append((question, timeout_s))
        found = [self.verdicts.get(answer.model) for answer in question.candidates]
        if all(not isinstance(verdict, Verdict) for verdict in found):
            raise JudgeUnavailable("the judge is down")
        ids = {answer.model: answer.id for answer in question.candidates}
        return tuple(
            _agreeing(verdict, tuple(ids[other] for other in self._like(answer.model) if other in ids))
            if isinstance(verdict, Verdict)
            else None
            for answer, verdict in zip(question.candidates, found, strict=True)
        )

    def _like(self, model: str) -> list[str]:
        return [other for group in self.same for other in group if model in group and other != model]

    async def judge(self, question: JudgeQuestion, *, timeout_s: float) -> Verdict:
        self.questions.append((question, timeout_s))
        beginning = bool(question.judges) and self.on_beginnings is not None
        verdict = (self.on_beginnings or {} if beginning else self.verdicts).get(
            question.candidate.model, JudgeUnavailable("the judge is down")
        )
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


def _agreeing(verdict: Verdict, others: tuple[str, ...]) -> Verdict:
    """The verdict with what the judge `agreement` found."""
    if not others:
        return verdict
    return replace(verdict, outcomes=(JudgeOutcome(judge="agreement", status=JudgeStatus.SCORED, score=1.0, same_answer_as=others),))


@dataclass(frozen=True)
class Hang:
    """A step at which the model stops until it is cancelled."""


@dataclass(frozen=True)
class Pass:
    """A step at which time passes."""

    seconds: float


@dataclass(frozen=True)
class Rest:
    """A step at which everything else in the event loop gets its turn so many times."""

    turns: int


@dataclass(frozen=True)
class Await:
    """A step at which the model waits until the test goes on."""

    event: asyncio.Event


Step = ModelEvent | ModelFailed | Hang | Pass | Rest | Await


@dataclass
class ScriptedLlm:
    """A model that plays its steps whenever it is asked. ``left`` is set when a call ended before its script did."""

    name: str
    steps: Sequence[Step]
    clock: ManualClock = field(default_factory=ManualClock)
    max_output_tokens: int = 1_000
    price: Price = field(default_factory=Price)
    prefill: bool = False
    calls: list[ModelCall] = field(default_factory=list[ModelCall])
    left: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def card(self) -> ModelCard:
        return ModelCard(name=self.name, max_output_tokens=self.max_output_tokens, price=self.price, prefill=self.prefill)

    async def stream(self, call: ModelCall) -> AsyncGenerator[ModelEvent, None]:
        self.calls.append(call)
        done = False
        try:
            for step in self.steps:
                match step:
                    case Hang():
                        self.hanging.set()
                        await asyncio.Event().wait()
                    case Pass(seconds):
                        self.clock.at_s += seconds
                    case Rest() | Await():
                        await _wait(step)
                    case ModelFailed():
                        done = True
                        raise step
                    case AnswerEnd():
                        done = True
                        yield step
                    case TextChunk():
                        yield step
            done = True
        finally:
            if not done:
                self.left.set()


async def _wait(step: Rest | Await) -> None:
    if isinstance(step, Await):
        await step.event.wait()
        return
    for _ in range(step.turns):
        await asyncio.sleep(0)


def answer(*pieces: str, finish: FinishReason = FinishReason.STOP, cost: int = 0, tokens: int = 5) -> list[Step]:
    """The steps of a whole answer."""
    usage = Usage(input_tokens=10, output_tokens=tokens)
    logprobs = LogprobSummary(tokens=max(1, len(pieces)), mean=-0.1, min=-0.5, share_uncertain=0.0, first=-0.2)
    end = AnswerEnd(finish_reason=finish, usage=usage, cost_nano_usd=cost, logprobs=logprobs)
    return [*(TextChunk(piece) for piece in pieces), end]


def verdict(confidence: float, *, disagreement: float = 0.0, defects: tuple[Defect, ...] = (), cost: int = 0) -> Verdict:
    return Verdict(
        confidence=confidence, disagreement=disagreement, defects=defects, cost_nano_usd=cost, calibration="cal-1", evidence="checks"
    )


def plan_of(*names: str) -> Plan:
    models = tuple(PlannedModel(model=name, predicted_quality=0.5, reason="planned") for name in names)
    return Plan(models=models, kind=RouteKind.TAXONOMY, reasons=("because",), input_tokens=9, policy_hash="abcdef012345")


@dataclass
class MemoryStore:
    """Keeps records in memory; fails or hangs when told."""

    failure: Exception | None = None
    hang: bool = False
    saved: list[Decision] = field(default_factory=list[Decision])
    feedback: list[tuple[str, Feedback]] = field(default_factory=list[tuple[str, Feedback]])

    async def save(self, decision: Decision) -> None:
        if self.hang:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        self.saved.append(decision)

    async def get(self, decision_id: str) -> Decision:
        for decision in reversed(self.saved):
            if decision.decision_id == decision_id:
                return decision
        raise DecisionNotFound(decision_id)

    async def add_feedback(self, decision_id: str, opinion: Feedback) -> None:
        await self.get(decision_id)
        self.feedback.append((decision_id, opinion))


STORE_DOWN = StoreUnavailable("the decision store can't be reached")


@dataclass
class Stage:
    """A cascade with all its doubles. ``models`` are planned in their order."""

    models: Sequence[ScriptedLlm]
    judge: ScriptedJudge = field(default_factory=ScriptedJudge)
    router: ScriptedRouter | None = None
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: ManualClock = field(default_factory=ManualClock)
    static_plan: tuple[str, ...] = ()
    refuse_unjudged: bool = False
    record_text: bool = False
    answer_chars_max: int = 200_000
    attempt_s: float = 60.0
    store_timeout_s: float = 5.0
    cheap_judges: tuple[str, ...] = ("checks",)
    gain_model: GainModel | None = None
    decomposition: DecompositionOptions = field(default_factory=DecompositionOptions)

    def cascade(self) -> Cascade:
        rules = CascadeRules(
            times=TimeLimits(attempt_s=self.attempt_s, attempt_min_s=0.5, margin_s=0.1),
            router_timeout_s=5.0,
            judge_timeout_s=30.0,
            static_plan=self.static_plan,
            refuse_unjudged=self.refuse_unjudged,
            answer_chars_max=self.answer_chars_max,
            cheap_judges=self.cheap_judges,
        )
        for model in self.models:
            model.clock = self.clock
        parts = CascadeParts(
            router=self.router or ScriptedRouter(plan_of(*(model.name for model in self.models))),
            judge=self.judge,
            models={model.name: model for model in self.models},
            catalogue={model.name: configured(model.name, model.price) for model in self.models},
            clock=self.clock,
            rules=rules,
            gain_model=self.gain_model,
            decomposition=self.decomposition,
        )
        return Cascade(parts, Recorder(self.store, timeout_s=self.store_timeout_s, record_text=self.record_text))

    async def run(self, request: CascadeRequest | None = None) -> list[CascadeEvent]:
        return await collect(self.cascade().answer(request or ask()))


def configured(
    name: str, price: Price | None = None, *, disabled_reason: str = "", capabilities: frozenset[str] = frozenset()
) -> ConfiguredModel:
    return ConfiguredModel(
        name=name,
        provider="openai_compatible",
        price=price or Price(),
        context_tokens=4096,
        max_output_tokens=1_000,
        capabilities=capabilities,
        disabled_reason=disabled_reason,
    )


def ask(
    *,
    delivery: DeliveryMode = DeliveryMode.BUFFERED,
    threshold: float = 0.7,
    disagreement_max: float = 1.0,
    cost_max: int = 10**9,
    attempts_max: int = 4,
    output_tokens_max: int = 10_000,
    max_output_tokens: int | None = None,
    fixed_plan: tuple[str, ...] = (),
    constraints: Constraints | None = None,
    deadline_at_s: float = DEADLINE_S,
    messages: tuple[Message, ...] = QUESTION,
    prefix: PrefixRules = EVERY_TOKEN,
    prefix_threshold: float | None = None,
    prefix_hopeless_below: float = 0.0,
    output: OutputContract | None = None,
    policy: Policy | None = None,
    parts_max: int | None = None,
) -> CascadeRequest:
    return CascadeRequest(
        decision_id="decision-1",
        messages=messages,
        params=GenerationParams(max_output_tokens=max_output_tokens),
        output=output or OutputContract(),
        constraints=constraints or Constraints(),
        ceilings=Ceilings(cost_max_nano_usd=cost_max, attempts_max=attempts_max, output_tokens_max=output_tokens_max),
        policy=policy
        or ThresholdPolicy(
            name="balanced",
            threshold=threshold,
            disagreement_max=disagreement_max,
            prefix_threshold=prefix_threshold,
            prefix_hopeless_below=prefix_hopeless_below,
        ),
        prefix=prefix,
        delivery=delivery,
        fixed_plan=fixed_plan,
        deadline_at_s=deadline_at_s,
        trace_id="0" * 31 + "1",
        parts_max=parts_max,
    )


async def collect(events: AsyncGenerator[CascadeEvent, None]) -> list[CascadeEvent]:
    async with aclosing(events):
        return [event async for event in events]


async def collect_until_error(
    events: AsyncGenerator[CascadeEvent, None], *, tell: Callable[[CascadeEvent], None] = lambda _: None
) -> tuple[list[CascadeEvent], Exception | None]:
    """The events, and the error that ended them; ``tell`` is told each event as it comes."""
    seen: list[CascadeEvent] = []
    async with aclosing(events):
        try:
            async for event in events:
                seen.append(event)
                tell(event)
        except Exception as error:  # noqa: BLE001 - handed to the test
            return seen, error
    return seen, None


def kinds(events: Sequence[CascadeEvent]) -> list[str]:
    """Names of the events, runs of deltas as one."""
    names = [type(event).__name__ for event in events]
    return [name for index, name in enumerate(names) if name != "Delta" or names[index - 1] != "Delta"]


def completion_of(events: Sequence[CascadeEvent]) -> Completion:
    last = events[-1]
    assert isinstance(last, Completed), f"the stream ended with {last}"
    return last.completion


_LETTERS = {
    Decomposed: "D",
    Routed: "R",
    AttemptStarted: "A",
    Delta: "d",
    Judged: "J",
    Committed: "C",
    Retracted: "X",
    Escalated: "E",
    Completed: "!",
}


def letters(events: Sequence[CascadeEvent]) -> str:
    """One letter per event, for matching against the grammar."""
    return "".join(_LETTERS[type(event)] for event in events)


GRAMMAR = r"R(?:Ad*J*(?:C|X?E?))*(?:d+)?C?!"
"""event.proto's grammar in those letters."""
PREFIX_GRAMMAR = r"R(?:A(?:d[dC]*)?J*(?:C|X?E?))*(?:d+)?C?!"
"""The same with DELIVERY_MODE_PREFIX_COMMIT."""


@dataclass
class Reader:
    """A caller that follows the rules of event.proto to the letter and complains when the stream breaks them."""

    provisional: dict[int, tuple[int, str]] = field(default_factory=dict[int, tuple[int, str]])
    committed: str = ""
    last_sequence: int = 0

    def read(self, event: CascadeEvent) -> None:
        match event:
            case Delta(attempt=attempt, sequence=sequence, text=text):
                assert text
                assert sequence == self.last_sequence + 1
                self.last_sequence = sequence
                self.provisional[sequence] = (attempt, text)
            case Retracted(attempt=attempt, from_sequence=first):
                withdrawn = [sequence for sequence, (owner, _) in self.provisional.items() if owner == attempt and sequence >= first]
                assert withdrawn, "nothing to retract"
                assert min(withdrawn) == first, "retracts from a delta that is not the attempt's first"
                for sequence in withdrawn:
                    del self.provisional[sequence]
            case Committed(attempt=attempt, through_sequence=through):
                final = sorted(s for s, (owner, _) in self.provisional.items() if owner == attempt and s <= through)
                assert final, "nothing to commit"
                self.committed += "".join(self.provisional.pop(sequence)[1] for sequence in final)
            case Completed(completion=completion):
                assert completion.text == self.committed
                assert not self.provisional, "text was left neither final nor withdrawn"
            case _:
                pass
