"""Health over HTTP, asked over real connections."""

from __future__ import annotations

import asyncio
import http.client

import pytest

from facet.gateway.health_service import HealthService
from facet.gateway.http_health import (
    MAX_CONNECTIONS,
    MAX_REQUEST_BYTES,
    serving_http_health,
)

pytestmark = pytest.mark.unit


def ask(address: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request(method, "/")
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


async def said(address: str, text: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(text)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_the_status_is_that_of_the_health_service() -> None:
    health = HealthService([])
    async with serving_http_health("127.0.0.1:0", health) as address:
        assert await asyncio.to_thread(ask, address) == (503, "NOT_SERVING\n")
        health.set_serving(True)
        assert await asyncio.to_thread(ask, address) == (200, "SERVING\n")
        assert await asyncio.to_thread(ask, address, "HEAD") == (200, "")
        assert await asyncio.to_thread(ask, address, "POST") == (405, "")
        health.drain()
        assert (await asyncio.to_thread(ask, address))[0] == 503


async def test_nothing_is_answered_when_it_is_no_request() -> None:
    async with serving_http_health("127.0.0.1:0", HealthService([])) as address:
        assert await said(address, b"x" * (2 * MAX_REQUEST_BYTES)) == b""


async def test_nobody_waits_when_all_connections_are_taken() -> None:
    async with serving_http_health("127.0.0.1:0", HealthService([])) as address:
        host, _, port = address.rpartition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(MAX_CONNECTIONS)]
        try:
            assert await said(address, b"GET / HTTP/1.1\r\n\r\n") == b""
        finally:
            for _, writer in idle:
                writer.close()


async def test_nothing_listens_when_no_address_is_given() -> None:
    async with serving_http_health("", HealthService([])) as address:
        assert address == ""
