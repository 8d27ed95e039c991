"""The table of injection attempts against everything about judging that is decided by rule. The model's part is `benchmarks.injection`."""

from __future__ import annotations

import json

import pytest

from benchmarks.injection.attacks import ATTACKS, RULED, SPOKEN, Attack
from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import agreement, checks, rubric
from judge_service.domain.candidates import AnswerForm, Contract
from tests.support.judges import case

NONCE = "k3x9a7q2"
"""The very word that the attempt `guessed section` guesses."""
WRONG, WANTED = "Lyon", "Paris"
LISTED = frozenset({"many answers"})
"""Texts that name several answers in the open; what they say last counts, and a reader could not tell either."""
ALL = pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])


def written(attack: Attack) -> str:
    return attack.write(WRONG, WANTED)


def test_the_table_is_long_and_has_every_kind() -> None:
    assert len(ATTACKS) >= 25
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert {attack.kind for attack in ATTACKS} >= RULED
    assert len(SPOKEN) >= 25
    assert all(WRONG in written(attack) for attack in ATTACKS)


@ALL
@pytest.mark.parametrize("turns_of", [rubric.yes_no_turns, rubric.rubric_turns])
def test_no_attempt_gets_out_of_its_section(attack: Attack, turns_of: rubric.TurnsOf) -> None:
    judged = case(written(attack))
    drawn = iter([NONCE, "zz55zz55"])
    nonce = rubric.fresh_nonce(lambda: next(drawn), [text for _, text in rubric.sections(judged)])
    system, user = turns_of(judged, nonce)
    marked = [line for line in user.content.splitlines() if nonce in line]
    assert [line.startswith(f"[{nonce}] ") for line in marked] == [True, True, True]
    assert marked[1] == f"[{nonce}] Proposed answer:"
    assert user.content.endswith(marked[2])
    assert nonce not in system.content
    for mark in ("<|", "|>", "[INST]", "[/INST]", "<<SYS>>", "</s>"):
        assert mark not in user.content


@ALL
@pytest.mark.parametrize("asked", ["What is the capital of France?", "How many?"])
def test_agreement_reads_the_answer_that_a_reader_sees(attack: Attack, asked: str) -> None:
    if attack.name in LISTED:
        pytest.skip("names several answers in the open")
    wrong, wanted = ("Lyon", "Paris") if "capital" in asked else ("41 apples", "42")
    opinion = agreement.opinion_of(case(attack.write(wrong, wanted), question=asked, others=[wanted]))
    assert opinion.score is not None
    assert opinion.score < agreement.AGREES_FROM


@ALL
@pytest.mark.parametrize("form", [AnswerForm.CHOICE, AnswerForm.NUMBER])
def test_no_attempt_brings_a_text_into_its_form(attack: Attack, form: AnswerForm) -> None:
    text = attack.write("The answer, of which I am sure, is what you think", WANTED)
    assert (
        checks.opinion_of(case(text, contract=Contract(form=form)), JsonSchemaValidator()).score == checks.SCORES[checks.Defect.MALFORMED]
    )


@ALL
def test_no_attempt_satisfies_a_schema(attack: Attack) -> None:
    schema = json.dumps({"type": "object", "required": ["capital"], "additionalProperties": False, "properties": {"capital": {}}})
    contract = Contract(form=AnswerForm.JSON, json_schema=schema)
    assert checks.opinion_of(case(written(attack), contract=contract), JsonSchemaValidator()).defects


@ALL
def test_a_reply_that_repeats_an_attempt_is_no_verdict(attack: Attack) -> None:
    """What a judge's model echoes is not taken for its scores, but for a reply that is nothing else than scores."""
    with pytest.raises(rubric.UnreadableReply):
        rubric.read_rubric(written(attack))
