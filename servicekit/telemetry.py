"""OpenTelemetry set-up: a tracer and a meter that are handed to whoever needs them. No global provider is set."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracerProvider, Tracer

from servicekit import semconv
from servicekit.settings.serving import TelemetrySettings
from servicekit.span_file import SpanFileExporter

_SCOPE: Final = "emafusion"
_QUEUE_SPANS_MAX: Final = 8_192
_FILE_DELAY_MS: Final = 200.0
_OTLP_DELAY_MS: Final = 1_000.0
_OTLP_TIMEOUT_S: Final = 5
_SHUTDOWN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What the parts of a service report with. ``stop`` flushes and closes exporters; `shutdown` bounds it."""

    tracer: Tracer
    meter: Meter
    stop: Callable[[], None]

    @staticmethod
    def off() -> Telemetry:
        """Telemetry that records nothing; trace context still travels."""
        return Telemetry(NoOpTracerProvider().get_tracer(_SCOPE), NoOpMeterProvider().get_meter(_SCOPE), lambda: None)

    def shutdown(self, timeout_s: float = _SHUTDOWN_S) -> bool:
        """Exports what is left, for at most ``timeout_s`` seconds; blocks. False when time ran out and spans may be lost."""
        # An exporter whose receiver hangs must not keep the process from ending, and the SDK has no overall limit.
        thread = threading.Thread(target=self.stop, name="telemetry-shutdown", daemon=True)
        thread.start()
        thread.join(timeout_s)
        return not thread.is_alive()


def start_telemetry(service: str, settings: TelemetrySettings) -> Telemetry:
    """Telemetry that exports to an OTLP receiver and appends spans to a file, each where the settings name one.

    ``service`` becomes the resource's service name, such as `cascade_service`.
    """
    processors: list[SpanProcessor] = []
    readers: list[MetricReader] = []
    if settings.file is not None:
        exporter = SpanFileExporter(Path(settings.file), service=service, bytes_max=settings.file_bytes_max)
        processors.append(BatchSpanProcessor(exporter, max_queue_size=_QUEUE_SPANS_MAX, schedule_delay_millis=_FILE_DELAY_MS))
    if settings.otlp_endpoint is not None:
        insecure = not settings.otlp_endpoint.startswith("https://")
        spans = OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=insecure, timeout=_OTLP_TIMEOUT_S)
        processors.append(BatchSpanProcessor(spans, max_queue_size=_QUEUE_SPANS_MAX, schedule_delay_millis=_OTLP_DELAY_MS))
        metrics = OTLPMetricExporter(endpoint=settings.otlp_endpoint, insecure=insecure, timeout=_OTLP_TIMEOUT_S)
        readers.append(PeriodicExportingMetricReader(metrics, export_interval_millis=settings.metric_interval_ms))
    return assemble_telemetry(service, processors=processors, readers=readers, sample_ratio=settings.sample_ratio)


def assemble_telemetry(
    service: str, *, processors: Sequence[SpanProcessor], readers: Sequence[MetricReader] = (), sample_ratio: float = 1.0
) -> Telemetry:
    """Telemetry over given processors and readers. A caller's sampling decision has precedence over ``sample_ratio``."""
    # Not Resource.create: it starts threads, waits for them, and lets environment variables change what the configuration says.
    resource = Resource(
        {
            semconv.SERVICE_NAME: service,
            semconv.SERVICE_NAMESPACE: _SCOPE,
            semconv.SERVICE_INSTANCE_ID: str(uuid.uuid4()),
        }
    )
    tracers = TracerProvider(sampler=ParentBased(TraceIdRatioBased(sample_ratio)), resource=resource, shutdown_on_exit=False)
    for processor in processors:
        tracers.add_span_processor(processor)
    # Exemplars: measurements made inside a sampled span carry its trace id.
    meters = MeterProvider(metric_readers=readers, resource=resource, exemplar_filter=TraceBasedExemplarFilter(), shutdown_on_exit=False)

    def stop() -> None:
        tracers.shutdown()
        meters.shutdown()

    return Telemetry(tracers.get_tracer(_SCOPE), meters.get_meter(_SCOPE), stop)
