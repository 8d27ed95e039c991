"""Models that requests can be routed to, and how they are called."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from servicekit.settings.base import Name, PositiveMs, Probability, SecretRef, Section

ProviderKind = Literal["openai_compatible", "anthropic", "gemini", "recorded"]
Capability = Literal["logprobs", "json_schema", "seed", "prefill"]


class PriceSettings(Section):
    """List prices in USD per million tokens."""

    input_usd_per_mtok: float = Field(default=0.0, ge=0.0, le=100_000.0, allow_inf_nan=False)
    """Price of one million input tokens in USD."""
    output_usd_per_mtok: float = Field(default=0.0, ge=0.0, le=100_000.0, allow_inf_nan=False)
    """Price of one million output tokens in USD."""
    cached_input_usd_per_mtok: float | None = Field(default=None, ge=0.0, le=100_000.0, allow_inf_nan=False)
    """Price of one million cached input tokens in USD. Default: the input price."""


class RetrySettings(Section):
    """Retries of one attempt at the same model; never after the first chunk."""

    attempts_max: int = Field(default=3, ge=1, le=5)
    """Most calls for one attempt, the first included."""
    backoff_initial_ms: PositiveMs = 200
    """Wait before the first retry in milliseconds; doubles with each retry, with jitter."""
    backoff_max_ms: PositiveMs = 5_000
    """Longest wait between two calls in milliseconds. A longer Retry-After gives the attempt up instead."""


class BreakerSettings(Section):
    """Circuit breaker of each endpoint of a model."""

    failures_to_open: int = Field(default=5, ge=1, le=1_000)
    """Failures in a row after which calls are kept away."""
    open_ms: PositiveMs = 10_000
    """How long calls are kept away, in milliseconds, before one call probes the endpoint."""


class HedgeSettings(Section):
    """A second call beside a slow one, at another endpoint of the same model; the first to answer wins, the other is cancelled.

    Only where both calls, at their dearest, fit under the ceilings of the request.
    """

    after_ms: PositiveMs | None = None
    """Wait for a first chunk, in milliseconds, before the second call. Default: `quantile` of the latest 256 times to a first chunk."""
    quantile: float = Field(default=0.95, ge=0.5, lt=1.0, allow_inf_nan=False)
    """Which quantile of those times is waited for."""
    samples_min: int = Field(default=20, ge=1, le=256)
    """Times that must be known before their quantile counts; until then `initial_ms` does."""
    initial_ms: PositiveMs = 5_000
    """Wait in milliseconds as long as too few times are known."""
    floor_ms: PositiveMs = 100
    """Shortest wait in milliseconds, whatever the quantile is."""
    share_max: Probability = 0.05
    """Greatest share of the requests to this model that get a second call."""


class ModelLimits(Section):
    """Limits on the calls to one endpoint of a model."""

    concurrency_max: int = Field(default=8, ge=1, le=10_000)
    """Most calls in flight."""
    queue_max: int = Field(default=64, ge=0, le=100_000)
    """Most calls that wait for a slot; beyond it a call is refused at once."""
    queue_wait_max_ms: PositiveMs = 10_000
    """Longest wait for a slot in milliseconds."""
    connect_timeout_ms: PositiveMs = 5_000
    """Longest time to connect in milliseconds."""
    first_chunk_timeout_ms: PositiveMs = 60_000
    """Longest wait for the first chunk in milliseconds."""
    idle_timeout_ms: PositiveMs = 30_000
    """Longest wait between two chunks in milliseconds."""
    total_timeout_ms: PositiveMs = 300_000
    """Longest duration of one call in milliseconds."""


class LocalModelSettings(Section):
    """A model that `emafusion up` serves on this machine."""

    weights: Name
    """Name of the weights, as `emafusion models list` shows it."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads of the inference process. They busy-wait, so more than one pays only where cores are free."""
    context_tokens: int = Field(default=4096, ge=256, le=1_048_576)
    """Context window that is allotted, in tokens."""
    slots: int = Field(default=2, ge=1, le=64)
    """Requests that are served side by side; they share the context window."""


