"""Do other answers to the same question say the same?

Two cheap, unrelated models that agree are rarely both wrong in the same way; agreement is the strongest evidence that needs no model.
"""

from __future__ import annotations

from judge_service.domain.candidates import Case
from judge_service.domain.final_answer import final_answer, same_answer
from judge_service.domain.verdicts import Opinion

AGREES_FROM = 0.5
"""From this similarity on, the explanation counts an answer as saying the same."""


def opinion_of(case: Case) -> Opinion:
    """Share of the other answers that agree with the candidate, 0.0 to 1.0; abstains when there is nothing to compare with.

    Answers without any content are left out. Never raises on any text.
    """
    question = case.question
    mine = final_answer(case.candidate.text, question)
    read = [(other.id, final_answer(other.text, question)) for other in case.others]
    others = [(other_id, answer) for other_id, answer in read if answer.form != "nothing"]
    if not others:
        return Opinion(score=None, explanation="no other answers to compare with")
    if mine.form == "nothing":
        return Opinion(score=0.0, explanation="the answer has no content to compare")
    matches = [same_answer(mine, other) for _, other in others]
    agreeing = tuple(other_id for (other_id, _), match in zip(others, matches, strict=True) if match >= AGREES_FROM)
    return Opinion(
        score=sum(matches) / len(matches),
        explanation=f"{len(agreeing)} of {len(others)} other answers say the same",
        same_answer_as=agreeing,
    )
