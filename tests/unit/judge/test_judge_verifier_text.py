"""What the verifier reads out of a question and an answer."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from judge_service.domain.final_answer import Form
from judge_service.domain.verifier_arithmetic import Recomputed, recompute
from judge_service.domain.verifier_features import (
    _YOUNGER_FORMS,
    ANSWER_CHARS_MAX,
    ANSWER_FEATURES,
    FORMS,
    QUESTION_FEATURES,
    AnswerSheet,
    read_answer,
    read_question,
    shorten,
)
from judge_service.domain.verifier_options import nearest_option, numbers_in, options_of, read_options
from judge_service.domain.verifier_prior import OPTION_FEATURES, option_features
from judge_service.domain.verifier_words import SLOTS, linear_score, slots_of, words_of

QUESTION = (
    "A car goes 60 km in 1.5 hours. What is its speed?\nOptions:\n(A) 30 km/h\n(B) 40 km/h\n(C) 90 km/h\n(D) none of the above\nAnswer:"
)


def figure(sheet: AnswerSheet, name: str) -> float:
    return float(sheet.features[ANSWER_FEATURES.index(name)])


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("2 + 3 = 5", 1, 0),
        ("2 + 3 = 6", 0, 1),
        ("It is 2 + 3 = 5. So", 1, 0),
        ("It is 2 + 3 = 5.5", 0, 1),
        ("x - 3 + 5 = 2", 0, 0),
        ("y = 2 + 3 = 5", 1, 0),
        ("60 / 1.5 = 40 and 40 * 2 = 90", 1, 1),
        ("2 + 3 × 4 = 14", 1, 0),
        ("7 - 2 - 1 = 4", 1, 0),
        ("-3 + 5 = 2", 1, 0),
        ("1,200 / 2 = 600", 1, 0),
        (r"\frac{1}{2} + 1 = 1.5", 1, 0),
        (r"$3 \times 4 = 12$", 1, 0),
        ("10 / 3 = 3.33", 1, 0),
        ("10 / 3 ≈ 3.4", 0, 1),
        ("1 / 0 = 5", 0, 0),
        ("x + 3 = 5", 0, 0),
        ("2x + 3 = 5", 0, 0),
        ("2 + 3 = 5x", 0, 0),
        ("2 + 3 = 5 + 0", 0, 0),
        ("no sums here", 0, 0),
    ],
)
def test_arithmetic_is_computed_again(text: str, right: int, wrong: int) -> None:
    assert recompute(text) == Recomputed(right, wrong)


def test_options_are_the_last_run_that_starts_at_a() -> None:
    assert options_of(QUESTION) == ["30 km/h", "40 km/h", "90 km/h", "none of the above"]
    assert options_of("A. old\nB. old\n\nA. new\nB. newer") == ["new", "newer"]
    assert options_of("(A) alone") == []
    assert options_of("I think. A dog.\nB. side") == []


def test_numbers_of_all_ways_of_writing() -> None:
    assert numbers_in("1,200 and −3.5 and 1.2 × 10^3 and 2e-2") == [1200.0, -3.5, 1200.0, 0.02]


def test_the_nearest_option_by_number() -> None:
    sheet = read_options(QUESTION)
    assert nearest_option(41.0, sheet) == (1, pytest.approx(1 / 41))
    assert nearest_option(41.0, read_options("no options")) == (-1, math.inf)


def test_the_choice_and_how_it_fits() -> None:
    question = read_question(QUESTION)
    fits = read_answer("Speed is 60 / 1.5 = 40 km/h. The answer is (B).", question)
    misses = read_answer("Speed is 60 / 1.5 = 40 km/h. The answer is (A).", question)
    assert (fits.choice, misses.choice) == (1, 0)
    assert figure(fits, "c_number_said") == 1.0
    assert figure(misses, "c_number_said") == 0.0
    assert figure(fits, "a_arith_right") == 1.0
    assert figure(read_answer("It may be (A), or maybe (B). The answer is (B).", question), "a_letter_others") == 1.0
    assert figure(read_answer("The answer is (D).", question), "c_catch_all") == 1.0


def test_a_letter_that_is_no_option_is_no_choice() -> None:
    assert read_answer("The answer is (J).", read_question(QUESTION)).choice == -1


def test_every_sheet_has_every_feature() -> None:
    for question in ("", "What?", QUESTION):
        sheet = read_question(question)
        assert len(sheet.features) == len(QUESTION_FEATURES)
        assert option_features(sheet.options, sheet.words, sheet.numbers, 10).shape == (len(sheet.options.texts), len(OPTION_FEATURES))
        for answer in ("", "42", "The answer is (B).", "word " * 5_000):
            assert len(read_answer(answer, sheet).features) == len(ANSWER_FEATURES)


def test_only_so_much_of_an_answer_is_read() -> None:
    question = read_question("What?")
    end = " The answer is 7."
    long, longer = (read_answer("a" + "b " * size + end, question) for size in (50_000, 90_000))
    assert long.features == pytest.approx(longer.features, nan_ok=True)
    assert figure(long, "a_log_chars") == pytest.approx(math.log1p(ANSWER_CHARS_MAX))
    assert shorten("abcdefghij", 6) == "abghij"


def test_words_know_the_length_of_numbers_but_not_their_value() -> None:
    assert words_of("It weighs 123 kg") == words_of("it WEIGHS 987 kg") == ["it", "weighs", "#3", "kg"]


def test_a_text_is_a_set_of_slots_scaled_to_one() -> None:
    slots = slots_of(["a", "b", "a", "b"])
    assert len(slots) == 4
    weights = np.zeros(SLOTS, dtype=np.float32)
    weights[slots] = 1.0
    assert linear_score(slots, weights, 0.5) == pytest.approx(0.5 + 4 / 2)
    assert linear_score(slots_of([]), weights, 0.5) == 0.5


def test_how_options_compare() -> None:
    question = read_question(QUESTION)
    rows = option_features(question.options, question.words, question.numbers, len(question.text))
    rank = rows[:, OPTION_FEATURES.index("value_rank")]
    assert rank[:3].tolist() == [0.0, 0.5, 1.0]
    assert math.isnan(rank[3])
    assert rows[:, OPTION_FEATURES.index("catch_all")].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert rows[2, OPTION_FEATURES.index("value_relations")] == 1.0


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        (r"The answer is \boxed{\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}}", "exact"),
        ('<answer>"abc"</answer>', "quoted"),
        ("The answer is 7.", "number"),
    ],
)
def test_an_answer_of_any_form_is_read(answer: str, form: str) -> None:
    sheet = read_answer(answer, read_question("Compute it."))
    assert sheet.final.form == form
    assert len(sheet.features) == len(ANSWER_FEATURES)


def test_every_form_of_a_final_answer_has_a_place_among_the_features() -> None:
    assert {_YOUNGER_FORMS.get(form, form) for form in get_args(Form)} == set(FORMS)
