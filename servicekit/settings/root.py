"""The whole configuration file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import Field, model_validator

from servicekit.settings.base import Section
from servicekit.settings.cascade import CascadeSettings, ValuePolicySettings
from servicekit.settings.judge import JudgeSettings, LlmJudgeSettings
from servicekit.settings.models import ModelSettings
from servicekit.settings.router import RouterSettings
from servicekit.settings.serving import (
    ArtifactSettings,
    LimitSettings,
    LoggingSettings,
    ServerSettings,
    ServicesSettings,
    TelemetrySettings,
)


class Settings(Section):
    """The whole configuration."""

    models: tuple[ModelSettings, ...] = Field(min_length=1, max_length=256)
    """Models that requests can be routed to."""
    router: RouterSettings = RouterSettings()
    """The router service."""
    judge: JudgeSettings = JudgeSettings()
    """The judge service."""
    cascade: CascadeSettings = CascadeSettings()
    """The cascade service."""
    services: ServicesSettings = ServicesSettings()
    """Addresses of the three services."""
    server: ServerSettings = ServerSettings()
    """What every gRPC server does alike."""
    limits: LimitSettings = LimitSettings()
    """Bounds of the content of requests."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """OpenTelemetry."""
    logging: LoggingSettings = LoggingSettings()
    """Logs."""
    artifacts: ArtifactSettings = ArtifactSettings()
    """What training publishes and services load."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        _unique("models", [model.name for model in self.models])
        _unique("judge.judges", [judge.name for judge in self.judge.judges])
        _unique("cascade.policies", [policy.name for policy in self.cascade.policies])
        return self

    @model_validator(mode="after")
    def _references_resolve(self) -> Settings:
        models = {model.name for model in self.models}
        policies = {policy.name for policy in self.cascade.policies}
        _known("cascade.default_policy", self.cascade.default_policy, policies)
        for name in self.cascade.when_router_down.models:
            _known("cascade.when_router_down.models", name, models)
        if (splitting := self.cascade.decomposition.model) is not None:
            _known("cascade.decomposition.model", splitting, models)
        for judge in self.judge.judges:
            if isinstance(judge, LlmJudgeSettings):
                _known(f"judge.judges.{judge.name}.model", judge.model, models)
        if (slow := self.router.taxonomy.slow_classifier) is not None:
            _known("router.taxonomy.slow_classifier.model", slow.model, models)
        return self

    @model_validator(mode="after")
    def _value_policies_can_judge(self) -> Settings:
        names = [policy.name for policy in self.cascade.policies if isinstance(policy, ValuePolicySettings)]
        if not names:
            return self
        if all(isinstance(judge, LlmJudgeSettings) for judge in self.judge.judges):
            raise ValueError(f"`judge.judges` must have one that asks no model: the policy `{names[0]}` judges with those")
        if self.judge.candidates_max < self.cascade.ceilings.attempts_max:
            raise ValueError(
                f"`judge.candidates_max` is {self.judge.candidates_max} and must not be below `cascade.ceilings.attempts_max`, which is "
                f"{self.cascade.ceilings.attempts_max}: the policy `{names[0]}` has all answers judged together"
            )
        return self

    @model_validator(mode="after")
    def _uncalibrated_policies_say_their_threshold(self) -> Settings:
        bounds = {policy.name: policy.risk for policy in self.cascade.policies if policy.risk is not None}
        allowed = self.cascade.uncalibrated_policies
        for name in allowed:
            if name not in bounds:
                raise ValueError(f"`cascade.uncalibrated_policies`: `{name}` is no policy with `risk`; those are: {_listed(bounds)}")
        for name, risk in bounds.items():
            if (risk.fallback_threshold is None) is (name in allowed):
                must = "must be set" if name in allowed else "must not be set"
                where = "is" if name in allowed else "is not"
                raise ValueError(f"`risk.fallback_threshold` of the policy `{name}` {must}: it {where} in `cascade.uncalibrated_policies`")
        return self

    @model_validator(mode="after")
    def _services_reach_each_other(self) -> Settings:
        tls = self.server.tls
        if tls is not None and self.services.tls is None:
            raise ValueError("`services.tls` must be set when `server.tls` is: services answer TLS only, so they must speak it")
        if self.server.auth is not None and self.services.api_key is None:
            raise ValueError("`services.api_key` must be set when `server.auth` is: the services must show each other a key too")
        for name, listen in (("router", self.services.router), ("judge", self.services.judge), ("cascade", self.services.cascade)):
            if listen.allowed_callers and (tls is None or tls.client_roots is None):
                raise ValueError(
                    f"`services.{name}.allowed_callers` needs `server.tls.client_roots`: without it callers show no certificate"
                )
        return self


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _unique(where: str, names: list[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"`{where}`: names must be unique, given twice: {', '.join(twice)}")


def _known(where: str, name: str, names: set[str]) -> None:
    if name not in names:
        raise ValueError(f"`{where}`: `{name}` is not configured; known: {', '.join(sorted(names))}")
