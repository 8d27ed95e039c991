"""What a reader sees of an answer, and what a chat template must not read as its own.

A candidate can carry text that no reader sees: comments, hidden elements, characters without a glyph. Judges that read it would judge
another answer than the reader gets. And it can carry the marks with which chat templates begin and end turns, which some servers turn
into control tokens. Every function accepts any text, never raises, and works in one pass.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_FENCE: Final = "```"
_COMMENT: Final = ("<!--", "-->")
_MARKDOWN_COMMENT: Final = re.compile(r"^[ ]{0,3}\[[^\]\n]{1,40}\]:[ \t]{1,8}(?:#|<>)[ \t]{0,8}[(\"'][^\n]*$", re.MULTILINE)
_HIDDEN_TAG: Final = re.compile(
    r"<([a-z][a-z0-9]{0,15})\b(?=[^<>]{0,400}(?:display\s{0,4}:\s{0,4}none|visibility\s{0,4}:\s{0,4}hidden|\shidden\b))[^<>]{0,400}>",
    re.IGNORECASE,
)
_TEMPLATE_MARK: Final = re.compile(
    r"<(?=[|｜])|(?<=[|｜])>|<(?=/?(?:s|bos|eos|start_of_turn|end_of_turn)>)|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\])"
    r"|<(?=</?SYS>>)",
    re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_KEPT: Final = frozenset("\t\n\r")
_UNSEEN: Final = frozenset({"Cf", "Cc", "Co", "Cn"})
_SMALL: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def visible_text(text: str) -> str:
    """``text`` without comments, hidden elements and invisible characters.

    Code fences keep theirs, because readers see them there. A text that is nothing else stays as it is but for the characters.
    """
    plain = _CONTROL.sub("", text) if text.isascii() else "".join(letter for letter in text if _is_seen(letter))
    parts = plain.split(_FENCE)
    shown = _FENCE.join(part if index % 2 else _without_markup(part) for index, part in enumerate(parts))
    return shown if shown.strip() or not plain.strip() else plain


def without_template_marks(text: str) -> str:
    """``text`` with a space inside every mark that chat templates use for turns, so that it is text and no control token."""
    return _TEMPLATE_MARK.sub(lambda mark: f"{mark.group()} " if mark.group() != ">" else " >", text)


def _is_seen(letter: str) -> bool:
    return letter in _KEPT or unicodedata.category(letter) not in _UNSEEN


def _without_markup(text: str) -> str:
    return _MARKDOWN_COMMENT.sub("", _without_hidden_elements(_without_comments(text)))


def _without_comments(text: str) -> str:
    """An unclosed comment hides the rest, as browsers have it."""
    opening, closing = _COMMENT
    kept: list[str] = []
    at = 0
    while (start := text.find(opening, at)) >= 0:
        kept.append(text[at:start])
        end = text.find(closing, start + len(opening))
        if end < 0:
            return "".join(kept)
        at = end + len(closing)
    return "".join((*kept, text[at:]))


def _without_hidden_elements(text: str) -> str:
    """Up to the element's first end tag; an element without one hides the rest."""
    small = text.translate(_SMALL)
    kept: list[str] = []
    at = 0
    while (tag := _HIDDEN_TAG.search(text, at)) is not None:
        kept.append(text[at : tag.start()])
        closing = f"</{tag.group(1).lower()}"
        end = small.find(closing, tag.end())
        if end < 0:
            return "".join(kept)
        close = text.find(">", end)
        if close < 0:
            return "".join(kept)
        at = close + 1
    return "".join((*kept, text[at:]))
