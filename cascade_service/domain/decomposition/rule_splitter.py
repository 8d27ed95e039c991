"""Splits by the form of the text alone: numbered and lettered lists, paragraphs and sentences that are questions, "and then".

It is meant to leave alone whatever is not plainly compound: a request that was split by mistake loses its meaning, one that was left whole
only its saving.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from cascade_service.domain.decomposition.splitting import Part, Split, SplitLimits
from cascade_service.domain.decomposition.wording import (
    asks,
    instructs_all,
    may_refer_back,
    paragraphs,
    refers_back,
    sentences,
    starts_as_question,
    starts_as_task,
)

TEXT_CHARS_MAX = 100_000
_LEAD_IN_CHARS_MAX = 200
_WORDS_MIN = 2

_LEAD_IN = re.compile(
    r"(?:please |kindly |can you |could you |i need you to )?(?:answer|solve|do|complete|respond to|work on|help (?:me )?with|"
    r"i have|here are|there are)\b[^\n]*\b(?:questions|tasks|problems|things|requests|exercises|parts|items)\b[^\n]*[:.]",
    re.IGNORECASE,
)
_PLAIN_LEAD_IN = re.compile(
    r"(?:please |kindly |can you |could you |i need you to )?(?:answer|solve|do|complete|respond to|work on|help (?:me )?with|"
    r"i have|here are|there are)(?: all| each| both)?(?: of)?(?: the| these| those| my)?(?: following)?"
    r"(?: two| three| four| five| six| seven| eight| \d| several| some| a few)?(?: unrelated| independent| separate| different)?"
    r"(?: following)? (?:questions|tasks|problems|things|requests|exercises|parts|items)(?: below| for you)?[:.]",
    re.IGNORECASE,
)
_AND_THEN = re.compile(r"[,;]? and (?:then|also) |[,;] then ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Style:
    """How items are labelled at the start of a line; the group ``place`` is a number or a letter. ``named`` labels say what an item is."""

    label: re.Pattern[str]
    named: bool = False


_STYLES = (
    _Style(
        re.compile(
            r"^[ \t]*(?P<label>[*#_ ]*(?:question|task|problem|exercise|request|q)[ \t]*#?(?P<place>\d{1,2})[ \t]*[*_]*[.:)][*_]*)[ \t]*",
            re.IGNORECASE | re.MULTILINE,
        ),
        named=True,
    ),
    _Style(re.compile(r"^(?P<label>(?P<place>\d{1,2})[.)])[ \t]+", re.MULTILINE)),
    _Style(re.compile(r"^(?P<label>\((?P<place>\d{1,2})\))[ \t]+", re.MULTILINE)),
    _Style(re.compile(r"^(?P<label>(?P<place>[a-h])[.)])[ \t]+", re.MULTILINE)),
    _Style(re.compile(r"^(?P<label>\((?P<place>[a-h])\))[ \t]+", re.MULTILINE)),
)


class RuleSplitter:
    """Splits by rules, at once and at no cost."""

    name = "rules"

    async def split(self, text: str, limits: SplitLimits) -> Split:
        """The parts of ``text``, or why it has none."""
        if len(text) > TEXT_CHARS_MAX:
            return Split(reason=f"longer than {TEXT_CHARS_MAX} characters")
        return split_by_rules(text, parts_max=limits.parts_max)


def split_by_rules(text: str, *, parts_max: int) -> Split:
    """The parts of ``text``, at most ``parts_max``, or why it has none."""
    text = text.replace("\r\n", "\n").strip()
    for find in (_labelled, _paragraphs, _questions, _clauses):
        parts = find(text)
        if len(parts) > parts_max:
            return Split(reason=f"{len(parts)} parts, and {parts_max} are allowed")
        if parts:
            return Split(parts=parts)
    return Split(reason="no form that is plainly compound")


def _labelled(text: str) -> tuple[Part, ...]:
    for style in _STYLES:
        found = _list_of(list(style.label.finditer(text)), text)
        lead_in = _lead_in(text, end=found[0].start()) if found else None
        if lead_in is None:
            continue
        ends = [*(match.start() for match in found[1:]), len(text)]
        items = [text[match.end() : end].strip() for match, end in zip(found, ends, strict=True)]
        told = style.named or bool(text[: found[0].start()].strip())  # label or lead-in say that the items are questions or tasks
        if not all(_is_item(item, told=told) for item in items) or _ends_with_instruction(items[-1]):
            return ()
        labels = [match["label"].strip(" \t*#_") for match in found]
        parts = [_part(item, label=label, first=not number) for number, (item, label) in enumerate(zip(items, labels, strict=True))]
        return tuple(replace(part, text=f"{lead_in}\n\n{part.text}") for part in parts) if lead_in else tuple(parts)
    return ()


def _list_of(found: list[re.Match[str]], text: str) -> list[re.Match[str]]:
    """The labels of one list, or none: those after blank lines, so that items may have lists of their own; else all."""
    apart = [match for number, match in enumerate(found) if not number or text[: match.start()].rstrip(" \t").endswith("\n\n")]
    for labels in (apart, found):
        if _counts_up([match["place"].lower() for match in labels]):
            return labels
    return []


def _part(item: str, *, label: str, first: bool) -> Part:
    return Part(text=item, label=label, needs_earlier=not first and refers_back(item))


def _lead_in(text: str, *, end: int) -> str | None:
    """What stands before the first label and holds for every item: empty when it says nothing, ``None`` when it is more than a lead-in."""
    before = text[:end].strip()
    if not before or _PLAIN_LEAD_IN.fullmatch(before):
        return ""
    return before if len(before) <= _LEAD_IN_CHARS_MAX and _LEAD_IN.fullmatch(before) else None


def _counts_up(places: list[str]) -> bool:
    """True for 1, 2, 3 … or a, b, c …, two or more, none twice: a list within an item may look just like the list itself."""
    numbers = [int(place) if place.isdigit() else ord(place) - ord("a") + 1 for place in places]
    return len(numbers) > 1 and numbers == list(range(1, len(numbers) + 1))


def _is_item(item: str, *, told: bool) -> bool:
    return len(item.split()) >= _WORDS_MIN and (told or asks(item))


def _ends_with_instruction(item: str) -> bool:
    """True when the last item is followed by a paragraph that may be meant for all of them."""
    last = paragraphs(item)[-1]
    return last != item and not last.endswith("?") and instructs_all(last)


def _paragraphs(text: str) -> tuple[Part, ...]:
    found = paragraphs(text)
    return _unlabelled(found) if all(_is_whole_request(paragraph) for paragraph in found) else ()


def _is_whole_request(paragraph: str) -> bool:
    if "\n" in paragraph or not paragraph[0].isupper():
        return False
    return paragraph.endswith("?") or (starts_as_task(paragraph) and len(sentences(paragraph)) == 1 and paragraph[-1] not in ":,;")


def _questions(text: str) -> tuple[Part, ...]:
    found = sentences(text)
    plain = "\n" not in text and all(sentence.endswith("?") and starts_as_question(sentence) for sentence in found)
    return _unlabelled(found) if plain else ()


def _clauses(text: str) -> tuple[Part, ...]:
    found = [piece.strip() for piece in _AND_THEN.split(text)]
    plain = "\n" not in text and len(sentences(text)) == 1 and all(starts_as_task(piece) for piece in found)
    return _unlabelled([piece[0].upper() + piece[1:] for piece in found]) if plain else ()


def _unlabelled(pieces: list[str]) -> tuple[Part, ...]:
    """Parts without labels of their own get numbers. Where one seems to refer to another nothing is split."""
    alone = len(pieces) > 1 and all(len(piece.split()) >= _WORDS_MIN for piece in pieces) and not any(map(may_refer_back, pieces[1:]))
    return tuple(Part(text=piece, label=f"{number}.") for number, piece in enumerate(pieces, start=1)) if alone else ()
