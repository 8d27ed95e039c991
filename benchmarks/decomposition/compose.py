"""Compound requests composed from recorded questions, drawn by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.decision_quality.pools import Pool
from benchmarks.decision_quality.recordings import Answer, Question

Form = Callable[[Sequence[str]], str]


def _numbered(texts: Sequence[str]) -> str:
    return "Please answer the following questions:\n\n" + "\n\n".join(f"{n}. {text}" for n, text in enumerate(texts, start=1))


def _named(texts: Sequence[str]) -> str:
    return "\n\n".join(f"Question {n}: {text}" for n, text in enumerate(texts, start=1))


def _lettered(texts: Sequence[str]) -> str:
    return "I have several questions.\n\n" + "\n\n".join(f"{letter}) {text}" for letter, text in zip("abcdefgh", texts, strict=False))


def _plain(texts: Sequence[str]) -> str:
    return "\n\n".join(texts)


FORMS: Mapping[str, Form] = {"numbered": _numbered, "Question n:": _named, "lettered": _lettered, "paragraphs": _plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compound:
    """A composed request. ``members`` are indices of its questions in the pool, each of another task."""

    id: str
    form: str
    members: tuple[int, ...]
    questions: tuple[Question, ...]
    answers: tuple[tuple[Answer, ...], ...]

    @property
    def sent(self) -> str:
        """The request, of what the recorded models were sent for each question."""
        return FORMS[self.form]([question.prompt for question in self.questions])

    @property
    def asked(self) -> str:
        """The request, of the bare questions."""
        return FORMS[self.form]([question.text for question in self.questions])


def compose(pool: Pool, *, count: int, forms: Sequence[str]) -> list[Compound]:
    """At most ``count`` requests of two or three questions of different tasks; no question is used twice."""
    waiting = sorted(range(len(pool.questions)), key=lambda index: _digest(pool.questions[index].id))
    composed: list[Compound] = []
    while waiting and len(composed) < count:
        draw = _digest(f"{pool.name} {len(composed)}")
        members = _draw(pool, waiting, size=2 + draw % 2)
        if len(members) < 2:  # noqa: PLR2004 - one question is not compound
            break
        waiting = [index for index in waiting if index not in members]
        composed.append(
            Compound(
                id=f"compound-{len(composed)}",
                form=forms[draw // 2 % len(forms)],
                members=tuple(members),
                questions=tuple(pool.questions[index] for index in members),
                answers=tuple(pool.answers[index] for index in members),
            )
        )
    return composed


def _draw(pool: Pool, waiting: Sequence[int], *, size: int) -> list[int]:
    members: list[int] = []
    for index in waiting:
        if pool.questions[index].task not in {pool.questions[member].task for member in members}:
            members.append(index)
        if len(members) == size:
            break
    return members


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
