"""What can go wrong in the cascade.

CascadeError                    ends the request; ``reason`` is the contract's ErrorReason without its prefix
├── RouterUnavailable           and no static plan is configured
├── RouterRejected              the router says that the request is wrong; carries the router's status
├── EmptyPlan                   the constraints exclude every model
├── PolicyNotCalibrated         the judge's calibration is not the one that the policy is certified for
├── JudgeUnavailable            and the configuration refuses unjudged answers
├── AllAttemptsFailed           nobody answered
│   └── DeadlinePassed          because the caller's deadline left no more time
├── CeilingTooLow               not even one attempt may start
├── ProviderRefusal             an error that no other model can mend
│   ├── ProviderAuthentication
│   ├── ProviderRejected
│   └── PromptForbidden
├── StoreUnavailable            the decision could not be recorded, or use not be counted
├── LimitReached                a caller's limit or budget; in ``quotas``
└── DecisionNotFound

ModelFailed                     a port's error: one attempt failed
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar

from cascade_service.domain.events import Ceiling
from cascade_service.domain.plan import ExcludedModel


class CascadeError(Exception):
    """The request can't be answered. The text is fit for callers: it never contains prompts, answers or keys."""

    reason: str = "INTERNAL"


class RouterUnavailable(CascadeError):
    """The router did not answer: down, too slow, overloaded or broken."""

    reason = "ROUTER_UNAVAILABLE"


class RouterRejected(CascadeError):
    """The router says that the request itself is wrong. ``status`` is its answer as the transport understands it."""

    def __init__(self, message: str, *, reason: str, status: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class EmptyPlan(CascadeError):
    """The constraints exclude every model. ``excluded`` says what kept each out."""

    reason = "EMPTY_PLAN"

    def __init__(self, excluded: tuple[ExcludedModel, ...]) -> None:
        super().__init__("no model is left: " + "; ".join(f"{model.model}: {model.cause.value}" for model in excluded))
        self.excluded = excluded


class PolicyNotCalibrated(CascadeError):
    """The verdict was made under ``found``, the policy's threshold was certified for ``certified``; both name calibrations."""

    reason = "POLICY_NOT_CALIBRATED"

    def __init__(self, policy: str, *, certified: str, found: str) -> None:
        super().__init__(
            f"the policy `{policy}` is certified for the calibration `{certified}`, the judge has `{found}`: certify that one with "
            "`python -m training.risk` and restart, or allow the policy under `cascade.uncalibrated_policies`"
        )
        self.policy = policy
        self.certified = certified
        self.found = found


class JudgeUnavailable(CascadeError):
    """There is no verdict: the judge service did not answer, or every judge failed."""

    reason = "JUDGE_UNAVAILABLE"


class AllAttemptsFailed(CascadeError):
    """No attempt produced an answer. ``causes`` is the class of the failure by model."""

    reason = "ALL_ATTEMPTS_FAILED"

    def __init__(self, causes: Mapping[str, str]) -> None:
        super().__init__("every attempt failed: " + ", ".join(f"{model}: {cause}" for model, cause in causes.items()))
        self.causes = dict(causes)


class DeadlinePassed(AllAttemptsFailed):
    """No attempt produced an answer before the caller's deadline."""

    reason = "DEADLINE_EXCEEDED"


class CeilingTooLow(CascadeError):
    """Not even the first attempt may start. ``ceiling`` is the limit in its way; ``retry_after_s`` is set when time alone mends it."""

    reason = "CEILING_TOO_LOW"

    def __init__(self, ceiling: Ceiling, detail: str) -> None:
        super().__init__(f"no attempt can start under the ceiling on {ceiling.value}: {detail}")
        self.ceiling = ceiling
        self.detail = detail
        self.retry_after_s: float | None = None
        if ceiling is Ceiling.BUDGET:
            self.reason = "BUDGET_EXHAUSTED"


class ProviderRefusal(CascadeError):
    """A provider's error that no other model can mend, so none is tried."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"{message} (model `{model}`)")
        self.model = model


class ProviderAuthentication(ProviderRefusal):
    """A provider refuses the configured credentials."""

    reason = "PROVIDER_AUTHENTICATION"


class ProviderRejected(ProviderRefusal):
    """A provider says that the request itself is wrong."""

    reason = "PROVIDER_REJECTED"


class PromptForbidden(ProviderRefusal):
    """A provider's policy forbids the prompt."""

    reason = "CONTENT_POLICY"


class StoreUnavailable(CascadeError):
    """The decision store did not answer in time or failed."""

    reason = "STORE_UNAVAILABLE"


class DecisionNotFound(CascadeError):
    """No decision is recorded under the id."""

    reason = "DECISION_NOT_FOUND"

    def __init__(self, decision_id: str) -> None:
        super().__init__(f"no decision is recorded under `{decision_id}`")
        self.decision_id = decision_id


class FailureClass(Enum):
    """What the cascade does about a failed attempt."""

    ESCALATE = "escalate"
    TIMEOUT = "timeout"
    AUTHENTICATION = "authentication"
    REJECTED = "rejected"
    CONTENT_POLICY = "content_policy"
    CANCELLED = "cancelled"


class ModelFailed(Exception):
    """One attempt failed.

    ``kind`` is a stable, low-cardinality name for records and metrics; the text is fit for callers. ``failure_class`` says what
    follows from it.
    """

    _REFUSALS: ClassVar[Mapping[FailureClass, type[ProviderRefusal]]] = {
        FailureClass.AUTHENTICATION: ProviderAuthentication,
        FailureClass.REJECTED: ProviderRejected,
        FailureClass.CONTENT_POLICY: PromptForbidden,
    }

    def __init__(self, message: str, *, kind: str, failure_class: FailureClass = FailureClass.ESCALATE) -> None:
        super().__init__(message)
        self.kind = kind
        self.failure_class = failure_class

    def refusal(self, model: str) -> ProviderRefusal | None:
        """The error that ends the request, or ``None`` when another model might do better."""
        refusal = self._REFUSALS.get(self.failure_class)
        return None if refusal is None else refusal(model, str(self))
