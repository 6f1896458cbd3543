"""The listener for probes: health and nothing else, in plain text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from facet.core.listener import bind
from facet.gateway.health_service import HealthService
from facet.gateway.interceptor import StatusInterceptor
from facet.gateway.server import server_options

MAX_MESSAGE_BYTES = 1 << 10
MAX_METADATA_BYTES = 16 << 10
MAX_DEADLINE_SECONDS = 60.0
MAX_CALLS = 64


@asynccontextmanager
async def serving_health(listen: str, health: HealthService) -> AsyncIterator[str]:
    """Serve `grpc.health.v1` while the context is open; yields the bound `host:port`.

    No key is asked for, and there is no TLS. An empty `listen` serves nothing and yields "".
    Errors: OSError when the address cannot be bound.
    """
    if not listen:
        yield ""
        return
    server = grpc.aio.server(
        options=server_options(
            max_message_bytes=MAX_MESSAGE_BYTES,
            max_metadata_bytes=MAX_METADATA_BYTES,
            max_deadline_seconds=MAX_DEADLINE_SECONDS,
        ),
        interceptors=[StatusInterceptor(MAX_METADATA_BYTES)],
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    server.add_generic_rpc_handlers((health.handler(),))
    address = bind(server, listen, None)
    await server.start()
    try:
        yield address
    finally:
        await server.stop(None)
