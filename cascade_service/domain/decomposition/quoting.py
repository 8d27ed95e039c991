"""Parts that someone else has marked, held against the request: only its own words count, and next to none of them may be lost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cascade_service.domain.decomposition.splitting import Part

UNMARKED_SHARE_MAX = 0.2
"""Greatest share of the request's words, such as numbers and lead-ins, that may stand in no part."""
_WORD = re.compile(r"\S+")
_PART_WORDS_MIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A part as marked: a quotation from the request, white space aside."""

    quotation: str
    needs_earlier: bool = False


def parts_of_marked(text: str, marked: Sequence[Marked], *, shared: str, parts_max: int) -> tuple[Part, ...] | str:
    """The parts of ``text`` with its own words, or what is wrong with the marks.

    The quotations stand in the order of the text and do not overlap. ``shared`` is empty, or a quotation from outside them that is put
    before every part.
    """
    if not 1 < len(marked) <= parts_max:
        return f"marked {len(marked)} parts, 2 to {parts_max} are allowed"
    words = list(_WORD.finditer(text))
    spans: list[tuple[int, int]] = []
    for one in marked:
        span = _find(words, one.quotation, start=spans[-1][1] if spans else 0)
        if span is None or span[1] - span[0] < _PART_WORDS_MIN:
            return "marked a part that does not quote the request"
        spans.append(span)
    before = _find_outside(words, shared, spans) if shared.strip() else (0, 0)
    if before is None:
        return "marked shared words that do not quote the request"
    marked_words = sum(end - start for start, end in (*spans, before))
    if marked_words < (1.0 - UNMARKED_SHARE_MAX) * len(words):
        return "leaves out too much of the request"
    lead = f"{_slice(text, words, before)}\n\n" if before[1] else ""
    return tuple(
        Part(text=lead + _slice(text, words, span), label=f"{number}.", needs_earlier=one.needs_earlier and number > 1)
        for number, (span, one) in enumerate(zip(spans, marked, strict=True), start=1)
    )


def _find(words: Sequence[re.Match[str]], quotation: str, *, start: int, end: int | None = None) -> tuple[int, int] | None:
    wanted = quotation.split()
    end = len(words) if end is None else end
    for first in range(start, end - len(wanted) + 1):
        if wanted and all(words[first + offset].group() == word for offset, word in enumerate(wanted)):
            return first, first + len(wanted)
    return None


def _find_outside(words: Sequence[re.Match[str]], quotation: str, spans: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    gaps = zip((0, *(end for _, end in spans)), (*(start for start, _ in spans), len(words)), strict=True)
    return next((found for start, end in gaps if (found := _find(words, quotation, start=start, end=end)) is not None), None)


def _slice(text: str, words: Sequence[re.Match[str]], span: tuple[int, int]) -> str:
    return text[words[span[0]].start() : words[span[1] - 1].end()]
