"""What the configuration says to the cascade, in the domain's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.ceilings import Ceilings, TimeLimits
from cascade_service.domain.events import DeliveryMode
from cascade_service.domain.metering import QuotaRules
from cascade_service.domain.planning import ConfiguredModel
from cascade_service.domain.policy import Policy
from cascade_service.domain.prefix import PrefixRules
from cascade_service.domain.pricing import Price
from cascade_service.domain.quotas import Limits
from cascade_service.domain.request import Caller
from cascade_service.domain.risk import RiskCertificate
from cascade_service.domain.rules import CascadeRules
from cascade_service.domain.value import ValuePolicy
from providers.pricing import to_price
from servicekit.calls import CallState
from servicekit.settings.cascade import ThresholdPolicySettings, ValuePolicySettings
from servicekit.settings.models import ModelSettings
from servicekit.settings.quotas import QuotaSettings
from servicekit.settings.root import Settings

_NANO_PER_USD = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDefaults:
    """What a request gets that does not ask for something else. ``ceilings`` are upper bounds as well."""

    policies: Mapping[str, Policy]
    default_policy: str
    delivery: DeliveryMode
    ceilings: Ceilings
    prefix: PrefixRules
    parts_max: int


def request_defaults(settings: Settings, certificates: Mapping[str, RiskCertificate] | None = None) -> RequestDefaults:
    """The defaults of requests. ``certificates`` has those of policies with a bound on risk, by name of the policy.

    Raises ``ValueError`` for such a policy that has neither a certificate nor a fallback.
    """
    cascade, certified = settings.cascade, certificates or {}
    return RequestDefaults(
        policies={policy.name: _policy(policy, certified.get(policy.name), settings) for policy in cascade.policies},
        default_policy=cascade.default_policy,
        delivery=DeliveryMode(cascade.default_delivery),
        ceilings=Ceilings(
            cost_max_nano_usd=cascade.ceilings.cost_max_nano_usd,
            attempts_max=cascade.ceilings.attempts_max,
            output_tokens_max=cascade.ceilings.output_tokens_max,
        ),
        prefix=PrefixRules(
            hold_tokens=cascade.prefix.hold_tokens,
            checkpoint_tokens=cascade.prefix.checkpoint_tokens,
            judge_timeout_s=cascade.prefix.judge_timeout_ms / 1e3,
        ),
        parts_max=cascade.decomposition.parts_max,
    )


def cascade_rules(settings: Settings) -> CascadeRules:
    """The operator's rules."""
    cascade = settings.cascade
    return CascadeRules(
        times=TimeLimits(
            attempt_s=cascade.attempt_timeout_ms / 1e3,
            attempt_min_s=cascade.attempt_time_min_ms / 1e3,
            margin_s=cascade.deadline_margin_ms / 1e3,
        ),
        router_timeout_s=cascade.router_timeout_ms / 1e3,
        judge_timeout_s=cascade.judge_timeout_ms / 1e3,
        static_plan=cascade.when_router_down.models,
        refuse_unjudged=cascade.when_judge_down == "fail",
        answer_chars_max=settings.limits.candidate_chars_max,
        cheap_judges=tuple(judge.name for judge in settings.judge.judges if judge.kind != "llm"),
    )


def _policy(settings: ThresholdPolicySettings | ValuePolicySettings, certificate: RiskCertificate | None, whole: Settings) -> Policy:
    threshold = _threshold(settings, certificate)
    allowed = settings.name in whole.cascade.uncalibrated_policies
    match settings:
        case ThresholdPolicySettings():
            return ThresholdPolicy(
                name=settings.name,
                threshold=threshold,
                disagreement_max=settings.disagreement_max,
                prefix_threshold=settings.prefix_threshold,
                prefix_hopeless_below=settings.prefix_hopeless_below,
                certificate=certificate,
                uncalibrated_allowed=allowed,
            )
        case ValuePolicySettings():
            return ValuePolicy(
                name=settings.name,
                answer_worth_nano_usd=round(settings.answer_worth_usd * _NANO_PER_USD),
                threshold=threshold,
                prefix_threshold=settings.prefix_threshold,
                prefix_hopeless_below=settings.prefix_hopeless_below,
                certificate=certificate,
                uncalibrated_allowed=allowed,
            )


def quota_rules(settings: Settings) -> QuotaRules:
    """What callers may use."""
    limits = settings.cascade.caller_limits
    return QuotaRules(
        every_key=_limits(limits.every_key),
        keyless=_limits(limits.keyless),
        service=_limits(limits.service),
        output_tokens_held=limits.output_tokens_held,
        refuse_uncounted=limits.when_store_down == "refuse",
    )


def caller_of(call: CallState | None) -> Caller:
    """Who makes a call."""
    if call is None:
        return Caller()
    return Caller(key_id=call.key_id, limits=None if call.quota is None else _limits(call.quota))


def _limits(quota: QuotaSettings) -> Limits:
    return Limits(**quota.model_dump())


def _threshold(settings: ThresholdPolicySettings | ValuePolicySettings, certificate: RiskCertificate | None) -> float:
    if settings.risk is None:
        return settings.threshold
    if certificate is not None:
        return certificate.threshold
    if settings.risk.fallback_threshold is None:
        raise ValueError(f"the policy `{settings.name}` has neither a certificate nor a fallback")
    return settings.risk.fallback_threshold


def catalogue(settings: Settings, availability: Mapping[str, str]) -> dict[str, ConfiguredModel]:
    """All configured models by name. ``availability`` maps names to why a model is disabled, empty for a usable one."""
    return {model.name: _configured(model, availability.get(model.name, "")) for model in settings.models}


def _configured(model: ModelSettings, disabled_reason: str) -> ConfiguredModel:
    price = to_price(model.price)
    return ConfiguredModel(
        name=model.name,
        provider=model.provider,
        price=Price(
            input_nano_usd_per_mtok=price.input_nano_usd_per_mtok,
            output_nano_usd_per_mtok=price.output_nano_usd_per_mtok,
            cached_input_nano_usd_per_mtok=price.cached_input_nano_usd_per_mtok,
        ),
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        capabilities=frozenset(model.capabilities),
        disabled_reason=disabled_reason,
    )
