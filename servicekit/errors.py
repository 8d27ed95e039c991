"""Errors that every service has, and the table that maps what a service raises to what its callers see.

Servicers simply raise. The errors interceptor asks the service's `ErrorTable` how to show it; what the table does not know is
logged in full and shown as INTERNAL without a cause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NoReturn

import grpc

from servicekit.rich_status import (
    DETAILS_KEY,
    FieldViolation,
    PreconditionViolation,
    QuotaViolation,
    RemoteStatus,
    StatusSpec,
    build_status,
    read_status,
)

__all__ = [
    "AccessRefused",
    "ErrorRow",
    "ErrorTable",
    "FieldViolation",
    "InvalidField",
    "InvalidFields",
    "Overloaded",
    "PreconditionViolation",
    "QuotaViolation",
    "Reason",
    "RemoteStatus",
    "ShuttingDown",
    "StatusSpec",
    "UnknownMethod",
    "abort",
    "read_status",
]


class Reason(StrEnum):
    """Machine-readable reasons; the names of the contract's ErrorReason without prefix."""

    INVALID_FIELD = "INVALID_FIELD"
    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    UNKNOWN_JUDGE = "UNKNOWN_JUDGE"
    UNKNOWN_POLICY = "UNKNOWN_POLICY"
    EMPTY_PLAN = "EMPTY_PLAN"
    OVERLOADED = "OVERLOADED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    ROUTER_UNAVAILABLE = "ROUTER_UNAVAILABLE"
    JUDGE_UNAVAILABLE = "JUDGE_UNAVAILABLE"
    ALL_ATTEMPTS_FAILED = "ALL_ATTEMPTS_FAILED"
    DECISION_NOT_FOUND = "DECISION_NOT_FOUND"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    PROVIDER_AUTHENTICATION = "PROVIDER_AUTHENTICATION"
    PROVIDER_REJECTED = "PROVIDER_REJECTED"
    CONTENT_POLICY = "CONTENT_POLICY"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INTERNAL = "INTERNAL"
    CANCELLED = "CANCELLED"
    CEILING_TOO_LOW = "CEILING_TOO_LOW"
    CALLER_NOT_ALLOWED = "CALLER_NOT_ALLOWED"
    API_KEY_MISSING = "API_KEY_MISSING"
    API_KEY_UNKNOWN = "API_KEY_UNKNOWN"
    API_KEY_EXPIRED = "API_KEY_EXPIRED"
    SCOPE_MISSING = "SCOPE_MISSING"
    METHOD_UNKNOWN = "METHOD_UNKNOWN"
    RATE_LIMITED = "RATE_LIMITED"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    POLICY_NOT_CALIBRATED = "POLICY_NOT_CALIBRATED"


class InvalidFields(Exception):
    """One or more fields of a request are wrong. ``problems`` has one entry per field at fault."""

    def __init__(self, problems: Sequence[InvalidField]) -> None:
        if not problems:
            raise ValueError("InvalidFields needs at least one problem")
        self.problems: tuple[InvalidField, ...] = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class InvalidField(Exception):
    """A field of a request is wrong.

    ``field`` is its path, such as `messages[0].content`; ``shown`` describes the value without quoting a prompt; ``allowed`` says what
    would be right. ``reason`` is more specific than INVALID_FIELD for a name that is not configured.
    """

    def __init__(self, field: str, shown: object, allowed: str, *, reason: Reason = Reason.INVALID_FIELD) -> None:
        self.field = field
        self.shown = str(shown)
        self.allowed = allowed
        self.reason = reason
        super().__init__(f"`{field}` is {self.shown}; allowed: {allowed}")

    @property
    def violation(self) -> FieldViolation:
        """The entry of the BadRequest detail."""
        return FieldViolation(self.field, f"is {self.shown}; allowed: {self.allowed}")


class Overloaded(Exception):
    """A limit on work in flight or in the queue is reached; ``retry_after_s`` says when to come again, in seconds."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class ShuttingDown(Exception):
    """The server is draining; ``retry_after_s`` says when to come again, in seconds."""

    def __init__(self, message: str = "the server is shutting down", *, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class UnknownMethod(Exception):
    """The server does not have the method that was called."""

    def __init__(self) -> None:
        super().__init__("the server has no such method")


class AccessRefused(Exception):
    """The caller may not make this call. ``status`` says why, in the contract's words; no text contains a key."""

    def __init__(self, message: str, status: StatusSpec) -> None:
        self.status = status
        super().__init__(message)


