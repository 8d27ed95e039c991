"""What the cascade's errors look like to callers. Errors that stand here have texts that are fit for callers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import grpc

from cascade_service.domain.errors import (
    AllAttemptsFailed,
    CeilingTooLow,
    DeadlinePassed,
    DecisionNotFound,
    EmptyPlan,
    JudgeUnavailable,
    PolicyNotCalibrated,
    PromptForbidden,
    ProviderAuthentication,
    ProviderRefusal,
    ProviderRejected,
    RouterRejected,
    RouterUnavailable,
    StoreUnavailable,
)
from cascade_service.domain.quotas import LimitReached
from servicekit.errors import ErrorTable, FieldViolation, PreconditionViolation, QuotaViolation, RemoteStatus, StatusSpec

_RETRY_AFTER_S = 1.0


def error_table() -> ErrorTable:
    """The one table of the service."""
    return ErrorTable(
        {
            RouterUnavailable: _unavailable(RouterUnavailable.reason),
            RouterRejected: _router_rejected,
            EmptyPlan: _empty_plan,
            PolicyNotCalibrated: _not_calibrated,
            JudgeUnavailable: _unavailable(JudgeUnavailable.reason),
            AllAttemptsFailed: _all_attempts_failed,
            DeadlinePassed: lambda error: StatusSpec(grpc.StatusCode.DEADLINE_EXCEEDED, error.reason, metadata=error.causes),
            CeilingTooLow: _ceiling_too_low,
            ProviderAuthentication: _refusal(grpc.StatusCode.FAILED_PRECONDITION),
            ProviderRejected: _refusal(grpc.StatusCode.INVALID_ARGUMENT),
            PromptForbidden: _refusal(grpc.StatusCode.INVALID_ARGUMENT),
            LimitReached: _limit_reached,
            StoreUnavailable: _unavailable(StoreUnavailable.reason),
            DecisionNotFound: lambda error: StatusSpec(
                grpc.StatusCode.NOT_FOUND, error.reason, metadata={"decision_id": error.decision_id}
            ),
        }
    )


def under_field(rejected: RouterRejected, field: str) -> RouterRejected:
    """The router's rejection with its field paths as a caller sees them whose request nests ours in ``field``."""
    status = rejected.status
    if not isinstance(status, RemoteStatus):
        return rejected
    moved = tuple(FieldViolation(f"{field}.{violation.field}", violation.description) for violation in status.field_violations)
    return RouterRejected(str(rejected), reason=rejected.reason, status=replace(status, field_violations=moved))


def _unavailable(reason: str) -> StatusSpec:
    return StatusSpec(grpc.StatusCode.UNAVAILABLE, reason, retry_after_s=_RETRY_AFTER_S)


def _router_rejected(error: RouterRejected) -> StatusSpec:
    status = error.status
    if not isinstance(status, RemoteStatus):
        return StatusSpec(grpc.StatusCode.INVALID_ARGUMENT, error.reason)
    return StatusSpec(
        status.code,
        error.reason,
        retry_after_s=status.retry_after_s,
        metadata=status.metadata,
        field_violations=status.field_violations,
        precondition_violations=status.precondition_violations,
        quota_violations=status.quota_violations,
    )


def _empty_plan(error: EmptyPlan) -> StatusSpec:
    return StatusSpec(
        grpc.StatusCode.FAILED_PRECONDITION,
        error.reason,
        metadata={model.model: model.cause.value for model in error.excluded},
        precondition_violations=tuple(
            PreconditionViolation(f"CAUSE_{model.cause.name}", model.model, model.detail) for model in error.excluded
        ),
    )


def _not_calibrated(error: PolicyNotCalibrated) -> StatusSpec:
    return StatusSpec(
        grpc.StatusCode.FAILED_PRECONDITION,
        error.reason,
        metadata={"policy": error.policy, "certified_calibration": error.certified, "calibration": error.found},
    )


def _all_attempts_failed(error: AllAttemptsFailed) -> StatusSpec:
    return StatusSpec(grpc.StatusCode.UNAVAILABLE, error.reason, retry_after_s=_RETRY_AFTER_S, metadata=error.causes)


def _ceiling_too_low(error: CeilingTooLow) -> StatusSpec:
    return StatusSpec(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        error.reason,
        retry_after_s=error.retry_after_s,
        metadata={"ceiling": error.ceiling.value},
        quota_violations=(QuotaViolation(error.ceiling.value, error.detail),),
    )


def _limit_reached(error: LimitReached) -> StatusSpec:
    exceeded = error.exceeded
    return StatusSpec(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        error.reason,
        retry_after_s=exceeded.retry_after_s,
        metadata={
            "scope": exceeded.scope,
            "limit": exceeded.limit.value,
            "limit_value": str(exceeded.value),
            "used": str(exceeded.used),
        },
        quota_violations=(QuotaViolation(f"{exceeded.scope}/{exceeded.limit.value}", f"{exceeded.used} of {exceeded.value} are used"),),
    )


def _refusal(code: grpc.StatusCode) -> Callable[[ProviderRefusal], StatusSpec]:
    def describe(error: ProviderRefusal) -> StatusSpec:
        return StatusSpec(code, error.reason, metadata={"model": error.model})

    return describe
