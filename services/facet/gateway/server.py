"""The gRPC server: limits, connection life, reflection."""

from __future__ import annotations

import resource
from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection

from facet.core.telemetry.processes import is_one_of_several
from facet.core.telemetry.tracing import UNTRACED, Tracing
from facet.gateway.interceptor import StatusInterceptor

MAX_STREAMS_PER_CONNECTION = 1000
# Health and reflection ask for no key, so the bound that gRPC enforces by itself, without a reason,
# only has to keep them from using up memory; calls that generate have their own bound below it.
CALLS_PER_OPEN_CALL = 4
MAX_CONNECTION_AGE_SECONDS = 1800
# A connection without calls; clients connect anew with their next one.
MAX_CONNECTION_IDLE_SECONDS = 900
# From the connection to the first settings of HTTP/2, TLS included.
HANDSHAKE_SECONDS = 10
MAX_CONNECTIONS = 10_000
# What the process opens beside connections: logs, files, the store.
SPARE_FILES = 256
# A client that falls silent is noticed within 3.5 s, so that what nobody reads any more leaves the
# engine within the readers' grace and 5 s.
KEEPALIVE_SECONDS = 1
KEEPALIVE_TIMEOUT_SECONDS = 2.5
# Clients may ping this often, with and without calls.
MIN_PING_INTERVAL_SECONDS = 2


def server_options(
    *,
    max_message_bytes: int,
    max_metadata_bytes: int,
    max_deadline_seconds: float,
) -> list[tuple[str, int]]:
    """Channel arguments. A connection's age never ends a call before its deadline does."""
    age_grace_seconds = max_deadline_seconds + 60
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Between the two gRPC would refuse some calls and let others pass.
        ("grpc.max_metadata_size", max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", max_metadata_bytes),
        ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
        ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_SECONDS * 1000),
        ("grpc.max_connection_age_grace_ms", round(age_grace_seconds * 1000)),
        ("grpc.max_connection_idle_ms", MAX_CONNECTION_IDLE_SECONDS * 1000),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
        ("grpc.max_allowed_incoming_connections", max_connections()),
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", round(KEEPALIVE_TIMEOUT_SECONDS * 1000)),
        # What gRPC waits for a keepalive ping too; by itself a minute, whatever stands above.
        ("grpc.http2.ping_timeout_ms", round(KEEPALIVE_TIMEOUT_SECONDS * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_SECONDS * 1000),
        # Two gateways on one port would share it silently; processes of one mean to.
        ("grpc.so_reuseport", int(is_one_of_several())),
    ]


def max_connections() -> int:
    """So many connections are taken at once: fewer than files may be open, so that none fails."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(files - SPARE_FILES, files // 2))


def create_server(
    handlers: Sequence[grpc.GenericRpcHandler],
    service_names: Sequence[str],
    options: Sequence[tuple[str, int]],
    *,
    max_open_calls: int,
    max_metadata_bytes: int,
    tracing: Tracing = UNTRACED,
) -> grpc.aio.Server:
    """A server with the handlers and reflection of the named services; not started."""
    server = grpc.aio.server(
        interceptors=[StatusInterceptor(max_metadata_bytes, tracing)],
        options=list(options),
        maximum_concurrent_rpcs=CALLS_PER_OPEN_CALL * max_open_calls,
    )
    server.add_generic_rpc_handlers(tuple(handlers))
    reflection.enable_server_reflection((*service_names, reflection.SERVICE_NAME), server)
    return server
