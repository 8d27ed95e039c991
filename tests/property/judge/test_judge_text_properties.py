"""Judges that read texts take any text."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import agreement, checks, confidence, rubric
from judge_service.domain.candidates import AnswerForm, Contract, Ending, LogprobFigures
from judge_service.domain.final_answer import final_answer, same_answer
from judge_service.domain.plain_text import visible_text, without_template_marks
from tests.support.judges import case

fragments = st.sampled_from(
    [
        "42",
        "1/0",
        "1e999",
        "-",
        "(B)",
        r"\boxed{",
        "}",
        "<answer>",
        "```",
        "\n",
        '{"answer":',
        "[1,",
        "is ",
        "%",
        "\0",
        "[k7q2vx9d]",
        "٣",
        "²",
        "1,2,3",
    ]
)
texts = st.one_of(st.text(max_size=200), st.lists(fragments, max_size=30).map("".join))


@settings(deadline=None)
@given(texts, st.lists(texts, max_size=4), texts)
@example("²", ["٣", "1e999"], "")
@example("9" * 5_000, ["1/" + "9" * 5_000], "")
@example("(" * 3_000 + ")" * 3_000, ["{" * 3_000 + "}" * 3_000], "")
def test_agreement_takes_any_text(text: str, others: list[str], question: str) -> None:
    score = agreement.opinion_of(case(text, others=others, question=question)).score
    assert score is None or 0.0 <= score <= 1.0


@settings(deadline=None)
@given(texts, texts)
def test_sameness_is_symmetric_and_reflexive(one: str, other: str) -> None:
    first, second = final_answer(one), final_answer(other)
    assert same_answer(first, second) == same_answer(second, first)
    if first.form != "nothing":
        assert same_answer(first, final_answer(one)) == 1.0


@settings(deadline=None)
@given(texts, st.sampled_from(list(AnswerForm)), st.sampled_from(list(Ending)))
def test_checks_take_any_text(text: str, form: AnswerForm, ending: Ending) -> None:
    opinion = checks.opinion_of(case(text, ending=ending, contract=Contract(form=form)), JsonSchemaValidator())
    assert opinion.score is not None
    assert 0.0 <= opinion.score <= 1.0
    assert (opinion.score == 1.0) == (opinion.defects == ())


any_number = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.builds(
        LogprobFigures, tokens=st.integers(-1, 100), mean=any_number, minimum=any_number, share_uncertain=any_number, first=any_number
    )
)
def test_confidence_takes_any_figures(figures: LogprobFigures) -> None:
    score = confidence.opinion_of(case(logprobs=figures)).score
    assert score is None or 0.0 <= score <= 1.0


NONCE = "k7q2vx9d"


@settings(deadline=None)
@given(texts.filter(lambda text: NONCE not in text.casefold()), texts.filter(lambda text: NONCE not in text.casefold()))
def test_no_candidate_gets_out_of_its_section(text: str, question: str) -> None:
    """Cut at the marks, the prompt has what a reader sees of the candidate in one section and nothing of it in another."""
    content = rubric.yes_no_turns(case(text, question=question), NONCE)[1].content
    head, asked, proposed, request = content.split(f"[{NONCE}] ")
    assert (head, request) == ("", "Is the proposed answer correct? Answer Yes or No.")
    assert asked.startswith("Question:\n")
    assert proposed == f"Proposed answer:\n{without_template_marks(visible_text(text))}\n"


@given(texts, st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=20))
def test_a_nonce_never_occurs_in_the_texts(text: str, drawn: list[str]) -> None:
    draws = iter([*drawn, "unguessable"])
    nonce = rubric.fresh_nonce(lambda: next(draws, "unguessable"), [text])
    assert nonce.casefold() not in text.casefold()
