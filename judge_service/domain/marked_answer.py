"""The marked answer inside a text: boxed, tagged, or the field `answer` of a JSON object.

Models write JSON that is none: raw LaTeX in strings, text around the object, a missing brace. So the field is searched for, not parsed.
Every function accepts any text and never raises.
"""

from __future__ import annotations

import json
import re
from typing import Final

_BOXED: Final = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_TAGGED: Final = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_FIELD: Final = re.compile(r"[\"'](?:final[_ ]?)?answer[\"']\s*:\s*", re.IGNORECASE)
_STRING: Final = re.compile(r"\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_SINGLE: Final = re.compile(r"'(.*?)'\s*(?:[,}]|\Z)", re.DOTALL)
_REST_OF_LINE: Final = re.compile(r"[^\n}`]*")
_FIELDS_MAX: Final = 50

_SPACING: Final = re.compile(r"\\(?:left|right|displaystyle|[,!; ])|\$|\\\(|\\\)|\\\[|\\\]")
_TEXT: Final = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}")
_AROUND_SYMBOLS: Final = re.compile(r"\s*([-+*/=^<>(),;:\[\]{}|&])\s*")


def marked_answer(text: str) -> str | None:
    """The last marked answer of ``text``, None when nothing is marked."""
    if boxed := _BOXED.findall(text):
        return str(boxed[-1])
    if tagged := _TAGGED.findall(text):
        return str(tagged[-1])
    if "{" not in text:
        return None
    fields = list(_FIELD.finditer(text))[-_FIELDS_MAX:]
    return _value(text[fields[-1].end() :]) if fields else None


def normal_form(text: str) -> str:
    """``text`` without what changes its looks only: mathematical markup, emphasis, repeated spaces, spaces around symbols, a full stop."""
    plain = _TEXT.sub(r"\1", _SPACING.sub("", text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("**", "")))
    plain = " ".join(plain.split()).rstrip(".").strip()
    return _AROUND_SYMBOLS.sub(r"\1", plain)


def _value(text: str) -> str:
    """The value at the start of ``text``: a string with escaped quotes and backslashes resolved, else JSON, else the line."""
    if string := _STRING.match(text):
        return string.group(1).replace('\\"', '"').replace("\\\\", "\\")
    if single := _SINGLE.match(text):
        return single.group(1)
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        rest = _REST_OF_LINE.match(text)
        return rest.group(0).strip().rstrip(",") if rest else ""
    return json.dumps(value)
