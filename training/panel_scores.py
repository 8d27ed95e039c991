"""Scores of the judges that ask no model, computed from recorded texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import agreement, checks
from judge_service.domain.candidates import Candidate, Case, Ending, Speaker, Turn
from training.panel_grading import is_right
from training.panel_questions import panel_questions
from training.panel_rows import LADDER, AnswerRow, cheaper_answers


def scored_rows(rows: Sequence[AnswerRow], order: Sequence[str] = LADDER) -> list[AnswerRow]:
    """``rows`` with `checks_score` and `agreement_score` computed anew, and `correct` where the question is one of our own.

    ``order`` has the rows' models, cheapest first: answers are compared with those of cheaper models.
    """
    questions = {question.id: question for question in panel_questions()}
    by_question: dict[str, list[AnswerRow]] = defaultdict(list)
    for row in rows:
        by_question[row.question_id].append(row)
    schemas = JsonSchemaValidator()
    scored: list[AnswerRow] = []
    for row in rows:
        case = _case(row, cheaper_answers(row, by_question[row.question_id], order))
        own = questions.get(row.question_id)
        scored.append(
            replace(
                row,
                correct=is_right(own, row.answer, cut_off=row.finish_reason == Ending.LENGTH.value) if own else row.correct,
                checks_score=checks.opinion_of(case, schemas).score,
                agreement_score=agreement.opinion_of(case).score,
            )
        )
    return scored


def _case(row: AnswerRow, others: Sequence[AnswerRow]) -> Case:
    return Case(
        conversation=(Turn(Speaker.USER, row.question),),
        candidate=_candidate(row),
        others=tuple(_candidate(other) for other in others),
    )


def _candidate(row: AnswerRow) -> Candidate:
    return Candidate(id=row.model, text=row.answer, model=row.model, ending=Ending(row.finish_reason), logprobs=row.logprobs)
