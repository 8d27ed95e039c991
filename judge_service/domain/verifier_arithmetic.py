"""Arithmetic in an answer that can be computed again: ``a op b [op c …] = d``.

Bounded: at most ``CLAIMS_MAX`` claims of at most eight terms; any text is accepted and nothing raises.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

CLAIMS_MAX: Final = 64
TOLERANCE: Final = 0.006
"""Relative error that still counts as rounding: answers show two or three significant digits."""

_NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
_SIGN = "[-+*/×÷·^]"
_CLAIM = re.compile(
    rf"(?<![\w.)])(?<!{_SIGN})(?<!{_SIGN} )(-?{_NUMBER}(?: ?[-+*/×÷·] ?{_NUMBER}){{1,7}}) ?[=≈] ?(-?{_NUMBER})(?!\w|\.\d| ?{_SIGN})"
)
_TOKEN = re.compile(rf"{_NUMBER}|[-+*/×÷·]")
_LATEX = (("\\times", "×"), ("\\cdot", "×"), ("\\div", "/"), ("\\approx", "≈"), ("\\,", ""), ("$", ""), ("\\(", ""), ("\\)", ""))
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_FRACTION = re.compile(rf"\\[dt]?frac\{{({_NUMBER})\}}\{{({_NUMBER})\}}")
_SPACES = re.compile(r"[ \t]{1,20}")


@dataclass(frozen=True, slots=True)
class Recomputed:
    """How many claims hold and how many do not."""

    right: int
    wrong: int


def recompute(text: str) -> Recomputed:
    """Computes the claims of ``text`` again."""
    plain = _THOUSANDS.sub("", text)
    plain = _FRACTION.sub(r"\1/\2", plain)
    for written, meant in _LATEX:
        plain = plain.replace(written, meant)
    plain = _SPACES.sub(" ", plain)
    right = wrong = 0
    for number, claim in enumerate(_CLAIM.finditer(plain)):
        if number >= CLAIMS_MAX:
            break
        value = _evaluate(claim.group(1))
        if value is None:
            continue
        if _close(value, claim.group(2)):
            right += 1
        else:
            wrong += 1
    return Recomputed(right, wrong)


def _evaluate(expression: str) -> float | None:
    """Value of a chain of numbers and operators with the usual precedence; None when it has none."""
    sign = -1.0 if expression.startswith("-") else 1.0
    tokens = _TOKEN.findall(expression.removeprefix("-"))
    total = 0.0
    product = sign * float(tokens[0])
    for operator, operand in zip(tokens[1::2], tokens[2::2], strict=False):
        value = float(operand)
        if operator in "*×·":
            product *= value
        elif operator in "/÷":
            if value == 0.0:
                return None
            product /= value
        else:
            total += product
            product = value if operator == "+" else -value
    result = total + product
    return result if math.isfinite(result) else None


def _close(value: float, written: str) -> bool:
    """True when ``written`` is ``value`` as far as its digits go."""
    claimed = float(written)
    decimals = len(written.partition(".")[2])
    return abs(value - claimed) <= max(0.51 * 10.0**-decimals if decimals else 0.0, TOLERANCE * abs(value), 1e-12)
