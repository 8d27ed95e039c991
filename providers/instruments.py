"""The metrics of calls to models."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.metrics import Meter

from providers.breaker import BreakerState
from servicekit import semconv


class Instruments:
    """The metrics of all models; made once per process, for a second histogram of the same name would be a warning."""

    def __init__(self, meter: Meter) -> None:
        seconds = semconv.GENERATION_SECONDS_BUCKETS
        self.tokens = meter.create_histogram(
            semconv.METRIC_GEN_AI_TOKEN_USAGE,
            unit="{token}",
            description="Tokens read and written by models.",
            explicit_bucket_boundaries_advisory=semconv.TOKEN_BUCKETS,
        )
        self.duration = meter.create_histogram(
            semconv.METRIC_GEN_AI_OPERATION_DURATION,
            unit="s",
            description="Duration of calls to models, retries included.",
            explicit_bucket_boundaries_advisory=seconds,
        )
        self.first_chunk = meter.create_histogram(
            semconv.METRIC_GEN_AI_TIME_TO_FIRST_CHUNK,
            unit="s",
            description="Time to the first chunk of an answer.",
            explicit_bucket_boundaries_advisory=seconds,
        )
        self.cost = meter.create_counter(semconv.METRIC_PROVIDER_COST, unit="{nano_usd}", description="Cost of answers in nano-USD.")
        self.hedges = meter.create_counter(
            semconv.METRIC_PROVIDER_HEDGES, unit="{call}", description="Calls for which a second endpoint was asked."
        )
        self._breakers = meter.create_counter(
            semconv.METRIC_PROVIDER_BREAKER_CHANGES, unit="{change}", description="New states of circuit breakers."
        )

    def breaker_listener(self, model: str, endpoint: int) -> Callable[[BreakerState], None]:
        """A listener for the breaker of one endpoint of ``model``."""

        def tell(state: BreakerState) -> None:
            labels = {semconv.EMAFUSION_PROVIDER_MODEL: model, semconv.EMAFUSION_PROVIDER_ENDPOINT: endpoint}
            self._breakers.add(1, {**labels, semconv.EMAFUSION_PROVIDER_BREAKER_STATE: state.value})

        return tell
