"""How an option compares with the other options of its question: figures from which its plausibility without any answer is learnt.

Distractors are written around the right option, longer or shorter than it, with numbers made from its number; whoever reads only the
options does better than chance. One row of ``OPTION_FEATURES`` per option; NaN where a figure does not apply.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from judge_service.domain.verifier_options import OptionSheet, is_catch_all, relative_distance

OPTION_FEATURES: Final = (
    "count",
    "position",
    "numeric_share",
    "question_log_chars",
    "log_chars",
    "log_chars_to_mean",
    "chars_rank",
    "chars_apart",
    "words",
    "words_rank",
    "centrality",
    "centrality_rank",
    "centrality_most",
    "trigram_centrality",
    "trigram_centrality_rank",
    "trigram_most",
    "question_overlap",
    "question_overlap_rank",
    "catch_all",
    "catch_alls",
    "numbers",
    "numbers_rank",
    "value_rank",
    "value_to_median",
    "value_nearest",
    "value_relations",
    "value_negative",
    "value_digits",
    "value_digits_rank",
    "value_decimals",
    "value_decimals_alike",
    "value_in_question",
    "style_capital",
    "style_capital_alike",
    "style_full_stop_alike",
    "style_commas",
    "style_commas_rank",
    "style_signs",
    "style_signs_rank",
    "first_word_alike",
    "last_word_alike",
)

_SIGNS = re.compile(r"[^\w\s.,]")
_DECIMAL = re.compile(r"\d+(?:\.(\d+))?")
_NICE = (2.0, 3.0, 4.0, 10.0, 100.0, 1000.0)
_NAN = math.nan

T = TypeVar("T")


def option_features(
    sheet: OptionSheet, question_words: frozenset[str], question_numbers: frozenset[float], question_chars: int
) -> npt.NDArray[np.float32]:
    """Features of every option of ``sheet``, (options, features)."""
    texts = sheet.texts
    count = len(texts)
    if not count:
        return np.zeros((0, len(OPTION_FEATURES)), dtype=np.float32)
    chars = [len(text) for text in texts]
    words = [len(text.split()) for text in texts]
    trigrams = [frozenset(text[index : index + 3].lower() for index in range(max(len(text) - 2, 1))) for text in texts]
    overlap = [len(found & question_words) / max(len(found), 1) for found in sheet.words]
    near, most = _likeness(sheet.words)
    near3, most3 = _likeness(trigrams)
    catch = [float(is_catch_all(text)) for text in texts]
    commas = [text.count(",") for text in texts]
    signs = [len(_SIGNS.findall(text)) for text in texts]
    held = [len(found) for found in sheet.numbers]
    mean_chars = sum(chars) / count
    columns = [
        [float(count)] * count,
        [float(index) for index in range(count)],
        [sheet.numeric_share] * count,
        [math.log1p(question_chars)] * count,
        [math.log1p(value) for value in chars],
        [math.log1p(value) - math.log1p(mean_chars) for value in chars],
        _ranks(chars),
        _apart(chars),
        [float(value) for value in words],
        _ranks(words),
        near,
        _ranks(near),
        most,
        near3,
        _ranks(near3),
        most3,
        overlap,
        _ranks(overlap),
        catch,
        [sum(catch)] * count,
        [float(value) for value in held],
        _ranks(held),
        *_value_columns(sheet, question_numbers),
        [float(text[:1].isupper()) for text in texts],
        _alike(texts, lambda text: text[:1].isupper()),
        _alike(texts, lambda text: text[-1:] == "."),
        [float(value) for value in commas],
        _ranks(commas),
        [float(value) for value in signs],
        _ranks(signs),
        _alike(texts, lambda text: text.split(" ", 1)[0].lower()),
        _alike(texts, lambda text: text.rsplit(" ", 1)[-1].lower().rstrip(".")),
    ]
    return np.array(columns, dtype=np.float32).T


def _value_columns(sheet: OptionSheet, question_numbers: frozenset[float]) -> list[list[float]]:
    firsts = [numbers[0] if numbers else _NAN for numbers in sheet.numbers]
    known = [value for value in firsts if not math.isnan(value)]
    if not known:
        return [[_NAN] * len(firsts) for _ in range(10)]
    median = statistics.median(known)
    written = [_DECIMAL.search(text) for text in sheet.texts]
    digits = [len(found.group(0).strip("0").replace(".", "")) if found else 0 for found in written]
    decimals = [len(found.group(1) or "") if found else -1 for found in written]
    return [
        [
            _NAN if math.isnan(value) else (sum(other < value for other in known) + 0.5 * (known.count(value) - 1)) / max(len(known) - 1, 1)
            for value in firsts
        ],
        [_NAN if math.isnan(value) else _log_ratio(value, median) for value in firsts],
        [_nearest(firsts, index) for index in range(len(firsts))],
        [_relations(firsts, index) for index in range(len(firsts))],
        [_NAN if math.isnan(value) else float(value < 0.0) for value in firsts],
        [float(value) for value in digits],
        _ranks(digits),
        [float(value) for value in decimals],
        _alike(decimals, lambda value: value),
        [float(value in question_numbers) for value in firsts],
    ]


def _log_ratio(value: float, other: float) -> float:
    """Logarithm of |value| by |other|, clipped to ±9."""
    return min(max(math.log(max(abs(value), 1e-12) / max(abs(other), 1e-12)), -9.0), 9.0)


def _nearest(values: Sequence[float], index: int) -> float:
    others = [other for place, other in enumerate(values) if place != index and not math.isnan(other)]
    if math.isnan(values[index]) or not others:
        return _NAN
    return min(relative_distance(values[index], other) for other in others)


def _relations(values: Sequence[float], index: int) -> float:
    """How many of the other numbers are a simple multiple, a fraction or the negative of this one."""
    value = values[index]
    if math.isnan(value) or value == 0.0:
        return _NAN
    ratios = [abs(other / value) for place, other in enumerate(values) if place != index and not math.isnan(other) and other != 0.0]
    return float(sum(any(abs(ratio / nice - 1.0) < 0.01 or abs(ratio * nice - 1.0) < 0.01 for nice in _NICE) for ratio in ratios))  # noqa: PLR2004 rounding of printed numbers


def _likeness(sets: Sequence[frozenset[str]]) -> tuple[list[float], list[float]]:
    """Mean and highest overlap (Jaccard) of each set with the others."""
    count = len(sets)
    table = [[0.0] * count for _ in range(count)]
    for one in range(count):
        for other in range(one):
            union = len(sets[one] | sets[other])
            table[one][other] = table[other][one] = len(sets[one] & sets[other]) / max(union, 1)
    return [sum(row) / max(count - 1, 1) for row in table], [max(row) for row in table]


def _ranks(values: Sequence[float]) -> list[float]:
    return [(sum(other < value for other in values) + 0.5 * (values.count(value) - 1)) / max(len(values) - 1, 1) for value in values]


def _apart(values: Sequence[float]) -> list[float]:
    """Distance to the nearest other value, by the mean."""
    mean = max(sum(values) / len(values), 1.0)
    return [
        min((abs(value - other) for place, other in enumerate(values) if place != index), default=0.0) / mean
        for index, value in enumerate(values)
    ]


def _alike(values: Sequence[T], key: Callable[[T], object]) -> list[float]:
    """Share of the other options with the same key."""
    keys = [key(value) for value in values]
    return [(keys.count(own) - 1) / max(len(keys) - 1, 1) for own in keys]
