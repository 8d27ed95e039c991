"""Scores of the judges that ask no model, computed from recorded texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import agreement, checks
from judge_service.domain.candidates import Candidate, Case, Ending, Speaker, Turn
from training.panel_grading import is_right
from training.panel_questions import PanelQuestion, panel_questions
from training.panel_rows import LADDER, AnswerRow, cheaper_answers

RECORD_WEIGHT = 4.0
"""Answers in a domain that a model's record over all domains counts as."""


def scored_rows(rows: Sequence[AnswerRow], order: Sequence[str] = LADDER) -> list[AnswerRow]:
    """``rows`` with `checks_score` and `agreement_score` computed anew, and `correct` where the question is one of our own.

    ``order`` has the rows' models, cheapest first: answers are compared with those of cheaper models.
    """
    questions = {question.id: question for question in panel_questions()}
    graded = [replace(row, correct=_correct(questions.get(row.question_id), row)) for row in rows]
    by_question: dict[str, list[AnswerRow]] = defaultdict(list)
    for row in graded:
        by_question[row.question_id].append(row)
    schemas = JsonSchemaValidator()
    scored: list[AnswerRow] = []
    for row in graded:
        others = cheaper_answers(row, by_question[row.question_id], order)
        answers = [_candidate(one, record_without(one, graded)) for one in (row, *others)]
        case = Case(conversation=(Turn(Speaker.USER, row.question),), candidate=answers[0], others=tuple(answers[1:]))
        scored.append(replace(row, checks_score=checks.opinion_of(case, schemas).score, agreement_score=agreement.opinion_of(case).score))
    return scored


def _correct(own: PanelQuestion | None, row: AnswerRow) -> bool:
    return row.correct if own is None else is_right(own, row.answer, cut_off=row.finish_reason == Ending.LENGTH.value)


def record_without(row: AnswerRow, rows: Sequence[AnswerRow]) -> float:
    """Share of its model's answers to other questions of the domain that are right, shrunk to its share over all domains.

    It stands for what the router predicts, which knows a model's record and not this answer.
    """
    others = [one for one in rows if one.model == row.model and one.question_id != row.question_id]
    overall = (sum(one.correct for one in others) + 1.0) / (len(others) + 2.0)
    near = [one.correct for one in others if one.domain == row.domain]
    return (sum(near) + RECORD_WEIGHT * overall) / (len(near) + RECORD_WEIGHT)


def _candidate(row: AnswerRow, quality: float) -> Candidate:
    ending = Ending(row.finish_reason)
    return Candidate(id=row.model, text=row.answer, model=row.model, ending=ending, logprobs=row.logprobs, predicted_quality=quality)
