"""What the configuration says to the router, in the domain's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from providers.pricing import to_price
from router_service.domain.descriptors import Descriptors
from router_service.domain.models import CandidateModel
from router_service.domain.taxonomy import Axis, ClearRule
from servicekit.settings.models import ModelSettings
from servicekit.settings.root import Settings
from servicekit.settings.router import TaxonomySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintDefaults:
    """What a request gets that states no constraints. ``plan_models_max`` is an upper bound as well."""

    plan_models_max: int
    suitability_min: float


def constraint_defaults(settings: Settings) -> ConstraintDefaults:
    """The defaults of constraints."""
    return ConstraintDefaults(plan_models_max=settings.router.plan_models_max, suitability_min=settings.router.suitability_min)


def clear_rule(settings: TaxonomySettings) -> ClearRule:
    """When a category counts as clear."""
    return ClearRule(tuple(Axis(axis) for axis in settings.clear_axes), settings.clear_probability_min)


def candidate_models(settings: Settings, availability: Mapping[str, str]) -> tuple[CandidateModel, ...]:
    """All configured models in order of name. ``availability`` maps names to why a model is disabled, empty for a usable one."""
    models = sorted(settings.models, key=lambda model: model.name)
    return tuple(_candidate(model, availability.get(model.name, "")) for model in models)


def descriptors(settings: Settings) -> tuple[Descriptors, ...]:
    """The cards of all configured models in order of name. Family and size are read off the name at the provider."""
    return tuple(_descriptors(model) for model in sorted(settings.models, key=lambda model: model.name))


def _descriptors(model: ModelSettings) -> Descriptors:
    return Descriptors(
        name=model.name,
        upstream_name=model.upstream_name,
        input_usd_per_mtok=model.price.input_usd_per_mtok,
        output_usd_per_mtok=model.price.output_usd_per_mtok,
        context_tokens=model.context_tokens,
        reasoning=model.reasoning,
    )


def _candidate(model: ModelSettings, disabled_reason: str) -> CandidateModel:
    price = to_price(model.price)
    return CandidateModel(
        name=model.name,
        provider=model.provider,
        input_nano_usd_per_mtok=price.input_nano_usd_per_mtok,
        output_nano_usd_per_mtok=price.output_nano_usd_per_mtok,
        cached_input_nano_usd_per_mtok=price.cached_input_nano_usd_per_mtok,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        capabilities=frozenset(model.capabilities),
        disabled_reason=disabled_reason,
    )
