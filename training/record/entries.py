"""What a journal holds: one JSON object per line, its sort under `entry`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from judge_service.domain.candidates import LogprobFigures
from training.record.questions import AskedQuestion


@dataclass(frozen=True, slots=True, order=True)
class AnswerKey:
    """Which answer: of which model to which question, and for samples beyond the first which one (0, 1, …)."""

    question_id: str
    model: str
    sample: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How answers are asked for; one recording has one of these.

    ``temperature`` is that of the first answer, ``sample_temperature`` that of further samples. Tokens and temperatures as in
    ``providers.port.ChatRequest``; ``arena`` is the name under which benchmarks find the questions.
    """

    arena: str
    max_output_tokens: int
    temperature: float
    sample_temperature: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedModel:
    """A model as it was configured: prices in USD per million tokens, window in tokens.

    ``competes`` is false for a strong model that served as reference only.
    """

    name: str
    provider: str
    upstream_model: str
    input_usd_per_m: float
    output_usd_per_m: float
    context_tokens: int
    competes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """An answer that was paid for. ``estimated`` says that the provider did not count the tokens."""

    key: AnswerKey
    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    estimated: bool
    cost_nano_usd: int
    logprobs: LogprobFigures | None = None

    @property
    def truncated(self) -> bool:
        """True when the token limit ended it."""
        return self.finish_reason == "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCall:
    """A call without an answer: what sort of failure, and what it is taken to have cost."""

    key: AnswerKey
    error: str
    message: str
    cost_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenLabel:
    """How good a verifier found an answer, 0.0 to 1.0; ``by`` names verifier and command."""

    key: AnswerKey
    by: str
    score: float


Entry = Terms | AskedModel | AskedQuestion | GivenAnswer | FailedCall | GivenLabel

_NAMES: Final[dict[type[Any], str]] = {
    Terms: "terms",
    AskedModel: "model",
    AskedQuestion: "question",
    GivenAnswer: "answer",
    FailedCall: "failure",
    GivenLabel: "label",
}
_TYPES: Final = {name: kind for kind, name in _NAMES.items()}


def to_line(entry: Entry) -> str:
    """``entry`` as one line of JSON without its end."""
    return json.dumps({"entry": _NAMES[type(entry)], **asdict(entry)}, ensure_ascii=False)


def from_line(line: str) -> Entry:
    """The entry of a line. Raises ``ValueError`` when it is none."""
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = _TYPES[fields.pop("entry")]
        if "key" in fields:
            fields["key"] = AnswerKey(**fields["key"])
        figures = fields.pop("logprobs", None)
        if kind is AskedQuestion:
            fields["references"] = tuple(fields["references"])
        entry: Entry = kind(**fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no entry of a journal: {error}") from error
    return replace(entry, logprobs=LogprobFigures(**figures)) if isinstance(entry, GivenAnswer) and figures else entry
