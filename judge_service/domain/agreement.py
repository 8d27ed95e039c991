"""Do other answers to the same question say the same?

Two cheap, unrelated models that agree are rarely both wrong in the same way; agreement is the strongest evidence that needs no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from judge_service.domain.candidates import Candidate, Case
from judge_service.domain.final_answer import FinalAnswer, final_answer, options_offered, same_answer
from judge_service.domain.support import OPEN_ALTERNATIVES, Vote, probability_of, support_of
from judge_service.domain.verdicts import Opinion

AGREES_FROM = 0.5
"""From this similarity on, an answer counts as saying the same."""


def opinion_of(case: Case) -> Opinion:
    """Probability that the candidate is right, 0.0 to 1.0, from who says the same and who differs; abstains when nobody else has answered.

    Every answer counts as its model's ``predicted_quality`` allows, further answers of one model for less (see ``support``). Answers
    without any content are left out. The order of the others does not matter. Never raises on any text.
    """
    question = case.question
    mine = final_answer(case.candidate.text, question)
    read = [(other, final_answer(other.text, question)) for other in case.others]
    others = [(other, answer) for other, answer in read if answer.form != "nothing"]
    if not others:
        return Opinion(score=None, explanation="no other answers to compare with")
    if mine.form == "nothing":
        return Opinion(score=0.0, explanation="the answer has no content to compare")
    matches = [same_answer(mine, answer) for _, answer in others]
    agreeing = [(other, match) for (other, _), match in zip(others, matches, strict=True) if match >= AGREES_FROM]
    differing = [one for one, match in zip(others, matches, strict=True) if match < AGREES_FROM]
    alternatives = options_offered(question) or OPEN_ALTERNATIVES
    own = support_of([_vote(case.candidate), *(_vote(other, match) for other, match in agreeing)], alternatives=alternatives)
    rivals = [support_of(group, alternatives=alternatives) for group in _groups(differing)]
    return Opinion(
        score=probability_of(own, rivals, alternatives=alternatives),
        explanation=f"{len(agreeing)} of {len(others)} other answers say the same",
        same_answer_as=tuple(other.id for other, _ in agreeing),
    )


def _groups(answers: Sequence[tuple[Candidate, FinalAnswer]]) -> list[list[Vote]]:
    """Votes for each of the answers that differ from the candidate's; the first of a group by its text stands for it."""
    leaders: list[FinalAnswer] = []
    groups: list[list[Vote]] = []
    for other, answer in sorted(answers, key=lambda one: (one[0].text, one[0].model, _quality(one[0]))):
        likeness = [same_answer(leader, answer) for leader in leaders]
        home = next((place for place, match in enumerate(likeness) if match >= AGREES_FROM), None)
        if home is None:
            leaders.append(answer)
            groups.append([_vote(other)])
        else:
            groups[home].append(_vote(other, likeness[home]))
    return groups


def _vote(answer: Candidate, share: float = 1.0) -> Vote:
    return Vote(answer.model, answer.predicted_quality, share)


def _quality(answer: Candidate) -> float:
    return -1.0 if answer.predicted_quality is None else answer.predicted_quality
