"""What a request must look like. Every problem names its field, what was found there, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from emafusion.cascade.v1 import cascade_service_pb2, event_pb2
from emafusion.common.v1 import chat_pb2
from emafusion.router.v1 import router_service_pb2

from cascade_service.domain.events import PolicyKind
from servicekit.errors import InvalidField, Reason
from servicekit.json_schemas import check_json_schema
from servicekit.settings.serving import LimitSettings
from servicekit.validation import check_all, check_count, check_generation, check_known, check_messages, check_number, check_text

_INT64_MAX = 2**63 - 1
_PLAN_MAX = 16
_NAMES_MAX = 256
_CAPABILITIES_MAX = 16
_OUTPUT_TOKENS_MAX = 1_048_576
_PREFIX_TOKENS_MAX = 65_536
_PARTS_MIN, _PARTS_MAX = 2, 16
_ID_CHARS_MAX = 64
_SOURCE_CHARS_MAX = 128
_WORTH_MAX = 10**15

_Check = Callable[[], object]


class _WireEnum(Protocol):
    def values(self) -> Collection[int]: ...
    def keys(self) -> Collection[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRules:
    """What requests are held against: bounds of their content, and the names that are configured.

    ``policies`` maps names to kinds; the threshold of those in ``certified`` is not the caller's to set.
    """

    limits: LimitSettings
    models: Collection[str]
    policies: Mapping[str, PolicyKind]
    default_policy: str
    certified: Collection[str] = ()

    def check_complete(self, request: cascade_service_pb2.CompleteRequest, *, prefix: str = "") -> None:
        """Raises ``InvalidField`` or ``InvalidFields``. ``prefix`` leads to the request, such as ``request.``."""
        check_all(
            lambda: check_messages(f"{prefix}messages", request.messages, self.limits),
            lambda: check_generation(f"{prefix}params", request.params),
            lambda: _check_output(f"{prefix}output", request.output),
            lambda: self._check_constraints(f"{prefix}constraints", request.constraints),
            lambda: _check_ceilings(f"{prefix}ceilings", request.ceilings),
            lambda: self._check_policy(prefix, request),
            lambda: self._check_fixed_plan(f"{prefix}fixed_plan", request.fixed_plan),
            lambda: _check_decompose(f"{prefix}decompose", request.decompose),
        )

    def check_stream_complete(self, request: cascade_service_pb2.StreamCompleteRequest) -> None:
        """Raises ``InvalidField`` or ``InvalidFields``."""
        if not request.HasField("request"):
            raise InvalidField("request", "not set", "a request")
        check_all(
            lambda: self.check_complete(request.request, prefix="request."),
            lambda: _check_enum("delivery", request.delivery, event_pb2.DeliveryMode),
            lambda: _check_prefix("prefix", request.prefix),
        )

    def _check_policy(self, prefix: str, request: cascade_service_pb2.CompleteRequest) -> None:
        if request.policy:
            check_known(f"{prefix}policy", request.policy, self.policies, reason=Reason.UNKNOWN_POLICY)
        name = request.policy or self.default_policy
        if request.HasField("accept_threshold"):
            if name in self.certified:
                raise InvalidField(f"{prefix}accept_threshold", "set", f"not set: the threshold of the policy `{name}` is certified")
            check_number(f"{prefix}accept_threshold", request.accept_threshold, low=0.0, high=1.0)
        if request.HasField("answer_worth_nano_usd"):
            self._check_worth(f"{prefix}answer_worth_nano_usd", request)

    def _check_worth(self, field: str, request: cascade_service_pb2.CompleteRequest) -> None:
        name = request.policy or self.default_policy
        kind = self.policies.get(name)
        if kind is not None and kind is not PolicyKind.VALUE:
            weighing = sorted(policy for policy, kind in self.policies.items() if kind is PolicyKind.VALUE)
            allowed = f"policy: {' or '.join(weighing)}" if weighing else "a policy of kind value, and none is configured"
            raise InvalidField(field, f"set with the policy `{name}` of kind {kind.value}", f"only with {allowed}")
        check_number(field, request.answer_worth_nano_usd, low=1, high=_WORTH_MAX)

    def _check_fixed_plan(self, field: str, names: Sequence[str]) -> None:
        check_count(field, names, high=_PLAN_MAX)
        self._check_models(field, names)
        for index, name in enumerate(names):
            if name in names[:index]:
                raise InvalidField(f"{field}[{index}]", f"`{name}` again", "each model once")

    def _check_constraints(self, field: str, constraints: router_service_pb2.Constraints) -> None:
        check_all(
            lambda: self._check_names(f"{field}.allow_models", constraints.allow_models),
            lambda: self._check_names(f"{field}.deny_models", constraints.deny_models),
            lambda: _check_capabilities(f"{field}.required_capabilities", constraints.required_capabilities),
            lambda: check_number(f"{field}.attempt_cost_max_nano_usd", constraints.attempt_cost_max_nano_usd, low=0, high=_INT64_MAX),
            *_when(
                constraints.HasField("models_max"),
                lambda: check_number(f"{field}.models_max", constraints.models_max, low=1, high=_PLAN_MAX),
            ),
            lambda: check_number(f"{field}.suitability_min", constraints.suitability_min, low=0.0, high=1.0),
            lambda: _check_no_worth(f"{field}.answer_worth_nano_usd", constraints),
        )

    def _check_names(self, field: str, names: Sequence[str]) -> None:
        check_count(field, names, high=_NAMES_MAX)
        self._check_models(field, names)

    def _check_models(self, field: str, names: Sequence[str]) -> None:
        for index, name in enumerate(names):
            check_known(f"{field}[{index}]", name, self.models, reason=Reason.UNKNOWN_MODEL)


def _check_no_worth(field: str, constraints: router_service_pb2.Constraints) -> None:
    if constraints.HasField("answer_worth_nano_usd"):
        raise InvalidField(field, "set", "not set: the request's own `answer_worth_nano_usd` is what the router is told")


def check_feedback(request: cascade_service_pb2.SubmitFeedbackRequest) -> None:
    """Raises ``InvalidField`` or ``InvalidFields``."""
    feedback = request.feedback
    check_all(lambda: check_decision_id(request.decision_id), lambda: _check_opinion("feedback", request))
    check_all(
        *_when(feedback.HasField("rating"), lambda: check_number("feedback.rating", feedback.rating, low=0.0, high=1.0)),
        lambda: check_text("feedback.source", feedback.source, chars_min=0, chars_max=_SOURCE_CHARS_MAX),
    )


def check_decision_id(decision_id: str) -> None:
    """Raises ``InvalidField``."""
    check_text("decision_id", decision_id, chars_max=_ID_CHARS_MAX)


def _check_opinion(field: str, request: cascade_service_pb2.SubmitFeedbackRequest) -> None:
    if not (request.feedback.HasField("correct") or request.feedback.HasField("rating")):
        raise InvalidField(field, "without `correct` and `rating`", "at least one of them")


def _check_ceilings(field: str, ceilings: cascade_service_pb2.Ceilings) -> None:
    check_all(
        lambda: check_number(f"{field}.cost_max_nano_usd", ceilings.cost_max_nano_usd, low=0, high=_INT64_MAX),
        *_when(
            ceilings.HasField("attempts_max"),
            lambda: check_number(f"{field}.attempts_max", ceilings.attempts_max, low=1, high=_PLAN_MAX),
        ),
        *_when(
            ceilings.HasField("output_tokens_max"),
            lambda: check_number(f"{field}.output_tokens_max", ceilings.output_tokens_max, low=1, high=_OUTPUT_TOKENS_MAX),
        ),
    )


def _check_decompose(field: str, decompose: cascade_service_pb2.Decompose) -> None:
    if decompose.HasField("parts_max"):
        check_number(f"{field}.parts_max", decompose.parts_max, low=_PARTS_MIN, high=_PARTS_MAX)


def _check_prefix(field: str, prefix: cascade_service_pb2.PrefixCommit) -> None:
    check_all(
        *_when(
            prefix.HasField("hold_tokens"),
            lambda: check_number(f"{field}.hold_tokens", prefix.hold_tokens, low=1, high=_PREFIX_TOKENS_MAX),
        ),
        *_when(
            prefix.HasField("checkpoint_tokens"),
            lambda: check_number(f"{field}.checkpoint_tokens", prefix.checkpoint_tokens, low=1, high=_PREFIX_TOKENS_MAX),
        ),
    )


def _check_capabilities(field: str, capabilities: Sequence[str]) -> None:
    check_count(field, capabilities, high=_CAPABILITIES_MAX)
    for index, capability in enumerate(capabilities):
        check_text(f"{field}[{index}]", capability, chars_max=_ID_CHARS_MAX)


def _check_output(field: str, output: chat_pb2.OutputContract) -> None:
    _check_enum(f"{field}.kind", output.kind, chat_pb2.OutputContract.Kind)
    if not output.json_schema:
        return
    field = f"{field}.json_schema"
    if output.kind != chat_pb2.OutputContract.KIND_JSON:
        raise InvalidField(field, "set", "empty, or `kind` is KIND_JSON")
    check_json_schema(field, output.json_schema)


def _check_enum(field: str, number: int, wire: _WireEnum) -> None:
    if number not in wire.values():
        raise InvalidField(field, number, ", ".join(wire.keys()))


def _when(condition: object, check: _Check) -> tuple[_Check, ...]:
    return (check,) if condition else ()
