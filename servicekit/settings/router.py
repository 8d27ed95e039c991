"""Configuration of the router service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from servicekit.settings.base import Name, PositiveMs, Probability, Section

Axis = Literal["task_type", "domain", "reasoning_complexity", "output_format"]


class BatcherSettings(Section):
    """Micro-batching of the encoder."""

    batch_max: int = Field(default=16, ge=1, le=256)
    """Most texts in one batch."""
    batch_wait_max_ms: int = Field(default=2, ge=0, le=1_000)
    """Longest wait for a batch to fill, in milliseconds."""
    queue_max: int = Field(default=512, ge=1, le=100_000)
    """Most texts that wait; beyond it a request is refused with RESOURCE_EXHAUSTED."""


class EncoderSettings(Section):
    """The sentence encoder."""

    artifact: str = "encoder"
    """Folder of the encoder below `artifacts.directory`."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads of the inference session."""
    tokens_max: int = Field(default=256, ge=16, le=512)
    """Longest text in tokens; the middle of a longer one is left out."""
    batcher: BatcherSettings = BatcherSettings()
    """Micro-batching."""


class SlowClassifierSettings(Section):
    """An LLM that classifies requests, mixed with the fast classifier: p = λ·p_slow + (1−λ)·p_fast."""

    model: Name
    """Name of the model that classifies."""
    weight: Probability = 0.5
    """λ, the weight of the LLM's opinion."""
    axes: tuple[Axis, ...] = ("task_type", "domain")
    """Axes on which the LLM is asked."""
    timeout_ms: PositiveMs = 5_000
    """Longest wait for the LLM; after it the fast classifier decides alone."""


class TaxonomySettings(Section):
    """The taxonomy router."""

    heads: str = "taxonomy"
    """Folder of the classification heads below `artifacts.directory`."""
    suitability: str = "suitability"
    """Folder of the suitability table below `artifacts.directory`."""
    clear_axes: tuple[Axis, ...] = ("domain", "reasoning_complexity")
    """Axes that must be certain for a category to count as clear."""
    clear_probability_min: Probability = 0.5
    """Least probability of the best label for an axis to count as certain."""
    slow_classifier: SlowClassifierSettings | None = None
    """Optional LLM classifier. Default: none."""


class LearnedSettings(Section):
    """The learned router: predicts, for every request, how well each model that it knows will answer."""

    artifact: str = "learned"
    """Folder of the learned router below `artifacts.directory`."""
    weight: Probability = 1.0
    """Weight of the prediction; the rest goes to the suitability of the taxonomy."""
    adapted: str | None = Field(default=None, min_length=1)
    """Path of a file that `python -m training.adapt` wrote: models that the learned router was not trained on, adapted from a few
    labelled answers. Default: none; models that were never measured are predicted from their prices, context, family and size."""


class RouterSettings(Section):
    """The router service."""

    encoder: EncoderSettings = EncoderSettings()
    """The sentence encoder."""
    taxonomy: TaxonomySettings = TaxonomySettings()
    """The taxonomy router."""
    learned: LearnedSettings | None = None
    """Optional learned router. Default: none. A model that only the suitability table knows is weighed by the taxonomy in any case."""
    suitability_min: Probability = 0.0
    """τ: least suitability for a model to be in a plan, unless no model reaches it."""
    plan_models_max: int = Field(default=4, ge=1, le=16)
    """Most models in a plan."""
    batch_route_max: int = Field(default=64, ge=1, le=64)
    """Most requests in one `BatchRoute`."""
