"""Configuration of the cascade service."""

from __future__ import annotations

from typing import Annotated, Final, Literal, cast

from pydantic import Discriminator, Field, Tag, model_validator

from servicekit.settings.base import Name, PositiveMs, Probability, Section
from servicekit.settings.quotas import CallerLimitSettings

Share = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]


class RiskSettings(Section):
    """A bound on how many accepted answers are wrong, in place of a threshold. It needs a certificate, see [risk](risk.md)."""

    wrong_max: Share
    """Greatest share of wrong answers among the accepted ones."""
    confidence: Share = 0.9
    """Probability that the bound holds."""
    fallback_threshold: Probability | None = None
    """Threshold without any promise, for when there is no certificate. Only for a policy under `cascade.uncalibrated_policies`, which must
    have it."""


class ThresholdPolicySettings(Section):
    """Accepts the first answer that is good enough; asks models in the order of the plan."""

    kind: Literal["threshold"] = "threshold"
    """`threshold`: the calibrated confidence must reach `threshold`. The kind of a policy that names none."""
    name: Name
    """Unique name under which requests choose the policy."""
    threshold: Probability = 0.7
    """Least confidence of an accepted answer."""
    risk: RiskSettings | None = None
    """Instead of `threshold`: the lowest threshold that is certified to keep this bound."""
    disagreement_max: Probability = 1.0
    """Greatest disagreement of the judges on an accepted answer; 1.0 never refuses."""
    prefix_threshold: Probability | None = None
    """Least confidence at which the beginning of an answer becomes final, with `prefix_commit`. Default: the threshold of the request."""
    prefix_hopeless_below: Probability = 0.0
    """Confidence below which the beginning of an answer is hopeless: its attempt is broken off if another can follow. Refusals and
    endless repetition are hopeless at any confidence; 0.0 leaves it at those."""

    @model_validator(mode="after")
    def _one_rule(self) -> ThresholdPolicySettings:
        _threshold_or_risk(self)
        if self.risk is not None and self.disagreement_max < 1.0:
            raise ValueError("`disagreement_max` must not be set with `risk`: it accepts other answers than those that were certified")
        return self


class ValuePolicySettings(Section):
    """Asks the model of greatest expected net gain as long as that is above 0, then gives the answer with the best support."""

    kind: Literal["value"]
    """`value`: another model is asked while the right answers that it is expected to bring are worth more than it costs."""
    name: Name
    """Unique name under which requests choose the policy."""
    answer_worth_usd: float = Field(default=0.05, ge=1e-9, le=1_000_000, allow_inf_nan=False)
    """What a right answer is worth in USD, unless the request says: the dial between cost and accuracy."""
    threshold: Probability = 0.0
    """Least confidence at which the policy stops by itself while another model may be asked; 0.0 leaves it to gain and price."""
    risk: RiskSettings | None = None
    """Instead of `threshold`: the lowest threshold that is certified to keep this bound among the answers at which it stops by itself."""
    prefix_threshold: Probability = 1.0
    """Least confidence at which the beginning of an answer becomes final, with `prefix_commit`. What is final rules out every answer that
    begins otherwise, so the default commits next to nothing before an answer is chosen."""
    prefix_hopeless_below: Probability = 0.0
    """Confidence below which the beginning of an answer is hopeless: its attempt is broken off if another is to follow."""

    @model_validator(mode="after")
    def _one_rule(self) -> ValuePolicySettings:
        _threshold_or_risk(self)
        return self


def _threshold_or_risk(policy: ThresholdPolicySettings | ValuePolicySettings) -> None:
    if policy.risk is not None and "threshold" in policy.model_fields_set:
        raise ValueError("`threshold` and `risk` must not both be set: with `risk` the threshold is the certified one")


_KIND_TAG: Final = "kind="


def _kind_tag(entry: object) -> str:
    """The tag of a policy in the file; one that names no kind is a threshold."""
    kind = cast("dict[str, object]", entry).get("kind", "threshold") if isinstance(entry, dict) else getattr(entry, "kind", "")
    return f"{_KIND_TAG}{kind}"


PolicyEntry = Annotated[
    Annotated[ThresholdPolicySettings, Tag(f"{_KIND_TAG}threshold")] | Annotated[ValuePolicySettings, Tag(f"{_KIND_TAG}value")],
    Discriminator(_kind_tag, custom_error_type="unknown_kind", custom_error_message="`kind` must be `threshold` or `value`"),
]


class CeilingSettings(Section):
    """Hard limits of one request, checked before each attempt."""

    cost_max_nano_usd: int = Field(default=1_000_000_000, ge=0, le=10**15)
    """Most that one request may cost in nano-USD, attempts and judges together."""
    attempts_max: int = Field(default=4, ge=1, le=16)
    """Most attempts."""
    output_tokens_max: int = Field(default=16_384, ge=1, le=1_048_576)
    """Most output tokens over all attempts."""


