"""Configuration that all services share: addresses, limits, telemetry, logs, artifacts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from servicekit.settings.auth import AuthSettings
from servicekit.settings.base import PositiveMs, SecretRef, Section

CallerName = Annotated[str, Field(min_length=1, max_length=2_048, pattern=r"^\S+$")]
"""A name in a certificate's subject alternative names: a DNS name or a URI such as `spiffe://example.org/cascade`."""


class ServerTlsSettings(Section):
    """TLS of every gRPC server. The files are read again when they change, for the next connection."""

    certificate: str = Field(min_length=1)
    """PEM file with the server's certificate, followed by those between it and the root; relative to the configuration file."""
    private_key: str = Field(min_length=1)
    """PEM file with its private key, without a password; relative to the configuration file."""
    client_roots: str | None = Field(default=None, min_length=1)
    """PEM file with the roots of callers' certificates. Given, a caller must present a certificate (mutual TLS). Default: none."""


class ClientTlsSettings(Section):
    """TLS of the channels between services and of the command line. The services read the files again when they change."""

    roots: str | None = Field(default=None, min_length=1)
    """PEM file with the roots of servers' certificates; relative to the configuration file. Default: those that gRPC brings."""
    certificate: str | None = Field(default=None, min_length=1)
    """PEM file with the own certificate, for mutual TLS. Default: none."""
    private_key: str | None = Field(default=None, min_length=1)
    """PEM file with its private key, without a password. Default: none."""

    @model_validator(mode="after")
    def _certificate_with_its_key(self) -> ClientTlsSettings:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("`certificate` and `private_key` must be set together")
        return self


class ListenSettings(Section):
    """Where one service listens, and where the others find it."""

    listen: str = Field(pattern=r"^[^\s]+:\d{1,5}$")
    """Address to listen on, `host:port`; port 0 takes a free one."""
    target: str = Field(min_length=1)
    """gRPC target under which other services reach it, such as `dns:///router:50051`."""
    allowed_callers: tuple[CallerName, ...] = Field(default=(), max_length=256)
    """With mutual TLS: names, DNS or URI, of which a caller's certificate must have one. Default: every certificate from `client_roots`."""


class ServerSettings(Section):
    """What every gRPC server of the suite does alike."""

    in_flight_max: int = Field(default=256, ge=1, le=100_000)
    """Most requests in flight."""
    queue_max: int = Field(default=256, ge=0, le=100_000)
    """Most requests that wait for admission; beyond it a request is refused with RESOURCE_EXHAUSTED."""
    queue_wait_max_ms: PositiveMs = 5_000
    """Longest wait for admission in milliseconds."""
    default_deadline_ms: PositiveMs = 120_000
    """Deadline of a request that brings none."""
    deadline_max_ms: PositiveMs = 600_000
    """A longer deadline is shortened to this."""
    message_bytes_max: int = Field(default=4 * 1024 * 1024, ge=1_024, le=256 * 1024 * 1024)
    """Largest message, received or sent."""
    reflection: bool = True
    """Serve gRPC reflection."""
    drain_grace_ms: PositiveMs = 10_000
    """After SIGTERM: how long requests in flight may go on."""
    connection_age_max_ms: PositiveMs = 1_800_000
    """Connections are closed after this time so that clients spread again over replicas."""
    keepalive_time_ms: PositiveMs = 30_000
    """A connection without traffic is probed after this time."""
    tls: ServerTlsSettings | None = None
    """TLS. Default: none, everything is sent in clear text."""
    auth: AuthSettings | None = None
    """API keys. Default: none, everybody who can connect may call."""


class LimitSettings(Section):
    """Bounds of the content of requests."""

    messages_max: int = Field(default=256, ge=1, le=256)
    """Most messages in a conversation."""
    message_chars_max: int = Field(default=200_000, ge=1, le=10_000_000)
    """Longest message in characters."""
    conversation_chars_max: int = Field(default=400_000, ge=1, le=20_000_000)
    """Longest conversation in characters."""
    candidate_chars_max: int = Field(default=200_000, ge=1, le=10_000_000)
    """Longest candidate in characters."""


class TelemetrySettings(Section):
    """OpenTelemetry."""

    otlp_endpoint: str | None = None
    """gRPC endpoint of an OTLP receiver, such as `http://127.0.0.1:4317`. Default: none."""
    file: str | None = None
    """File to which finished spans are appended as JSON lines, for running without a collector. Default: none."""
    file_bytes_max: int = Field(default=256 * 1024 * 1024, ge=4_096, le=2**40)
    """Size of that file in bytes beyond which no more spans are appended."""
    sample_ratio: float = Field(default=1.0, ge=0.0, le=1.0, allow_inf_nan=False)
    """Share of the traces that are recorded; the caller's decision has precedence."""
    metric_interval_ms: PositiveMs = 10_000
    """Interval of metric exports."""
    record_text: bool = False
    """True puts prompts and answers into spans. Off by default."""


class LoggingSettings(Section):
    """Logs: JSON lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity."""


class ArtifactSettings(Section):
    """What training publishes and services load."""

    directory: str = "artifacts"
    """Folder of the artifacts; relative to the configuration file."""


class ServicesSettings(Section):
    """Addresses of the three services."""

    router: ListenSettings = ListenSettings(listen="127.0.0.1:50051", target="dns:///127.0.0.1:50051")
    """The router service."""
    judge: ListenSettings = ListenSettings(listen="127.0.0.1:50052", target="dns:///127.0.0.1:50052")
    """The judge service."""
    cascade: ListenSettings = ListenSettings(listen="127.0.0.1:50053", target="dns:///127.0.0.1:50053")
    """The cascade service."""
    tls: ClientTlsSettings | None = None
    """TLS towards the services. Default: none."""
    api_key: SecretRef | None = None
    """Key that the services show to each other, and the command line where it is given none; a file is read again when it changes."""
