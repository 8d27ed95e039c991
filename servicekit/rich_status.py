"""`google.rpc.Status` in the trailing metadata of a failed call: built by servers, read by callers.

Every status carries exactly one ErrorInfo, and RetryInfo, BadRequest, PreconditionFailure or QuotaFailure where they fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs] - its .pyi files lie beside it, unmarked

ERROR_DOMAIN: Final = "emafusion"
DETAILS_KEY: Final = "grpc-status-details-bin"

# A peer drops a call whose trailing metadata is above 8 KiB by default. The message travels twice, once with up to three bytes for one,
# and the details grow by a third in base64; so texts are cut and lists end where the room does.
_TEXT_BYTES_MAX: Final = 300
_MESSAGE_BYTES_MAX: Final = 500
_INFO_BYTES_MAX: Final = 2_000
_STATUS_BYTES_MAX: Final = 4_500

_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request that is wrong: its path, such as `messages[0].content`, and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class PreconditionViolation:
    """A condition that did not hold: its kind (`UPPER_SNAKE`), what it is about, and the figures behind it."""

    type: str
    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """A limit that was reached: which one, and the figures behind it."""

    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class StatusSpec:
    """How a failure is shown to the caller.

    ``reason`` is UPPER_SNAKE, one of the contract's ErrorReason names without prefix. ``retry_after_s`` is in seconds; None sends no
    RetryInfo. ``metadata`` holds the figures behind the message, so that nobody has to parse it.
    """

    code: grpc.StatusCode
    reason: str
    retry_after_s: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    field_violations: tuple[FieldViolation, ...] = ()
    precondition_violations: tuple[PreconditionViolation, ...] = ()
    quota_violations: tuple[QuotaViolation, ...] = ()


def build_status(spec: StatusSpec, message: str) -> status_pb2.Status:
    """The status with its details, cut so that the whole fits into trailing metadata. The ErrorInfo is always there."""
    status = status_pb2.Status(code=code_number(spec.code), message=_short(message, _MESSAGE_BYTES_MAX))
    status.details.add().Pack(_error_info(spec))
    if spec.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(max(0, round(spec.retry_after_s * 1e9)))
        status.details.add().Pack(retry)
    bad = error_details_pb2.BadRequest()
    for wrong in spec.field_violations:
        _add(status, bad, bad.field_violations.add, {"field": wrong.field, "description": wrong.description})
    _pack(status, bad)
    failure = error_details_pb2.PreconditionFailure()
    for condition in spec.precondition_violations:
        entry = {"type": condition.type, "subject": condition.subject, "description": condition.description}
        _add(status, failure, failure.violations.add, entry)
    _pack(status, failure)
    quota = error_details_pb2.QuotaFailure()
    for limit in spec.quota_violations:
        _add(status, quota, quota.violations.add, {"subject": limit.subject, "description": limit.description})
    _pack(status, quota)
    return status


def _pack(status: status_pb2.Status, detail: Message) -> None:
    if detail.ByteSize():
        status.details.add().Pack(detail)


def _error_info(spec: StatusSpec) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo(reason=spec.reason, domain=ERROR_DOMAIN)
    for key, value in spec.metadata.items():
        short = _short(value)
        if info.ByteSize() + len(key) + len(short.encode()) > _INFO_BYTES_MAX:
            break
        info.metadata[key] = short
    return info


def _add(status: status_pb2.Status, detail: Message, add: Callable[..., object], entry: Mapping[str, str]) -> None:
    """Adds an entry to a detail that is not packed yet, if there is room for it."""
    short = {name: _short(text) for name, text in entry.items()}
    if status.ByteSize() + detail.ByteSize() + sum(len(text.encode()) for text in short.values()) < _STATUS_BYTES_MAX:
        add(**short)


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """What a failed call says about its failure. ``reason`` is empty when the server is not ours or never answered."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    retry_after_s: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    field_violations: tuple[FieldViolation, ...] = ()
    precondition_violations: tuple[PreconditionViolation, ...] = ()
    quota_violations: tuple[QuotaViolation, ...] = ()


def read_status(error: grpc.aio.AioRpcError) -> RemoteStatus:
    """Everything the failed call carries. Never raises: details that can't be read count as absent."""
    raw = (error.trailing_metadata() or grpc.aio.Metadata()).get(DETAILS_KEY)
    status = status_pb2.Status()
    if isinstance(raw, bytes):
        try:
            status.ParseFromString(raw)
        except DecodeError:
            status = status_pb2.Status()
    info = _unpack(status, error_details_pb2.ErrorInfo())
    retry = _unpack(status, error_details_pb2.RetryInfo())
    bad = _unpack(status, error_details_pb2.BadRequest())
    failure = _unpack(status, error_details_pb2.PreconditionFailure())
    quota = _unpack(status, error_details_pb2.QuotaFailure())
    return RemoteStatus(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason if info and info.domain == ERROR_DOMAIN else "",
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if retry else None,
        metadata=dict(info.metadata) if info else {},
        field_violations=tuple(FieldViolation(v.field, v.description) for v in bad.field_violations) if bad else (),
        precondition_violations=tuple(PreconditionViolation(v.type, v.subject, v.description) for v in failure.violations)
        if failure
        else (),
        quota_violations=tuple(QuotaViolation(v.subject, v.description) for v in quota.violations) if quota else (),
    )


def _unpack(status: status_pb2.Status, into: _Detail) -> _Detail | None:
    return next((into for detail in status.details if detail.Unpack(into)), None)


def code_number(code: grpc.StatusCode) -> int:
    """The canonical number of a status code, 0 to 16."""
    number: int = code.value[0]
    return number


def _short(text: str, bytes_max: int = _TEXT_BYTES_MAX) -> str:
    raw = text.encode()
    return text if len(raw) <= bytes_max else raw[: bytes_max - 3].decode(errors="ignore") + "…"
