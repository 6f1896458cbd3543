"""Health over HTTP/1.1, for load balancers whose checks speak no gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facet.core.telemetry.processes import is_one_of_several
from facet.gateway.health_service import HealthService

MAX_REQUEST_BYTES = 8 << 10
MAX_CONNECTIONS = 64
REQUEST_SECONDS = 5.0

_END = b"\r\n\r\n"


@asynccontextmanager
async def serving_http_health(listen: str, health: HealthService) -> AsyncIterator[str]:
    """Serve while the context is open; yields the bound `host:port`.

    Any GET or HEAD is answered with 200 while the health service says SERVING, else with 503; one
    request a connection. No key is asked for, and there is no TLS. An empty `listen` serves nothing
    and yields "". Errors: OSError when the address cannot be bound.
    """
    if not listen:
        yield ""
        return
    room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not room.locked():
                async with room, asyncio.timeout(REQUEST_SECONDS):
                    request = await reader.readuntil(_END)
                    writer.write(_answer(request, is_serving=health.is_serving))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Whoever sends nothing that is a request gets no answer.
            writer.transport.abort()
        finally:
            writer.close()

    host, _, port = listen.rpartition(":")
    server = await asyncio.start_server(
        answer,
        host.strip("[]"),
        int(port),
        limit=MAX_REQUEST_BYTES,
        reuse_port=is_one_of_several(),
    )
    name, number, *_ = server.sockets[0].getsockname()
    try:
        yield f"{f'[{name}]' if ':' in name else name}:{number}"
    finally:
        server.close()


def _answer(request: bytes, *, is_serving: bool) -> bytes:
    method = request.split(b" ", 1)[0]
    if method not in (b"GET", b"HEAD"):
        status, body = "405 Method Not Allowed", ""
    elif is_serving:
        status, body = "200 OK", "SERVING\n"
    else:
        status, body = "503 Service Unavailable", "NOT_SERVING\n"
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    text = f"{head}Connection: close\r\n\r\n{'' if method == b'HEAD' else body}"
    return text.encode()
