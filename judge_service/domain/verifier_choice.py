"""How the option that an answer chose fits what the answer says, and what its final number looks like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from judge_service.domain.final_answer import FinalAnswer
from judge_service.domain.verifier_options import OptionSheet, is_catch_all, nearest_option, relative_distance

NAN: Final = math.nan
SAME_NUMBER: Final = 1e-9
"""Relative distance of numbers that are the same but for rounding in the last place."""

CHOICE_FEATURES: Final = (
    "c_position",
    "c_chars",
    "c_chars_rank",
    "c_centrality",
    "c_centrality_rank",
    "c_catch_all",
    "c_words_said",
    "c_words_margin",
    "c_question_overlap",
    "c_number_said",
    "c_number_distance",
    "c_number_nearest",
    "c_number_rank",
)
NUMBER_FEATURES: Final = (
    "f_number_log",
    "f_number_in_question",
    "f_chars",
    "f_number_round",
)


def choice_fit(
    words: frozenset[str], numbers: Sequence[float], *, choice: int, options: OptionSheet, question_words: frozenset[str]
) -> tuple[float, ...]:
    """``CHOICE_FEATURES`` of an answer with these words and numbers that chose option ``choice``."""
    if not 0 <= choice < len(options.texts):
        return (float(choice), *[NAN] * (len(CHOICE_FEATURES) - 1))
    lengths = [len(option) for option in options.texts]
    said = [len(option & words) / max(len(option), 1) for option in options.words]
    others = [value for index, value in enumerate(said) if index != choice]
    chosen = options.texts[choice]
    return (
        float(choice),
        math.log1p(lengths[choice]),
        _rank(lengths, choice),
        options.centrality[choice],
        _rank(options.centrality, choice),
        float(is_catch_all(chosen)),
        said[choice],
        said[choice] - max(others),
        len(options.words[choice] & question_words) / max(len(options.words[choice]), 1),
        *_number_fit(numbers, choice, options),
    )


def _number_fit(numbers: Sequence[float], choice: int, options: OptionSheet) -> tuple[float, ...]:
    """How often its number is said; distance from the nearest of the last others; is it nearest to the very last; rank by value."""
    mine = options.numbers[choice]
    if not mine or not numbers:
        return (NAN, NAN, NAN, NAN)
    value = mine[0]
    said = sum(1 for number in numbers if relative_distance(number, value) < SAME_NUMBER)
    last = [number for number in numbers[-6:] if relative_distance(number, value) >= SAME_NUMBER]
    index, _ = nearest_option(last[-1], options) if last else (-1, 0.0)
    firsts = [found[0] for found in options.numbers if found]
    return (
        float(said),
        min(relative_distance(number, value) for number in last) if last else 0.0,
        float(index == choice) if last else NAN,
        sum(other < value for other in firsts) / max(len(firsts) - 1, 1),
    )


def final_number(final: FinalAnswer, given: frozenset[float]) -> tuple[float, ...]:
    """``NUMBER_FEATURES``; ``given`` are the numbers of the question."""
    text = str(final.value) if isinstance(final.value, str) else ""
    if final.form not in {"number", "percent"} or isinstance(final.value, str | frozenset):
        return (NAN, NAN, float(len(text)), NAN)
    try:
        value = float(final.value)
    except OverflowError:
        return (NAN, NAN, 0.0, NAN)
    if not math.isfinite(value):
        return (NAN, NAN, 0.0, NAN)
    return (
        math.copysign(math.log1p(abs(value)), value),
        float(value in given),
        float(len(f"{value:g}")),
        float(value == round(value)),
    )


def _rank(values: Sequence[float], index: int) -> float:
    """Share of the other values that are smaller; ties count half."""
    mine = values[index]
    smaller = sum(value < mine for value in values) + 0.5 * (sum(value == mine for value in values) - 1)
    return smaller / max(len(values) - 1, 1)
