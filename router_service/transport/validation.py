"""What a request must look like. Every problem names its field, what was found there, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from emafusion.router.v1 import router_service_pb2

from servicekit.errors import Reason
from servicekit.settings.serving import LimitSettings
from servicekit.validation import check_all, check_count, check_generation, check_known, check_messages, check_number, check_text

_INT64_MAX = 2**63 - 1
_NAMES_MAX = 256
_CAPABILITIES_MAX = 16
_CAPABILITY_CHARS_MAX = 64
_PLAN_MAX = 16
_WORTH_MAX = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRules:
    """What requests are held against: bounds of their content, and the names that are configured."""

    limits: LimitSettings
    models: Collection[str]
    batch_max: int

    def check_route(self, request: router_service_pb2.RouteRequest) -> None:
        """Raises ``InvalidField`` or ``InvalidFields``."""
        check_all(
            lambda: check_messages("messages", request.messages, self.limits),
            lambda: check_generation("params", request.params),
            lambda: self._check_constraints("constraints", request.constraints),
        )

    def check_batch(self, request: router_service_pb2.BatchRouteRequest) -> None:
        """Checks the number of requests, not the requests. Raises ``InvalidField``."""
        check_count("requests", request.requests, low=1, high=self.batch_max)

    def _check_constraints(self, field: str, constraints: router_service_pb2.Constraints) -> None:
        checks: list[Callable[[], None]] = [
            lambda: self._check_names(f"{field}.allow_models", constraints.allow_models),
            lambda: self._check_names(f"{field}.deny_models", constraints.deny_models),
            lambda: _check_capabilities(f"{field}.required_capabilities", constraints.required_capabilities),
            lambda: check_number(f"{field}.attempt_cost_max_nano_usd", constraints.attempt_cost_max_nano_usd, low=0, high=_INT64_MAX),
            lambda: check_number(f"{field}.suitability_min", constraints.suitability_min, low=0.0, high=1.0),
        ]
        if constraints.HasField("models_max"):
            checks.append(lambda: check_number(f"{field}.models_max", constraints.models_max, low=1, high=_PLAN_MAX))
        if constraints.HasField("answer_worth_nano_usd"):
            checks.append(lambda: check_number(f"{field}.answer_worth_nano_usd", constraints.answer_worth_nano_usd, low=1, high=_WORTH_MAX))
        check_all(*checks)

    def _check_names(self, field: str, names: Sequence[str]) -> None:
        check_count(field, names, high=_NAMES_MAX)
        for index, name in enumerate(names):
            check_known(f"{field}[{index}]", name, self.models, reason=Reason.UNKNOWN_MODEL)


def _check_capabilities(field: str, capabilities: Sequence[str]) -> None:
    check_count(field, capabilities, high=_CAPABILITIES_MAX)
    for index, capability in enumerate(capabilities):
        check_text(f"{field}[{index}]", capability, chars_max=_CAPABILITY_CHARS_MAX)
