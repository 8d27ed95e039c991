"""What the router's errors look like to callers: as the status of a call, or as one item of a batch."""

from __future__ import annotations

import grpc
from emafusion.common.v1 import error_reason_pb2

from router_service.domain.errors import EmptyPlan, EncoderOverloaded
from servicekit.errors import ErrorTable, PreconditionViolation, Reason, StatusSpec
from servicekit.rich_status import code_number


def error_table() -> ErrorTable:
    """The one table of the service."""
    return ErrorTable({EmptyPlan: _empty_plan, EncoderOverloaded: _encoder_overloaded})


def item_error(error: Exception, table: ErrorTable) -> error_reason_pb2.ItemError:
    """The error as one item of a batch: code, reason, message, field and figures as in the status of a single call."""
    spec, message = table.describe(error)
    return error_reason_pb2.ItemError(
        code=code_number(spec.code),
        reason=f"ERROR_REASON_{spec.reason}",
        message=message,
        field=spec.field_violations[0].field if spec.field_violations else "",
        metadata=dict(spec.metadata),
    )


def _empty_plan(error: EmptyPlan) -> StatusSpec:
    return StatusSpec(
        grpc.StatusCode.FAILED_PRECONDITION,
        Reason.EMPTY_PLAN,
        metadata={exclusion.model: exclusion.cause.value for exclusion in error.excluded},
        precondition_violations=tuple(
            PreconditionViolation(f"CAUSE_{exclusion.cause.name}", exclusion.model, exclusion.detail) for exclusion in error.excluded
        ),
    )


def _encoder_overloaded(error: EncoderOverloaded) -> StatusSpec:
    return StatusSpec(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVERLOADED, retry_after_s=error.retry_after_s)
