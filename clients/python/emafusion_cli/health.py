"""Asks processes whether they are ready: services through grpc.health.v1, local models through HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import grpc
import httpx
from grpc_health.v1 import health_pb2

from emafusion_cli.surroundings import Address
from servicekit.access import bearer

_WAIT_S: Final = 1.0
_CHECK: Final = "/grpc.health.v1.Health/Check"


def service_ready(address: Address) -> bool:
    """True when the service says SERVING."""
    with _channel(address) as channel:
        check: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        metadata = () if address.api_key is None else (bearer(address.api_key),)
        try:
            reply = check(health_pb2.HealthCheckRequest(), timeout=_WAIT_S, metadata=metadata)
        except grpc.RpcError:
            return False
    return reply.status == health_pb2.HealthCheckResponse.SERVING


def _channel(address: Address) -> grpc.Channel:
    if address.tls is None:
        return grpc.insecure_channel(address.target)
    tls = address.tls
    credentials = grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)
    return grpc.secure_channel(address.target, credentials)


def model_ready(endpoint: str) -> bool:
    """True when the model server behind ``endpoint`` (`http://host:port/v1`) has loaded its model."""
    try:
        url = httpx.URL(endpoint).copy_with(path="/health")
        return httpx.get(url, timeout=_WAIT_S, trust_env=False).status_code == HTTPStatus.OK
    except httpx.HTTPError:
        return False
