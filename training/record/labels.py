"""Is a recorded answer right? By references, by a verifier command, or by what a strong model answered.

Answers are compared as the agreement judge compares them. What is marked as the answer (boxed, tagged, a JSON field) is compared exactly;
free text is right when it holds the reference's words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from judge_service.domain.agreement import AGREES_FROM
from judge_service.domain.final_answer import FinalAnswer, final_answer, same_answer
from judge_service.domain.marked_answer import marked_answer
from training.record.entries import AnswerKey, GivenAnswer
from training.record.questions import AskedQuestion

RIGHT_FROM: Final = 0.5
"""From this score on an answer counts as right."""
_FREE: Final = frozenset({"text", "prose"})
_WORD: Final = re.compile(r"[^\W_]+")
_NEEDS_AN_END: Final = frozenset({"number", "percent", "literal"})
"""An answer of these forms that was cut off has not come to its final value, whatever it mentions on the way."""


@dataclass(frozen=True, slots=True)
class Label:
    """How good an answer is, 0.0 to 1.0, and who says so."""

    score: float
    source: str

    @property
    def right(self) -> bool:
        """True for an answer that counts as right."""
        return self.score >= RIGHT_FROM


class LabelSource(Protocol):
    """Something that can say whether answers are right."""

    def label(self, question: AskedQuestion, answer: GivenAnswer) -> Label | None:
        """The label, or None when this source can't say."""
        ...


class ByReference:
    """The references of the question's file."""

    source = "references"

    def label(self, question: AskedQuestion, answer: GivenAnswer) -> Label | None:
        """None for a question without a reference."""
        if not question.references:
            return None
        return Label(max(agreement(question, answer, reference_answer(text)) for text in question.references), self.source)


class ByStrongModel:
    """A strong model's first answer, taken for right; its own answers therefore always are."""

    def __init__(self, strong: str, answers: Mapping[AnswerKey, GivenAnswer]) -> None:
        self.source = f"strong: {strong}"
        self._strong = strong
        self._answers = answers

    def label(self, question: AskedQuestion, answer: GivenAnswer) -> Label | None:
        """None where the strong model has no whole answer."""
        reference = self.reference(question)
        return None if reference is None else Label(agreement(question, answer, reference), self.source)

    def reference(self, question: AskedQuestion) -> FinalAnswer | None:
        """What the strong model says, if it says anything to the end."""
        given = self._answers.get(AnswerKey(question.id, self._strong))
        if given is None or given.truncated:
            return None
        said = final_answer(given.text, question.prompt)
        return None if said.form == "nothing" else said


class ByJournal:
    """What a verifier has said so far, as the journal holds it."""

    def __init__(self, by: str, labels: Mapping[tuple[AnswerKey, str], float]) -> None:
        self.source = by
        self._labels = labels

    def label(self, question: AskedQuestion, answer: GivenAnswer) -> Label | None:
        """None for an answer that was not verified."""
        del question
        score = self._labels.get((answer.key, self.source))
        return None if score is None else Label(score, self.source)


def label_of(question: AskedQuestion, answer: GivenAnswer, sources: Sequence[LabelSource]) -> Label | None:
    """The label of the first source that has one."""
    found = (source.label(question, answer) for source in sources)
    return next((label for label in found if label is not None), None)


def reference_answer(reference: str) -> FinalAnswer:
    """A reference as the answer that it is: nothing may be dropped from it."""
    marked = final_answer(f"<answer>{reference}</answer>")
    return marked if marked.form != "nothing" else final_answer(reference)


def agreement(question: AskedQuestion, answer: GivenAnswer, reference: FinalAnswer) -> float:
    """1.0 when the answer says what the reference says, else 0.0."""
    if answer.truncated and reference.form in _NEEDS_AN_END and marked_answer(answer.text) is None:
        return 0.0
    given = final_answer(answer.text, question.prompt)
    if same_answer(given, reference) < AGREES_FROM:
        return 0.0
    loose = given.form in _FREE and isinstance(reference.value, str)
    return float(not loose or _says(answer.text, str(reference.value)))


def _says(text: str, reference: str) -> bool:
    """True when the reference's words stand together in ``text``, in their order: the judge's measure for free text knows no order."""
    said, wanted = _WORD.findall(text.casefold()), _WORD.findall(reference.casefold())
    return any(said[start : start + len(wanted)] == wanted for start in range(len(said) - len(wanted) + 1))
