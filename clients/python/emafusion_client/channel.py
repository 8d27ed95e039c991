"""gRPC channels to the services: retries as service config, round robin over addresses, keepalive, optional TLS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import grpc

ROUTER_SERVICE: Final = "emafusion.router.v1.RouterService"
JUDGE_SERVICE: Final = "emafusion.judge.v1.JudgeService"
CASCADE_SERVICE: Final = "emafusion.cascade.v1.CascadeService"
MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
_READS_ATTEMPTS: Final = 4
_ANSWERS_ATTEMPTS: Final = 2
_KEEPALIVE_MS: Final = 60_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM texts for TLS: roots to trust (None: those of gRPC), and for mutual TLS the own key with its certificate chain."""

    root_certificates: bytes | None = None
    private_key: bytes | None = None
    certificate_chain: bytes | None = None


def open_channel(target: str, *, tls: Tls | None = None) -> grpc.aio.Channel:
    """A channel to ``target``, such as `dns:///cascade:50053`. To be called inside a running event loop, and closed by the caller."""
    options = channel_options()
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.root_certificates, private_key=tls.private_key, certificate_chain=tls.certificate_chain
    )
    return grpc.aio.secure_channel(target, credentials, options=options)


def channel_options() -> list[tuple[str, Any]]:
    """Options of every channel. Without calls in flight no keepalive is sent, so no server sees too many."""
    return [
        ("grpc.service_config", json.dumps(service_config())),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.enable_retries", 1),
    ]


def service_config() -> dict[str, Any]:
    """Retries on UNAVAILABLE only. gRPC never repeats a stream after its first message has arrived.

    Answering costs money, so a call that answers is repeated once; a call that reads, three times. Feedback is never repeated: it
    might be recorded twice.
    """
    answers = [{"service": CASCADE_SERVICE, "method": method} for method in ("Complete", "StreamComplete")]
    feedback = [{"service": CASCADE_SERVICE, "method": "SubmitFeedback"}]
    others = [{"service": service} for service in (ROUTER_SERVICE, JUDGE_SERVICE, CASCADE_SERVICE)]
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {"name": feedback},
            {"name": answers, "retryPolicy": _retry_policy(_ANSWERS_ATTEMPTS)},
            {"name": others, "retryPolicy": _retry_policy(_READS_ATTEMPTS)},
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.5},
    }


def _retry_policy(attempts: int) -> dict[str, Any]:
    return {
        "maxAttempts": attempts,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
