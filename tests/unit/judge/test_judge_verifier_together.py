"""Rows on sets of answers: what agrees, what differs, and that holes and order don't matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from judge_service.domain.final_answer import FinalAnswer, final_answer
from judge_service.domain.verifier_together import SILENT, TOGETHER_FEATURES, Answers, alike, groups_of, together_rows


def answers(groups: list[int], log_odds: list[float], *, options: float = 4.0) -> Answers:
    count = len(groups)
    return Answers(
        here=np.ones((1, count), dtype=np.bool_),
        log_odds=np.array([log_odds]),
        quality=np.zeros((1, count)),
        rate=np.full((1, count), np.nan),
        prior=np.zeros((1, count, 4)),
        group=np.array([groups], dtype=np.int64),
        words_alike=np.full((1, count, count), 0.5),
        numbers_alike=np.full((1, count, count), np.nan),
        ease=np.zeros(1),
        options=np.array([options]),
        numeric=np.zeros(1),
    )


def named(row: np.ndarray[tuple[int], np.dtype[np.float32]]) -> dict[str, float]:
    return dict(zip(TOGETHER_FEATURES, map(float, row), strict=True))


def test_votes_and_support_of_the_answers_group_and_its_rivals() -> None:
    first, second, third, silent = (named(row) for row in together_rows(answers([0, 0, 1, SILENT], [1.0, 0.5, 2.0, -3.0]))[0])
    assert (first["others"], first["agree"], first["differ"], first["silent"], first["answers"]) == (3.0, 1.0, 1.0, 1.0, 2.0)
    rivals = np.log(3.0)
    assert first["support"] == pytest.approx(1.5 + 2 * rivals)
    assert first["rival_support"] == pytest.approx(2.0 + rivals)
    assert third["rival_votes"] == 2.0
    assert second["agree_sum"] == pytest.approx(1.0)
    assert (silent["agree"], silent["differ"], silent["rival_votes"]) == (0.0, 3.0, 2.0)
    shares = np.exp([first["posterior"], third["posterior"]]).sum()
    assert shares < 1.0
    assert first["posterior"] == pytest.approx(second["posterior"])


def test_an_answer_alone_has_nothing_to_be_compared_with() -> None:
    row = named(together_rows(answers([0], [1.0]))[0, 0])
    assert (row["others"], row["agree_sum"], row["differ"], row["rival_votes"]) == (0.0, 0.0, 0.0, 0.0)
    assert all(np.isnan(row[name]) for name in ("agree_max", "differ_min", "rival_support", "agree_words_alike"))


def test_holes_are_as_if_there_was_nothing() -> None:
    whole = answers([0, 1, 0], [1.0, 2.0, -1.0])
    holed = replace(whole, here=np.array([[True, False, True]]))
    short = answers([0, 0], [1.0, -1.0])
    assert together_rows(holed)[0, [0, 2]] == pytest.approx(together_rows(short)[0], nan_ok=True)


def test_predictions_count_only_when_all_are_known() -> None:
    known = answers([0, 1], [1.0, 2.0])
    partly = replace(known, quality=np.array([[0.0, np.nan]]))
    assert named(together_rows(known)[0, 0])["quality_support"] == pytest.approx(np.log(3.0))
    assert np.isnan(named(together_rows(partly)[0, 0])["quality_support"])


def test_groups_are_found_whatever_the_order() -> None:
    finals = [final_answer(text) for text in ("The answer is 4.", "It is 5.", "4", "")]
    assert groups_of(finals, [0.0, 1.0, 2.0, 3.0]).tolist() == [0, 1, 0, SILENT]
    backwards: list[FinalAnswer] = finals[::-1]
    assert groups_of(backwards, [3.0, 2.0, 1.0, 0.0]).tolist() == [SILENT, 0, 1, 0]


def test_alike_is_the_overlap_of_words_and_numbers() -> None:
    pieces = [np.array(slots, dtype=np.uint16) for slots in ([1, 2], [2, 3], [])]
    words, numbers = alike(pieces, [frozenset({1.0}), frozenset({1.0, 2.0}), frozenset()])
    assert words[0, 1] == pytest.approx(1 / 3)
    assert words[0, 2] == 0.0
    assert numbers[1, 0] == pytest.approx(0.5)
    assert np.isnan(numbers[2, 2])
