"""The container images' health check."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from facet.core import health_probe
from tests.support.redis_server import free_port

pytestmark = pytest.mark.integration

Status = health_pb2.HealthCheckResponse


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def address(servicer: health.HealthServicer) -> Iterator[str]:
    with futures.ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_status_is_zero_when_the_server_serves(
    servicer: health.HealthServicer, address: str
) -> None:
    servicer.set("", Status.SERVING)

    assert health_probe.main([address]) == 0


def test_status_is_one_when_the_server_does_not_serve(
    servicer: health.HealthServicer, address: str
) -> None:
    servicer.set("", Status.NOT_SERVING)

    assert health_probe.main([address]) == 1


def test_status_is_one_when_nobody_listens() -> None:
    assert health_probe.main([f"127.0.0.1:{free_port()}"]) == 1
