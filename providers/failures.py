"""Maps what providers say about failures to ``providers.errors``.

Providers echo prompts, and parts of keys, in their error messages. So the message is looked at, to tell one failure from another,
and never passed on; of the provider's own words only an error code made of letters and underscores is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

from providers.errors import (
    AuthenticationFailed,
    ContentPolicyViolation,
    ContextTooLong,
    MalformedResponse,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    ServerFault,
)

RETRY_AFTER_MAX_S = 86_400.0
"""A longer Retry-After is taken as this many seconds: one day."""

_CODE = re.compile(r"[A-Za-z][A-Za-z_]{1,63}")
_SECONDS = re.compile(r"\d+(\.\d+)?")
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "context_too_long", "request_too_large"})
_CONTEXT_PHRASES = (
    "maximum context length",
    "context length",
    "context window",
    "context limit",
    "context size",
    "prompt is too long",
    "input is too long",
    "input token count",
    "too many tokens",
    "maximum number of tokens",
)
_POLICY_CODES = frozenset({"content_policy_violation", "content_filter", "responsibleaipolicyviolation", "moderation_blocked"})
_STATUS_OF_CODE: Mapping[str, int] = {
    # Anthropic
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # Google
    "invalid_argument": 400,
    "failed_precondition": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "resource_exhausted": 429,
    "internal": 500,
    "unavailable": 503,
    "deadline_exceeded": 504,
    # OpenAI and servers that speak its API
    "invalid_api_key": 401,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "unavailable_error": 503,
}
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: RateLimited,  # out of credit here; another provider may serve
    403: AuthenticationFailed,
    408: ProviderTimeout,
    413: ContextTooLong,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}


def error_from_response(model: str, *, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderError:
    """The error for an HTTP answer that is no success.

    ``headers`` are looked up by lower-case names; ``body`` may be cut off; ``now`` is the time to which a Retry-After date relates.
    """
    retry_after_s = _retry_after(headers, now)
    try:
        payload: object = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    described: object = cast("dict[str, object]", payload).get("error", cast("object", payload)) if isinstance(payload, dict) else None
    return error_from_payload(model, described, status=status, retry_after_s=retry_after_s)


def error_from_payload(
    model: str,
    payload: object,
    *,
    status: int | None = None,
    retry_after_s: float | None = None,
) -> ProviderError:
    """The error for an error object, as it stands in a body or inside a stream.

    Without ``status`` it is taken from the object's own ``code``, ``type`` or ``status``; an object that says nothing is a
    ``ServerFault``, for it was the server's choice to break the answer off.
    """
    codes, message = _codes_and_message(payload)
    if status is None:
        status = _status_in(payload, codes)
    shown = next((code for code in codes if _CODE.fullmatch(code)), "")
    in_stream = "an error in the stream" if status is None else f"HTTP status {status}"
    text = f"{model}: the provider answered with {in_stream}{f' ({shown})' if shown else ''}"
    if retry_after_s is None:
        retry_after_s = _retry_delay(payload)
    lowered = {code.lower() for code in codes}
    kind = _kind_of(status, lowered, message.lower())
    return kind(text, model=model, status_code=status, retry_after_s=retry_after_s)


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Seconds to wait, 0.0 to ``RETRY_AFTER_MAX_S``, from delta-seconds or an HTTP-date (RFC 9110, 10.2.3); None for anything else."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), RETRY_AFTER_MAX_S)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max((when - now).total_seconds(), 0.0), RETRY_AFTER_MAX_S)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    if _SECONDS.fullmatch(milliseconds := headers.get("retry-after-ms", "").strip()):
        return min(float(milliseconds) / 1_000.0, RETRY_AFTER_MAX_S)
    return parse_retry_after(headers.get("retry-after", ""), now)


def _kind_of(status: int | None, codes: set[str], message: str) -> type[ProviderError]:
    if status is None:
        return ServerFault
    if status in {400, 413, 422, 500} and (codes & _CONTEXT_CODES or any(phrase in message for phrase in _CONTEXT_PHRASES)):
        return ContextTooLong  # 500: older llama.cpp servers
    if status in {400, 403, 422} and codes & _POLICY_CODES:
        return ContentPolicyViolation
    by_class = {4: RequestRejected, 5: ServerFault}.get(status // 100, MalformedResponse)
    return _BY_STATUS.get(status, by_class)


def _codes_and_message(payload: object) -> tuple[list[str], str]:
    """The error's names, the most telling first, and its message, for looking at only."""
    if isinstance(payload, str):
        return [], payload
    if not isinstance(payload, dict):
        return [], ""
    fields = cast("dict[str, object]", payload)
    names: list[object] = [fields.get("code"), fields.get("type"), fields.get("status")]
    if isinstance(inner := fields.get("innererror"), dict):
        names.append(cast("dict[str, object]", inner).get("code"))
    message = fields.get("message")
    return [name for name in names if isinstance(name, str)], message if isinstance(message, str) else ""


def _status_in(payload: object, codes: list[str]) -> int | None:
    if isinstance(payload, dict):
        code = cast("dict[str, object]", payload).get("code")
        if isinstance(code, int) and 400 <= code < 600:  # noqa: PLR2004 - an HTTP status
            return code
        if isinstance(code, str) and code.isdecimal() and len(code) == 3:  # noqa: PLR2004 - an HTTP status as text
            return int(code)
    if any(code.lower() in _CONTEXT_CODES | _POLICY_CODES for code in codes):
        return 400
    return next((_STATUS_OF_CODE[code.lower()] for code in codes if code.lower() in _STATUS_OF_CODE), None)


def _retry_delay(payload: object) -> float | None:
    """Google's ``RetryInfo`` detail, such as ``{"retryDelay": "17s"}``."""
    details = cast("dict[str, object]", payload).get("details") if isinstance(payload, dict) else None
    if not isinstance(details, list):
        return None
    for detail in cast("list[object]", details):
        delay = cast("dict[str, object]", detail).get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s") and _SECONDS.fullmatch(delay[:-1]):
            return min(float(delay[:-1]), RETRY_AFTER_MAX_S)
    return None
