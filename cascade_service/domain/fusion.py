"""Which of several answers is given: the best of the group of answers that has the best support.

Answers that say the same form a group. Its support is the greatest calibrated confidence of its members, then their number, then the
strength of their models. Adding confidences up would count the same evidence twice: each already rests on the answers beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cascade_service.domain.attempt import Attempt


def groups_of(attempts: Iterable[Attempt]) -> dict[int, int]:
    """Group of each whole answer with a verdict, by number of the attempt. Groups count from 0, in the order of their first members.

    Two answers are in one group when a judge said that they are the same, in either verdict, or both are the same as a third.
    """
    judged = [attempt for attempt in attempts if attempt.has_answer and attempt.verdict is not None]
    first = {attempt.answer_id: attempt.number for attempt in judged}
    for attempt in judged:
        for other in attempt.same_answer_as:
            if other in first:
                old, new = sorted((first[attempt.answer_id], first[other]), reverse=True)
                first.update({answer: new for answer, number in first.items() if number == old})
    places = {number: place for place, number in enumerate(sorted(set(first.values())))}
    return {attempt.number: places[first[attempt.answer_id]] for attempt in judged}


def to_choose_from(attempts: Iterable[Attempt], *, committed: str = "") -> list[Attempt]:
    """The answers that may be given: those without defects, or all when each has some.

    Where text is already final (``committed``), only answers that begin with it.
    """
    answers = [attempt for attempt in attempts if attempt.has_answer and attempt.text.startswith(committed)]
    return [attempt for attempt in answers if not attempt.defects] or answers


def best_supported(attempts: Sequence[Attempt], *, committed: str = "") -> Attempt | None:
    """The answer to give; without any verdict the strongest model's.

    Of the members of a group the one of greatest confidence is given, the stronger model's on a tie.
    """
    choice = to_choose_from(attempts, committed=committed)
    judged = [attempt for attempt in choice if attempt.verdict is not None]
    if not judged:
        return max(choice, key=_strength, default=None)
    groups = groups_of(judged)
    votes = {group: sum(number == group for number in groups.values()) for group in groups.values()}
    return max(judged, key=lambda attempt: (attempt.confidence or 0.0, votes[groups[attempt.number]], *_strength(attempt)))


def supporters(chosen: Attempt, attempts: Sequence[Attempt]) -> tuple[int, ...]:
    """Numbers of the other attempts whose answers say the same as that of ``chosen``."""
    groups = groups_of(attempts)
    mine = groups.get(chosen.number)
    return tuple(number for number, group in groups.items() if mine is not None and group == mine and number != chosen.number)


def _strength(attempt: Attempt) -> tuple[float, int]:
    return attempt.predicted_quality or 0.0, attempt.tier
