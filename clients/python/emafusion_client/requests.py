"""What can be asked of the services. Bounds and defaults are those of the contracts; the services check them."""

from __future__ import annotations

from dataclasses import dataclass

from emafusion_client.vocabulary import FinishReason, OutputKind, Role


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How an answer is generated; None leaves a value to the service."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputForm:
    """The form an answer must have; ``json_schema`` only with ``OutputKind.JSON``."""

    kind: OutputKind = OutputKind.UNSPECIFIED
    json_schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a plan must respect; empty and None mean no limit. ``answer_worth_nano_usd`` is for the router alone."""

    attempt_cost_max_nano_usd: int | None = None
    allow_models: tuple[str, ...] = ()
    deny_models: tuple[str, ...] = ()
    required_capabilities: tuple[str, ...] = ()
    models_max: int | None = None
    suitability_min: float | None = None
    answer_worth_nano_usd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """Hard limits of one request; None takes the configured one."""

    cost_max_nano_usd: int | None = None
    attempts_max: int | None = None
    output_tokens_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixCommit:
    """When the beginning of an answer is judged, with ``Delivery.PREFIX_COMMIT``; None takes the configured number of tokens."""

    hold_tokens: int | None = None
    checkpoint_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decompose:
    """Asks for a compound request to be split; None takes the configured number of parts."""

    parts_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request to answer: the conversation, and how to go about it.

    ``answer_worth_nano_usd`` is the dial between cost and accuracy of a policy of kind ``value``: what a right answer is worth.
    """

    messages: tuple[Message, ...]
    generation: Generation | None = None
    output: OutputForm | None = None
    constraints: Constraints | None = None
    ceilings: Ceilings | None = None
    policy: str = ""
    accept_threshold: float | None = None
    fixed_plan: tuple[str, ...] = ()
    answer_worth_nano_usd: int | None = None
    decompose: Decompose | None = None

    @staticmethod
    def of(text: str) -> Question:
        """The question that consists of ``text`` alone."""
        return Question(messages=(Message(Role.USER, text),))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobSummary:
    """Token log-probabilities of one answer, summarised: natural logarithms, at most 0."""

    tokens: int
    mean: float
    min: float
    share_uncertain: float
    first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An answer to judge or to compare with; ``id`` is unique in the request, ``predicted_quality`` is the router's, 0.0 to 1.0."""

    id: str
    text: str
    model: str = ""
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    logprobs: LogprobSummary | None = None
    predicted_quality: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeQuestion:
    """Candidates to judge; ``peers`` are compared with but not judged, empty ``judges`` asks the whole panel."""

    messages: tuple[Message, ...]
    candidates: tuple[Candidate, ...]
    peers: tuple[Candidate, ...] = ()
    output: OutputForm | None = None
    judges: tuple[str, ...] = ()
    accept_threshold: float | None = None
    cost_max_nano_usd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackNote:
    """How good an answer was; at least one of ``correct`` and ``rating`` (0.0 to 1.0) is set."""

    correct: bool | None = None
    rating: float | None = None
    source: str = ""
