"""What can go wrong, as a tree of exceptions decoded from `google.rpc.Status` details.

EmafusionError
├── InvalidRequest    a field is wrong; ``field_violations`` name it
├── Refused           the request can't be served as it is: empty plan, refused credentials
├── NotFound          no such decision
├── Overloaded        a limit is reached; ``retry_after_s`` says when to try again
├── DeadlineExceeded  the time given was not enough
├── Cancelled         the server cancelled the call
├── Unavailable       a service, or everything behind it, can't be reached
├── ServiceFault      a fault of the service
└── IncompleteStream  a stream ended without its last event
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs] - its .pyi files lie beside it, unmarked

_DETAILS_KEY: Final = "grpc-status-details-bin"
_DOMAIN: Final = "emafusion"
_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong: the field, condition or limit it is about, and what is wrong with it."""

    subject: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What the status carried besides its message; empty where it carried nothing.

    ``reason`` is one of the contract's ErrorReason names without prefix. ``retry_after_s`` is in seconds.
    """

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_after_s: float | None = None
    field_violations: tuple[Violation, ...] = ()
    precondition_violations: tuple[Violation, ...] = ()
    quota_violations: tuple[Violation, ...] = ()


class EmafusionError(Exception):
    """A call failed. ``code`` is the canonical status code."""

    def __init__(self, message: str, *, code: grpc.StatusCode, details: ErrorDetails | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details or ErrorDetails()

    @property
    def reason(self) -> str:
        """Machine-readable reason; empty when the error did not come from one of the services."""
        return self.details.reason

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the call may be repeated, if the service said so."""
        return self.details.retry_after_s


class InvalidRequest(EmafusionError):
    """INVALID_ARGUMENT or OUT_OF_RANGE: repeating the call does not help."""


class Refused(EmafusionError):
    """FAILED_PRECONDITION, PERMISSION_DENIED or UNAUTHENTICATED: something else must change first."""


class NotFound(EmafusionError):
    """NOT_FOUND."""


class Overloaded(EmafusionError):
    """RESOURCE_EXHAUSTED."""


class DeadlineExceeded(EmafusionError):
    """DEADLINE_EXCEEDED."""


class Cancelled(EmafusionError):
    """CANCELLED, by the server."""


class Unavailable(EmafusionError):
    """UNAVAILABLE."""


class ServiceFault(EmafusionError):
    """INTERNAL, UNKNOWN or any other code."""


class IncompleteStream(EmafusionError):
    """A stream ended without its last event, so its text is not an answer."""

    def __init__(self) -> None:
        super().__init__("the stream ended without its last event", code=grpc.StatusCode.DATA_LOSS)


_CLASSES: Final[Mapping[grpc.StatusCode, type[EmafusionError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Refused,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
}


def decode_error(error: grpc.aio.AioRpcError) -> EmafusionError:
    """The exception of the tree that stands for ``error``."""
    code = error.code()
    return _CLASSES.get(code, ServiceFault)(error.details() or code.name, code=code, details=_decode_details(error))


def _decode_details(error: grpc.aio.AioRpcError) -> ErrorDetails:
    status = _status(error)
    info = _find(status, error_details_pb2.ErrorInfo())
    retry = _find(status, error_details_pb2.RetryInfo())
    bad = _find(status, error_details_pb2.BadRequest())
    condition = _find(status, error_details_pb2.PreconditionFailure())
    quota = _find(status, error_details_pb2.QuotaFailure())
    ours = info is not None and info.domain == _DOMAIN
    return ErrorDetails(
        reason=info.reason if info and ours else "",
        metadata=dict(info.metadata) if info and ours else {},
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if retry else None,
        field_violations=tuple(Violation(v.field, v.description) for v in bad.field_violations) if bad else (),
        precondition_violations=tuple(Violation(v.subject, v.description) for v in condition.violations) if condition else (),
        quota_violations=tuple(Violation(v.subject, v.description) for v in quota.violations) if quota else (),
    )


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _find(status: status_pb2.Status, into: _Detail) -> _Detail | None:
    return next((into for detail in status.details if detail.Unpack(into)), None)