class PrefixSettings(Section):
    """When beginnings of answers are judged, with `prefix_commit`. Only the judges that ask no model judge them."""

    hold_tokens: int = Field(default=48, ge=1, le=65_536)
    """Tokens that are held back and judged before the first text is shown."""
    checkpoint_tokens: int = Field(default=64, ge=1, le=65_536)
    """Tokens from one checkpoint to the next."""
    judge_timeout_ms: PositiveMs = 2_000
    """Longest wait for the judges on one beginning. The model writes on meanwhile; a beginning without a verdict does not pass."""


class DecompositionSettings(Section):
    """How compound requests are split, where a request asks for it."""

    splitter: Literal["rules", "model"] = "rules"
    """`rules`: by the form of the text (numbered lists, paragraphs that are questions), at once and at no cost. `model`: a language model
    marks the parts; a reply that does not account for the whole request leaves it whole."""
    model: Name | None = None
    """Name of the model that splits, with `splitter: model`."""
    parts_max: int = Field(default=8, ge=2, le=16)
    """Most parts; a request with more is answered whole."""
    parallel_max: int = Field(default=4, ge=1, le=16)
    """Most parts of one request that are answered at a time."""
    timeout_ms: PositiveMs = 10_000
    """Longest wait for the model that splits."""

    @model_validator(mode="after")
    def _model_is_given(self) -> DecompositionSettings:
        if (self.splitter == "model") != (self.model is not None):
            raise ValueError("`model` must be set with `splitter: model`, and only then")
        return self


class StoreSettings(Section):
    """Where decision records are kept."""

    url: str = "sqlite+aiosqlite:///.emafusion/decisions.sqlite3"
    """SQLAlchemy URL: `sqlite+aiosqlite:///PATH` or `postgresql+asyncpg://…`."""
    record_text: bool = False
    """True records prompts and answers; false records their hashes only."""
    write_timeout_ms: PositiveMs = 5_000
    """Longest time for one write in milliseconds."""
    when_down: Literal["refuse", "spool"] = "refuse"
    """`refuse`: no request is answered while its record can't be kept. `spool`: records go to a file and to the store when it is back."""
    spool_directory: str = ".emafusion/spool"
    """Folder of that file, one for each replica; relative to the configuration file."""
    spool_max_mb: int = Field(default=256, ge=1, le=1_048_576)
    """Largest size of that file in MiB; when it is full requests are refused."""


class ReadinessSettings(Section):
    """When the service says SERVING after its start."""

    needs: tuple[Literal["store", "router", "judge"], ...] = ("store",)
    """What must be there. A store that is down does not count while records can be spooled."""
    look_every_ms: PositiveMs = 1_000
    """How often they are looked at."""


class StaticPlanSettings(Section):
    """What to do when the router can't be reached."""

    models: tuple[Name, ...] = Field(default=(), max_length=16)
    """Models to try, in this order. Default: none, the request fails with UNAVAILABLE."""


class CascadeSettings(Section):
    """The cascade service."""

    policies: tuple[PolicyEntry, ...] = Field(default=(ThresholdPolicySettings(name="balanced"),), min_length=1, max_length=64)
    """Acceptance policies."""
    gain_model: str = "value"
    """Folder of the gain model below `artifacts.directory`. Needed by policies of kind `value` only; without it they are an error."""
    risk_certificates: str = "risk"
    """Folder of the certificates below `artifacts.directory`. Needed by policies with `risk` only."""
    uncalibrated_policies: tuple[Name, ...] = Field(default=(), max_length=64)
    """Names of policies with `risk` that may run without a valid certificate, and then without its promise. Each needs a
    `risk.fallback_threshold`, and keeps its certified threshold where it has one."""
    default_policy: Name = "balanced"
    """Policy of a request that names none."""
    default_delivery: Literal["buffered", "speculative", "prefix_commit"] = "buffered"
    """Delivery mode of a request that names none."""
    prefix: PrefixSettings = PrefixSettings()
    """When beginnings of answers are judged, with `prefix_commit`."""
    decomposition: DecompositionSettings = DecompositionSettings()
    """How compound requests are split, where a request asks for it."""
    ceilings: CeilingSettings = CeilingSettings()
    """Defaults of the ceilings, and their upper bounds."""
    attempt_timeout_ms: PositiveMs = 120_000
    """Longest duration of one attempt; shortened to what the deadline leaves."""
    attempt_time_min_ms: PositiveMs = 500
    """No attempt is started with less time than this left on the deadline."""
    deadline_margin_ms: PositiveMs = 100
    """Part of the deadline that is kept back for the answer's way to the caller."""
    router_timeout_ms: PositiveMs = 5_000
    """Longest wait for the router."""
    judge_timeout_ms: PositiveMs = 60_000
    """Longest wait for the judges on one attempt."""
    when_router_down: StaticPlanSettings = StaticPlanSettings()
    """Static plan for when the router can't be reached."""
    when_judge_down: Literal["escalate", "fail"] = "escalate"
    """`escalate`: an attempt without a verdict is not accepted and the next model is asked. `fail`: the request fails with UNAVAILABLE."""
    store: StoreSettings = StoreSettings()
    """Decision records."""
    caller_limits: CallerLimitSettings = CallerLimitSettings()
    """What callers may use."""
    readiness: ReadinessSettings = ReadinessSettings()
    """When the service is ready."""
