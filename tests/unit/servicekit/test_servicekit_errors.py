from __future__ import annotations

import asyncio

import grpc
import pytest
from emafusion.common.v1 import error_reason_pb2
from google.rpc import error_details_pb2  # pyright: ignore[reportMissingTypeStubs] - its .pyi files lie beside it, unmarked

from servicekit.errors import (
    ErrorTable,
    FieldViolation,
    InvalidField,
    InvalidFields,
    Overloaded,
    PreconditionViolation,
    QuotaViolation,
    Reason,
    StatusSpec,
    read_status,
)
from servicekit.rich_status import DETAILS_KEY, build_status


class Broken(Exception):
    pass


class BadlyBroken(Broken):
    pass


def test_reasons_are_those_of_the_contract() -> None:
    contract = {name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()} - {"UNSPECIFIED"}
    assert {reason.value for reason in Reason} == contract


def test_the_most_specific_row_decides() -> None:
    table = ErrorTable(
        {
            Broken: StatusSpec(grpc.StatusCode.UNAVAILABLE, Reason.STORE_UNAVAILABLE),
            BadlyBroken: lambda error: StatusSpec(grpc.StatusCode.ABORTED, Reason.EMPTY_PLAN, metadata={"text": str(error)}),
        }
    )
    assert table.describe(Broken("x"))[0].reason == "STORE_UNAVAILABLE"
    assert table.describe(BadlyBroken("y"))[0].metadata == {"text": "y"}


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidField("f", 1, "2"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (InvalidField("m", "'x'", "a, b", reason=Reason.UNKNOWN_MODEL), grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_MODEL"),
        (InvalidFields([InvalidField("f", 1, "2")]), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (Overloaded("full"), grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (TimeoutError(), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (asyncio.CancelledError(), grpc.StatusCode.CANCELLED, "CANCELLED"),
    ],
)
def test_rows_that_every_service_has(error: BaseException, code: grpc.StatusCode, reason: str) -> None:
    spec, message = ErrorTable().describe(error)
    assert (spec.code, spec.reason) == (code, reason)
    assert message


def test_a_lone_error_of_a_task_group_counts_as_itself() -> None:
    table = ErrorTable()
    assert table.describe(ExceptionGroup("tasks", [Overloaded("full")]))[0].reason == "OVERLOADED"
    assert table.describe(ExceptionGroup("tasks", [Overloaded("full"), KeyError("x")]))[0].reason == "INTERNAL"


def test_an_unknown_error_shows_nothing_of_itself() -> None:
    table = ErrorTable()
    spec, message = table.describe(KeyError("hunter2"))
    assert spec.code is grpc.StatusCode.INTERNAL
    assert "hunter2" not in message
    assert not table.knows(KeyError())
    assert table.knows(TimeoutError())


def call_error(spec: StatusSpec, message: str) -> grpc.aio.AioRpcError:
    status = build_status(spec, message)
    return grpc.aio.AioRpcError(
        spec.code, grpc.aio.Metadata(), grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString())), status.message
    )


FULL = StatusSpec(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.CEILING_TOO_LOW,
    retry_after_s=1.25,
    metadata={"cost_max_nano_usd": "5"},
    field_violations=(FieldViolation("a", "is 1"),),
    precondition_violations=(PreconditionViolation("DENIED", "small", "on the deny list"),),
    quota_violations=(QuotaViolation("cost", "5 < 6"),),
)


def test_every_detail_survives_the_way_to_the_caller() -> None:
    seen = read_status(call_error(FULL, "too low"))
    assert seen.message == "too low"
    for name in ("code", "reason", "retry_after_s", "metadata", "field_violations", "precondition_violations", "quota_violations"):
        assert getattr(seen, name) == getattr(FULL, name), name


def test_there_is_exactly_one_error_info_of_our_domain() -> None:
    details = build_status(FULL, "m").details
    assert [detail.TypeName() for detail in details].count("google.rpc.ErrorInfo") == 1
    info = error_details_pb2.ErrorInfo()
    assert details[0].Unpack(info)
    assert (info.domain, info.reason) == ("emafusion", "CEILING_TOO_LOW")


@pytest.mark.parametrize("letter", ["v", "é", "🎉"])
def test_details_always_fit_into_trailing_metadata(letter: str) -> None:
    huge = StatusSpec(
        grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_FIELD,
        metadata={f"k{n}": letter * 10_000 for n in range(100)},
        field_violations=tuple(FieldViolation("f" * 1_000, letter * 10_000) for _ in range(100)),
        quota_violations=tuple(QuotaViolation("q", letter * 10_000) for _ in range(100)),
    )
    status = build_status(huge, letter * 100_000)
    # What a peer accepts by default; base64 makes 4 bytes of 3, and gRPC's message encoding 3 of 1.
    assert status.ByteSize() * 4 / 3 + len(status.message.encode()) * 3 < 8_192
    seen = read_status(call_error(huge, letter * 100_000))
    assert seen.reason == "INVALID_FIELD"
    assert len(seen.metadata) > 1
    assert len(seen.field_violations) > 1


def test_a_status_of_somebody_else_has_no_reason() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata((DETAILS_KEY, b"\xff")), "gone")
    assert read_status(error).reason == ""
    assert read_status(error).message == "gone"