ErrorRow = StatusSpec | Callable[[Any], StatusSpec]
"""How one type of exception is shown: always alike, or by a function of the exception."""

INTERNAL: Final = StatusSpec(grpc.StatusCode.INTERNAL, Reason.INTERNAL)
INTERNAL_MESSAGE: Final = "a fault of the service; its log has the cause under the same trace id"
_DEADLINE_MESSAGE: Final = "the deadline passed before there was an answer"


def _invalid_field(error: InvalidField) -> StatusSpec:
    return StatusSpec(grpc.StatusCode.INVALID_ARGUMENT, error.reason, field_violations=(error.violation,))


def _invalid_fields(error: InvalidFields) -> StatusSpec:
    violations = tuple(problem.violation for problem in error.problems)
    return StatusSpec(grpc.StatusCode.INVALID_ARGUMENT, error.problems[0].reason, field_violations=violations)


def _overloaded(error: Overloaded) -> StatusSpec:
    return StatusSpec(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVERLOADED, retry_after_s=error.retry_after_s)


def _shutting_down(error: ShuttingDown) -> StatusSpec:
    return StatusSpec(grpc.StatusCode.UNAVAILABLE, Reason.SHUTTING_DOWN, retry_after_s=error.retry_after_s)


def _access_refused(error: AccessRefused) -> StatusSpec:
    return error.status


_DEFAULT_ROWS: Final[Mapping[type[BaseException], ErrorRow]] = {
    InvalidField: _invalid_field,
    InvalidFields: _invalid_fields,
    Overloaded: _overloaded,
    ShuttingDown: _shutting_down,
    AccessRefused: _access_refused,
    UnknownMethod: StatusSpec(grpc.StatusCode.UNIMPLEMENTED, Reason.METHOD_UNKNOWN),
    TimeoutError: StatusSpec(grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED),
    asyncio.CancelledError: StatusSpec(grpc.StatusCode.CANCELLED, Reason.CANCELLED),
}


class ErrorTable:
    """What a service's exceptions look like to its callers. Rows for `servicekit.errors`, timeouts and cancellation are built in.

    The row of the most specific class of an exception decides. The exception's text becomes the status message, so it must be fit for
    callers: never prompts, keys or answers.
    """

    def __init__(self, rows: Mapping[type[BaseException], ErrorRow] | None = None) -> None:
        self._rows: dict[type[BaseException], ErrorRow] = {**_DEFAULT_ROWS, **(rows or {})}

    def knows(self, error: BaseException) -> bool:
        """False when the error is none of ours and must be logged in full."""
        return self._row(_unwrapped(error)) is not None

    def describe(self, error: BaseException) -> tuple[StatusSpec, str]:
        """The status and its message; INTERNAL without a cause for an error that has no row."""
        error = _unwrapped(error)
        row = self._row(error)
        if row is None:
            return INTERNAL, INTERNAL_MESSAGE
        spec = row if isinstance(row, StatusSpec) else row(error)
        return spec, _message(error, spec)

    def _row(self, error: BaseException) -> ErrorRow | None:
        return next((self._rows[kind] for kind in type(error).__mro__ if kind in self._rows), None)


def _unwrapped(error: BaseException) -> BaseException:
    """The only error of a task group's group; anything else as it is."""
    match error:
        case BaseExceptionGroup(exceptions=(only,)):
            return _unwrapped(only)
        case _:
            return error


def _message(error: BaseException, spec: StatusSpec) -> str:
    if text := str(error):
        return text
    return _DEADLINE_MESSAGE if spec.code is grpc.StatusCode.DEADLINE_EXCEEDED else str(spec.reason)


async def abort(context: grpc.aio.ServicerContext[Any, Any], spec: StatusSpec, message: str) -> NoReturn:
    """Ends the call with the rich status. Raises what gRPC raises to end a call; only interceptors call it."""
    status = build_status(spec, message)
    await context.abort(spec.code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
    raise AssertionError("abort always raises")  # for the type of a grpc that is not typed as never returning
