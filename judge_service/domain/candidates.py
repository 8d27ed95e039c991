"""What the panel is asked about: a conversation, answers to it, and the form an answer must have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Speaker(Enum):
    """Who wrote a turn of the conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Ending(Enum):
    """Why the model that wrote a candidate stopped."""

    UNKNOWN = "unknown"
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


class AnswerForm(Enum):
    """What the whole answer must parse as."""

    ANY = "any"
    JSON = "json"
    PYTHON = "python"
    CHOICE = "choice"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation."""

    speaker: Speaker
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobFigures:
    """Token log-probabilities of one answer, summarised.

    ``tokens`` is 1 or more; ``mean``, ``minimum`` and ``first`` are natural logarithms, at most 0; ``share_uncertain`` is the
    share of the tokens with a probability under 0.5, 0.0 to 1.0.
    """

    tokens: int
    mean: float
    minimum: float
    share_uncertain: float
    first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An answer to be judged, or to be compared with.

    ``predicted_quality`` is the probability, predicted before any answer was seen, that ``model`` answers this request rightly, 0.0 to 1.0.
    """

    id: str
    text: str
    model: str = ""
    ending: Ending = Ending.UNKNOWN
    logprobs: LogprobFigures | None = None
    predicted_quality: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The form an answer must have. ``json_schema`` is JSON text, empty for none, and used with ``AnswerForm.JSON`` only."""

    form: AnswerForm = AnswerForm.ANY
    json_schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One candidate with everything a judge may look at.

    ``others`` are all other answers to the same conversation: the peers and the other candidates.
    """

    conversation: tuple[Turn, ...]
    candidate: Candidate
    others: tuple[Candidate, ...] = ()
    contract: Contract = Contract()

    @property
    def question(self) -> str:
        """The last turn of the user, or the last turn when there is none of the user."""
        asked = [turn.content for turn in self.conversation if turn.speaker is Speaker.USER]
        if asked:
            return asked[-1]
        return self.conversation[-1].content if self.conversation else ""
