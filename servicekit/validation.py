"""Checks of requests that all services share: conversations, generation parameters, texts, numbers, names.

They read protobuf messages by field names and import no stubs. Each raises `InvalidField` or `InvalidFields` and never quotes a prompt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any, Final, Protocol

from servicekit.errors import InvalidField, InvalidFields, Reason
from servicekit.settings.serving import LimitSettings

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ROLE_USER: Final = 2
_ROLES: Final = frozenset({1, _ROLE_USER, 3})
_ROLE_NAMES: Final = "ROLE_SYSTEM, ROLE_USER or ROLE_ASSISTANT"
_PROBLEMS_MAX: Final = 16
_OUTPUT_TOKENS_MAX: Final = 65_536
_TEMPERATURE_MAX: Final = 2.0
_STOP_MAX: Final = 4
_STOP_CHARS_MAX: Final = 64
_SHOWN_CHARS_MAX: Final = 64


class MessageLike(Protocol):
    """A turn of a conversation, such as `emafusion.common.v1.Message`."""

    @property
    def role(self) -> int:
        """1 system, 2 user, 3 assistant."""
        ...

    @property
    def content(self) -> str:
        """The text."""
        ...


class GenerationLike(Protocol):
    """How an answer is generated, such as `emafusion.common.v1.GenerationParams`."""

    @property
    def max_output_tokens(self) -> int:
        """Upper bound on the tokens of the answer."""
        ...

    @property
    def temperature(self) -> float:
        """Sampling temperature."""
        ...

    @property
    def top_p(self) -> float:
        """Nucleus sampling mass."""
        ...

    @property
    def stop(self) -> Sequence[str]:
        """Strings at which generation stops."""
        ...

    def HasField(self, field_name: Any, /) -> bool:  # noqa: N802, ANN401 - protobuf's name; stubs narrow it to literals
        """True when the field was sent."""
        ...


def check_all(*checks: Callable[[], object]) -> None:
    """Runs every check and raises what they found as one error, so that a caller sees all problems at once."""
    problems: list[InvalidField] = []
    for check in checks:
        try:
            check()
        except InvalidField as problem:
            problems.append(problem)
        except InvalidFields as several:
            problems.extend(several.problems)
    match problems:
        case []:
            return
        case [only]:
            raise only
        case _:
            raise InvalidFields(problems[:_PROBLEMS_MAX])


def check_messages(field: str, messages: Sequence[MessageLike], limits: LimitSettings) -> None:
    """The conversation has 1 to `messages_max` messages within their limits, and the last one is the user's."""
    if not messages:
        raise InvalidField(field, "empty", f"1 to {limits.messages_max:,} messages")
    if len(messages) > limits.messages_max:
        raise InvalidField(field, f"{len(messages):,} messages", f"1 to {limits.messages_max:,} messages")
    check_all(*[_message_check(f"{field}[{index}]", message, limits) for index, message in enumerate(messages)])
    total = sum(len(message.content) for message in messages)
    if total > limits.conversation_chars_max:
        raise InvalidField(field, f"{total:,} characters in all", f"up to {limits.conversation_chars_max:,} characters in all")
    if messages[-1].role != _ROLE_USER:
        raise InvalidField(f"{field}[{len(messages) - 1}].role", "not ROLE_USER", "ROLE_USER for the last message")


def _message_check(field: str, message: MessageLike, limits: LimitSettings) -> Callable[[], None]:
    def check() -> None:
        check_all(
            lambda: _check_role(f"{field}.role", message.role),
            lambda: check_text(f"{field}.content", message.content, chars_max=limits.message_chars_max),
        )

    return check


def _check_role(field: str, role: int) -> None:
    if role not in _ROLES:
        raise InvalidField(field, role or "not set", _ROLE_NAMES)


def check_text(field: str, text: str, *, chars_max: int, chars_min: int = 1) -> None:
    """The text has `chars_min` to `chars_max` characters and no control characters other than tab, line feed, carriage return.

    Those of U+0080 to U+009F pass: text from the wild has them where a dash or a quotation mark was decoded wrongly.
    """
    if len(text) < chars_min:
        raise InvalidField(field, "empty" if not text else f"{len(text):,} characters long", f"{chars_min:,} to {chars_max:,} characters")
    if len(text) > chars_max:
        raise InvalidField(field, f"{len(text):,} characters long", f"{chars_min:,} to {chars_max:,} characters")
    if found := _CONTROL.search(text):
        shown = f"a text with control character U+{ord(found.group()):04X} at position {found.start():,}"
        raise InvalidField(field, shown, "no control characters other than tab, line feed and carriage return")


def check_number(field: str, value: float, *, low: float, high: float, low_open: bool = False) -> None:
    """The number is finite and from `low` (without it when `low_open`) up to `high`."""
    above_low = value > low if low_open else value >= low
    if not (math.isfinite(value) and above_low and value <= high):
        raise InvalidField(field, _plain(value), f"{'above ' if low_open else ''}{_plain(low)} up to {_plain(high)}")


def check_count(field: str, items: Collection[object], *, high: int, low: int = 0) -> None:
    """The list has `low` to `high` entries."""
    if not low <= len(items) <= high:
        raise InvalidField(field, "empty" if not items else f"a list of {len(items):,}", f"{low:,} to {high:,} entries")


def check_known(field: str, name: str, known: Collection[str], *, reason: Reason) -> None:
    """The name is one of `known`; the error suggests the nearest."""
    if name in known:
        return
    near = get_close_matches(name, sorted(known), n=1)
    hint = f" (nearest: {near[0]})" if near else ""
    shown = repr(name if len(name) <= _SHOWN_CHARS_MAX else name[:_SHOWN_CHARS_MAX] + "…")
    raise InvalidField(field, shown, f"{', '.join(sorted(known)[:_PROBLEMS_MAX]) or 'nothing is configured'}{hint}", reason=reason)


def check_generation(field: str, params: GenerationLike) -> None:
    """The fields of the generation parameters that were sent are within the contract's bounds."""

    def bounds(name: str, value: float, *, low: float, high: float, low_open: bool = False) -> Callable[[], None]:
        return lambda: check_number(f"{field}.{name}", value, low=low, high=high, low_open=low_open)

    checks: list[Callable[[], None]] = []
    if params.HasField("max_output_tokens"):
        checks.append(bounds("max_output_tokens", params.max_output_tokens, low=1, high=_OUTPUT_TOKENS_MAX))
    if params.HasField("temperature"):
        checks.append(bounds("temperature", params.temperature, low=0.0, high=_TEMPERATURE_MAX))
    if params.HasField("top_p"):
        checks.append(bounds("top_p", params.top_p, low=0.0, high=1.0, low_open=True))
    check_all(*checks, lambda: _check_stop(f"{field}.stop", params.stop))


def _check_stop(field: str, stop: Sequence[str]) -> None:
    check_count(field, stop, high=_STOP_MAX)
    for index, text in enumerate(stop):
        check_text(f"{field}[{index}]", text, chars_max=_STOP_CHARS_MAX)


def _plain(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