class ModelSettings(Section):
    """One language model."""

    name: Name
    """Unique name under which requests, plans and records know the model."""
    provider: ProviderKind
    """Which API the endpoint speaks: `openai_compatible` (OpenAI, vLLM, Ollama, llama.cpp, …), `anthropic`, `gemini`, or
    `recorded` (replays answers from a Parquet file)."""
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Base URL up to and including the version, such as `https://host/v1`. Default: the provider's public endpoint; required
    for `openai_compatible`."""
    replicas: tuple[Annotated[str, Field(pattern=r"^https?://[^\s]+$")], ...] = Field(default=(), max_length=8)
    """Base URLs of further endpoints of the same model, with the same key. Calls take turns; an endpoint that keeps failing is left
    out. Default: none."""
    hedge: HedgeSettings | None = None
    """Second calls beside slow ones; needs `replicas`. Default: none."""
    upstream_model: str | None = Field(default=None, min_length=1, max_length=256)
    """Name of the model at the provider. Default: `name`."""
    api_key: SecretRef | None = None
    """Where the key is kept. Default: no key is sent."""
    when_key_missing: Literal["fail", "disable"] = "fail"
    """What to do at start when `api_key` names a variable or file that does not exist: fail, or go on without the model."""
    enabled: bool = True
    """False keeps the model in the file but out of every plan."""
    price: PriceSettings = PriceSettings()
    """List prices."""
    context_tokens: int = Field(default=8_192, ge=256, le=10_000_000)
    """Context window in tokens, input and output together."""
    max_output_tokens: int = Field(default=1_024, ge=1, le=65_536)
    """Default and upper bound of the tokens of one answer."""
    capabilities: frozenset[Capability] = frozenset()
    """What the endpoint can do beyond plain chat. `prefill`: it continues a conversation whose last turn is the assistant's and answers
    with the continuation alone, as Anthropic's models up to 4.5 and vLLM (`continue_final_message`) do."""
    reasoning: bool = False
    """True for a model that thinks before it answers. The learned router goes by it as long as the model was never measured."""
    extra_body: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further fields for the body of each request to an `openai_compatible` endpoint."""
    recording: str | None = None
    """Path of the Parquet file with recorded answers; only and always with provider `recorded`."""
    recorded_tokens_per_second: float = Field(default=0.0, ge=0.0, le=1e6, allow_inf_nan=False)
    """Pace of a replay in tokens per second; 0 replays without delay."""
    local: LocalModelSettings | None = None
    """Set for a model that `emafusion up` serves on this machine; `endpoint` says where."""
    limits: ModelLimits = ModelLimits()
    """Limits on the calls to each endpoint of this model."""
    retry: RetrySettings = RetrySettings()
    """Retries of one attempt."""
    breaker: BreakerSettings = BreakerSettings()
    """Circuit breaker."""

    @model_validator(mode="after")
    def _fits_provider(self) -> ModelSettings:
        if self.provider == "openai_compatible" and self.endpoint is None:
            raise ValueError("`endpoint` is required with provider `openai_compatible`")
        if (self.provider == "recorded") != (self.recording is not None):
            raise ValueError("`recording` is required with provider `recorded` and allowed with no other")
        if self.provider == "recorded" and "prefill" in self.capabilities:
            raise ValueError("`prefill` is impossible with provider `recorded`, which replays whole answers")
        if self.provider == "recorded" and self.replicas:
            raise ValueError("`replicas` are impossible with provider `recorded`, which has no endpoint")
        if len({self.endpoint, *self.replicas}) <= len(self.replicas):
            raise ValueError("`replicas`: endpoints must differ from each other and from `endpoint`")
        if self.hedge is not None and not self.replicas:
            raise ValueError("`hedge` needs `replicas`: a second call goes to another endpoint")
        if self.local is not None and self.provider != "openai_compatible":
            raise ValueError("`local` is allowed with provider `openai_compatible` only")
        return self

    @property
    def upstream_name(self) -> str:
        """Name of the model at the provider."""
        return self.upstream_model or self.name
